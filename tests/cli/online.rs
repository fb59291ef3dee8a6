//! What needs broker, database and owners, where none of them can be reached.

use crate::agreed;
use crate::program::nearcopy;

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
