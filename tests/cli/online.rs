//! What needs broker, database and owners, where none of them can be reached.

use crate::agreed;
use crate::program::{CANARY, nearcopy};

#[test]
fn everything_that_cannot_be_reached_is_listed() {
    agreed("online_unreachable", &nearcopy(&["check", "--online", "good.yaml"]).with_addresses().end());
    let json = ["check", "--online", "good.yaml", "--output", "json"];
    agreed("online_unreachable_json", &nearcopy(&json).with_addresses().end());
}

#[test]
fn without_addresses_there_is_nothing_to_look_at() {
    agreed("online_without_addresses", &nearcopy(&["check", "--online", "good.yaml"]).end());
}

#[test]
fn parked_events_need_the_database() {
    let id = "018f4e3a-0000-7000-8000-000000000000";
    for arguments in [&["list"] as &[&str], &["show", id], &["retry", id], &["drop", id]] {
        let arguments = [&["parked"], arguments].concat();
        agreed("parked_unreachable", &nearcopy(&arguments).with_addresses().end());
        agreed("parked_without_address", &nearcopy(&arguments).end());
    }
}

#[test]
fn status_and_explain_need_the_manifest_and_the_database() {
    agreed("parked_unreachable", &nearcopy(&["status", "good.yaml"]).with_addresses().end());
    agreed("parked_without_address", &nearcopy(&["status", "good.yaml"]).end());
    agreed("check_missing", &nearcopy(&["status", "nowhere.yaml"]).with_addresses().end());
    let of =
        |name, more: &[&'static str]| [&["explain", name, "42"], more, &["--manifest", "good.yaml"]].concat();
    agreed("parked_unreachable", &nearcopy(&of("users", &[])).with_addresses().end());
    agreed("parked_unreachable", &nearcopy(&of("orders", &["user.name"])).with_addresses().end());
    agreed("parked_without_address", &nearcopy(&of("users", &[])).end());
    agreed("explain_unknown", &nearcopy(&of("teams", &[])).with_addresses().end());
}

#[test]
fn a_program_may_read_yaml() {
    let yaml = ["check", "--online", "good.yaml", "--output", "yaml"];
    agreed("online_unreachable_yaml", &nearcopy(&yaml).with_addresses().end());
    agreed("check_bad_yaml", &nearcopy(&["check", "bad.yaml", "--output", "yaml"]).end());
}

#[test]
fn a_rebase_needs_the_manifest_and_the_database() {
    let of = |replica, manifest| ["rebase", replica, "--at", "2026-03-01T12:00:00Z", "--manifest", manifest];
    agreed("parked_without_address", &nearcopy(&of("users", "good.yaml")).end());
    agreed("check_missing", &nearcopy(&of("users", "nowhere.yaml")).with_addresses().end());
    agreed("rebase_unknown_replica", &nearcopy(&of("teams", "good.yaml")).with_addresses().end());
    agreed("parked_unreachable", &nearcopy(&of("users", "good.yaml")).with_addresses().end());
}

#[test]
fn what_is_erased_is_erased_on_purpose() {
    let of = |replica, id, more| ["erase", replica, id, more, "--manifest", "good.yaml"];
    agreed("erase_without_yes", &nearcopy(&["erase", "users", "42"]).with_addresses().end());
    agreed("parked_without_address", &nearcopy(&of("users", "42", "--yes")).end());
    agreed("rebase_unknown_replica", &nearcopy(&of("teams", "42", "--yes")).with_addresses().end());
    agreed("erase_bad_id", &nearcopy(&of("users", "", "--yes")).with_addresses().end());
    agreed("parked_unreachable", &nearcopy(&of("users", "42", "--dry-run")).with_addresses().end());
}

/// A driver names the part of a URL that it does not understand. That no output shows the canary is looked at
/// wherever the program is run.
#[test]
fn a_mistake_in_a_url_does_not_bring_the_password_to_light() {
    for rest in [
        format!("shop:{CANARY}"),
        format!("shop:{CANARY}/shop"),
        format!("shop:{CANARY}?x@127.0.0.1:1/shop"),
        format!("shop:{CANARY}/x@127.0.0.1:1/shop"),
        format!("shop:{CANARY}#x@127.0.0.1:1/shop"),
        format!("shop:x@{CANARY}@127.0.0.1:1/shop"),
        format!("shop:x:{CANARY}@127.0.0.1:1:1/shop"),
        format!("shop:%{CANARY}@127.0.0.1:1/shop?serverSelectionTimeoutMS=1"),
        format!("shop:{CANARY}@127.0.0.1:1/sh op?serverSelectionTimeoutMS=1"),
        format!("shop:{CANARY}@127.0.0.1:1/shop?serverSelectionTimeoutMS=1&nonsense=1"),
    ] {
        let ended = nearcopy(&["check", "--online", "good.yaml"])
            .env("NEARCOPY__RABBITMQ__URL", &format!("amqp://{rest}"))
            .env("NEARCOPY__MONGODB__URL", &format!("mongodb://{rest}"))
            .end();
        assert!([4, 5].contains(&ended.code), "{ended}");
    }
}
