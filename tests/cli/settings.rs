//! Settings at the door: what they are, where they come from, and what is wrong with them.

use crate::agreed;
use crate::program::{CANARY, nearcopy, scratch};

#[test]
fn settings_are_shown_with_their_origins_and_without_secrets() {
    let file = scratch("settings.toml", b"[rabbitmq]\nprefetch = 7\n[log]\nformat = \"json\"");
    let secret = scratch("url", format!("amqp://shop:{CANARY}@broker\n").as_bytes());
    let ended = nearcopy(&["settings", "--set", "pipeline.batch=30", "--settings", file.to_str().unwrap()])
        .env("NEARCOPY__PIPELINE__BATCH", "20")
        .env("NEARCOPY__PIPELINE__IN_FLIGHT", "4")
        .env("NEARCOPY__RABBITMQ__URL_FILE", secret.to_str().unwrap())
        .env("NEARCOPY__MONGODB__URL", &format!("mongodb://shop:{CANARY}@db/shop"))
        .end();
    agreed("settings", &ended);
}

#[test]
fn each_wrong_setting_is_an_error_with_its_hint() {
    let ended = nearcopy(&["settings", "--set", "rabbitmq.prefech=1", "--set", "pipeline.batch=many"])
        .env("NEARCOPY__LOG__FORMAT", "xml")
        .end();
    agreed("settings_wrong", &ended);
}

#[test]
fn a_secret_is_not_taken_from_a_flag() {
    let flag = format!("rabbitmq.url=amqp://shop:{CANARY}@broker");
    agreed("settings_secret_as_flag", &nearcopy(&["settings", "--set", &flag]).end());
    let wrong = format!("http://shop:{CANARY}@db");
    agreed("settings_secret_wrong", &nearcopy(&["settings"]).env("NEARCOPY__MONGODB__URL", &wrong).end());
}

#[test]
fn a_settings_file_that_cannot_be_used_is_named_with_the_reason() {
    agreed("settings_no_file", &nearcopy(&["settings", "--settings", "nowhere.toml"]).end());
    let broken =
        scratch("broken.toml", format!("[rabbitmq]\nurl = \"amqp://shop:{CANARY}@broker").as_bytes());
    agreed("settings_no_toml", &nearcopy(&["check", "--settings", broken.to_str().unwrap()]).end());
}

#[test]
fn wrong_settings_stop_every_command_that_needs_them() {
    for command in ["run", "check", "settings"] {
        let ended = nearcopy(&[command, "--set", "pipeline.batch=0"]).end();
        assert_eq!((ended.code, ended.stdout.as_str()), (4, ""), "{command}: {ended}");
    }
}
