//! Settings: layers, errors that help, secrets that stay secret.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nearcopy::settings::{Console, Settings, SettingsError};
use nearcopy::telemetry::LogFormat;
use secrecy::ExposeSecret;

const CANARY: &str = "tr0ub4dor";
const KEY: &str = "SGVyZSBhcmUgdGhpcnR5LXR3byByYW5kb20gYnl0ZXM=";
const ENCRYPT_KEYS: &str = "k2 SGVyZSBhcmUgdGhpcnR5LXR3byByYW5kb20gYnl0ZXM=
  k1  T3RoZXIgdGhpcnR5LXR3byByYW5kb20gYnl0ZXMsICE=
";

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn load(
    file: Option<&Path>,
    environment: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Settings, SettingsError> {
    Settings::from_layers(file, pairs(environment), &pairs(flags))
}

fn complaint(file: Option<&Path>, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    load(file, environment, flags).unwrap_err().to_string()
}

/// A file of its own for each test, gone with the guard.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nearcopy-settings-{}-{name}", std::process::id()));
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

#[test]
fn defaults_are_complete_but_for_the_addresses() {
    let settings = load(None, &[("PATH", "/bin"), ("NEARCOPY_PORT_80_TCP", "tcp://10.0.0.1")], &[]).unwrap();
    assert_eq!(settings.rabbitmq.prefetch, 4000);
    assert_eq!(settings.rabbitmq.heartbeat, Duration::from_secs(10));
    assert_eq!(settings.admin.listen.port(), 9464);
    assert!(settings.admin.listen.ip().is_unspecified(), "the kubelet asks from outside of the pod");
    assert_eq!(settings.parked_ttl, Duration::from_hours(30 * 24));
    assert_eq!(settings.log.format, LogFormat::Auto);
    assert_eq!(settings.mongodb.database, None);
    let said = settings.check_addresses(true).unwrap_err().to_string();
    for variable in ["NEARCOPY__RABBITMQ__URL_FILE", "NEARCOPY__MONGODB__URL_FILE"] {
        assert!(said.contains(variable), "{said}");
    }
}

#[test]
fn each_layer_stands_above_the_one_before() {
    let file = Scratch::new(
        "layers.toml",
        "[pipeline]\nbatch = 10\nin_flight = 3\n[rabbitmq]\nprefetch = 7\n[manifest]\npaths = [\"a.yaml\", \"b\"]",
    );
    let environment = [("NEARCOPY__PIPELINE__BATCH", "20"), ("NEARCOPY__PIPELINE__IN_FLIGHT", "4")];
    let settings = load(Some(&file.0), &environment, &[("pipeline.batch", "30")]).unwrap();
    assert_eq!(settings.rabbitmq.prefetch, 7);
    assert_eq!(settings.pipeline.in_flight, 4);
    assert_eq!(settings.pipeline.batch, 30);
    assert_eq!(settings.manifest, [PathBuf::from("a.yaml"), PathBuf::from("b")]);
    let shown = settings.to_string();
    for (setting, given) in [
        ("rabbitmq.prefetch = 7 ", file.text()),
        ("pipeline.in_flight = 4 ", "NEARCOPY__PIPELINE__IN_FLIGHT"),
        ("pipeline.batch = 30 ", "a flag"),
        ("sweep.every = 1s ", "the defaults"),
    ] {
        let line = shown.lines().find(|line| line.starts_with(setting));
        assert!(line.is_some_and(|line| line.ends_with(given)), "{setting}{given}:\n{shown}");
    }
}

#[test]
fn every_setting_can_be_given_by_the_environment() {
    let settings = load(
        None,
        &[
            ("NEARCOPY__MANIFEST__PATHS", "/etc/a.yaml, /etc/b"),
            ("NEARCOPY__MANIFEST__RELOAD", "no"),
            ("NEARCOPY__MANIFEST__DOWNGRADE_FROM", "3"),
            ("NEARCOPY__RABBITMQ__URL", "amqps://broker/shop"),
            ("NEARCOPY__RABBITMQ__PREFETCH", "5"),
            ("NEARCOPY__RABBITMQ__HEARTBEAT", "1m30s"),
            ("NEARCOPY__MONGODB__URL", "mongodb+srv://db"),
            ("NEARCOPY__MONGODB__DATABASE", "shop"),
            ("NEARCOPY__ADMIN__LISTEN", "[::1]:9"),
            ("NEARCOPY__ADMIN__CONSOLE", "act"),
            ("NEARCOPY__ADMIN__TOKEN", "sixteen-letters!"),
            ("NEARCOPY__READ__LISTEN", "0.0.0.0:7"),
            ("NEARCOPY__READ__TOKEN", "sixteen-letters!"),
            ("NEARCOPY__READ__TLS_CERTIFICATE", "/etc/tls.crt"),
            ("NEARCOPY__READ__TLS_KEY", "/etc/tls.key"),
            ("NEARCOPY__READ__TLS_CLIENT_CA", "/etc/ca.crt"),
            ("NEARCOPY__READ__CACHE", "0"),
            ("NEARCOPY__FETCH__TOKEN", "sixteen-letters! users\nseventeen-letters"),
            ("NEARCOPY__PROTECT__HASH_KEY", KEY),
            ("NEARCOPY__PROTECT__ENCRYPT_KEYS", ENCRYPT_KEYS),
            ("NEARCOPY__PIPELINE__BATCH", "1"),
            ("NEARCOPY__PIPELINE__IN_FLIGHT", "1"),
            ("NEARCOPY__SWEEP__EVERY", "200ms"),
            ("NEARCOPY__SWEEP__RETIRE_GRACE", "2h"),
            ("NEARCOPY__SWEEP__RETIRE_EVERY", "3m"),
            ("NEARCOPY__SWEEP__DRIFT_EVERY", "1d"),
            ("NEARCOPY__PARKED__TTL", "7d"),
            ("NEARCOPY__EXPLAIN__REMEMBER", "0"),
            ("NEARCOPY__LOG__FORMAT", "text"),
            ("NEARCOPY__LOG__FILTER", "warn,nearcopy=debug"),
            ("NEARCOPY__SHUTDOWN__GRACE", "500ms"),
        ],
        &[],
    )
    .unwrap();
    let from_defaults = settings.to_string().lines().filter(|line| line.ends_with("the defaults")).count();
    assert_eq!(from_defaults, 0, "{settings}");
    settings.check_addresses(true).unwrap();
    assert_eq!(settings.read.listen, Some("0.0.0.0:7".parse().unwrap()));
    assert_eq!((settings.admin.console, settings.admin.grants.len()), (Console::Act, 1));
    assert_eq!(settings.read.grants.len(), 1);
    assert_eq!(settings.owner_tokens.len(), 2);
    let hash_key = settings.protect.hash_key.as_ref().unwrap().expose_secret();
    assert_eq!(hash_key, b"Here are thirty-two random bytes");
    let names: Vec<&str> = settings.protect.encrypt_keys.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["k2", "k1"]);
    assert_eq!(settings.manifest, [PathBuf::from("/etc/a.yaml"), PathBuf::from("/etc/b")]);
    assert!(!settings.reload);
    assert_eq!(settings.rabbitmq.heartbeat, Duration::from_secs(90));
    assert_eq!(settings.sweep.every, Duration::from_millis(200));
    assert_eq!(settings.sweep.retire_grace, Duration::from_hours(2));
    assert_eq!(settings.sweep.retire_every, Duration::from_mins(3));
    assert_eq!(settings.sweep.drift_every, Duration::from_hours(24));
    assert_eq!(settings.mongodb.database.as_deref(), Some("shop"));
    assert_eq!(settings.mongodb.url().unwrap().expose_secret(), "mongodb+srv://db");
}

#[test]
fn all_that_is_wrong_is_said_at_once_with_key_place_and_expectation() {
    let file =
        Scratch::new("wrong.toml", "[pipeline]\nbatch = 2.5\n[sweep]\nevery = 10\n[log]\nformat = 'xml'");
    let said = complaint(
        Some(&file.0),
        &[("NEARCOPY__RABBITMQ__PREFETCH", "0"), ("NEARCOPY__ADMIN__LISTEN", "9464")],
        &[("log.filter", "nearcopy=loud")],
    );
    for line in [
        format!("`pipeline.batch` must be a whole number from 1 to 10000 (given by the file {})", file.text()),
        format!("`sweep.every` must be a duration of at least 10ms, such as 500ms, 10s, 5m, 1h or 30d (given by the file {})", file.text()),
        format!("`log.format` must be one of auto, json, text (given by the file {})", file.text()),
        "`rabbitmq.prefetch` must be a whole number from 1 to 65535 (given by NEARCOPY__RABBITMQ__PREFETCH)".into(),
        "`admin.listen` must be an IP address and a port, such as 0.0.0.0:9464 or [::]:9464 (given by NEARCOPY__ADMIN__LISTEN)".into(),
        "`log.filter` must be a level, or levels by module (given by a flag)".into(),
    ] {
        assert!(said.contains(&line), "{line}\nis not in\n{said}");
    }
    assert!(said.starts_with("6 settings are wrong:"), "{said}");
}

#[test]
fn an_unknown_key_is_an_error_that_says_what_may_be_meant() {
    let check = |key: &str, expected: &str| {
        let said = complaint(None, &[], &[(key, "1")]);
        assert!(said.contains(expected), "{said}");
    };
    check(
        "rabbitmq.prefech",
        "`rabbitmq.prefech` is not a setting (given by a flag); did you mean `rabbitmq.prefetch`?",
    );
    check("pipeline.prefetch", "did you mean `rabbitmq.prefetch`?");
    check("rabbitmq", "`rabbitmq` is a section, not a setting");
    let far = complaint(None, &[("NEARCOPY__COFFEE__STRENGTH", "1")], &[]);
    assert_eq!(far, "`coffee.strength` is not a setting (given by NEARCOPY__COFFEE__STRENGTH)");
}

/// S13: whoever can reach the console beyond loopback must know a token, and each token is for all of it.
#[test]
fn the_console_is_off_and_beyond_loopback_it_needs_a_token() {
    let settings = load(None, &[], &[]).unwrap();
    assert_eq!(settings.admin.console, Console::Off);
    let on = ("NEARCOPY__ADMIN__CONSOLE", "read");
    let said = complaint(None, &[on], &[]);
    assert!(said.contains("`admin.token` is not set, and the console is on at 0.0.0.0:9464"), "{said}");
    let here = load(None, &[on, ("NEARCOPY__ADMIN__LISTEN", "127.0.0.1:9464")], &[]).unwrap();
    assert_eq!((here.admin.console, here.admin.grants.len()), (Console::Read, 0));
    let known = load(None, &[on, ("NEARCOPY__ADMIN__TOKEN", "sixteen-letters!")], &[]).unwrap();
    assert_eq!(known.admin.grants.len(), 1);
    let partly = complaint(None, &[on, ("NEARCOPY__ADMIN__TOKEN", "sixteen-letters! users")], &[]);
    assert!(partly.contains("`admin.token` must have one token a line"), "{partly}");
}

#[test]
fn a_value_can_be_read_from_a_file_that_the_environment_names() {
    let secret = Scratch::new("url", &format!("mongodb://shop:{CANARY}@db/shop\n"));
    let name = "NEARCOPY__MONGODB__URL_FILE";
    let settings = load(None, &[(name, secret.text())], &[]).unwrap();
    assert_eq!(settings.mongodb.url().unwrap().expose_secret(), format!("mongodb://shop:{CANARY}@db/shop"));
    let twice = complaint(None, &[(name, secret.text()), ("NEARCOPY__MONGODB__URL", "mongodb://db")], &[]);
    assert!(twice.contains("`mongodb.url` is given a second time"), "{twice}");
    let none = complaint(None, &[(name, "/nowhere/at/all")], &[]);
    assert!(none.contains("`mongodb.url_file` names a file that cannot be read"), "{none}");
    assert!(none.contains(name), "{none}");
}

/// S10: no text that settings can become shows a secret, neither whole nor wrong.
#[test]
fn a_secret_is_shown_nowhere() {
    let url = format!("amqp://shop:{CANARY}@broker");
    let settings = load(None, &[("NEARCOPY__RABBITMQ__URL", &url)], &[]).unwrap();
    let mut texts = vec![settings.to_string(), format!("{settings:?}"), format!("{settings:#?}")];
    assert!(texts[0].contains("rabbitmq.url = (set, not shown)"), "{}", texts[0]);

    let wrong = format!("http://shop:{CANARY}@broker");
    let broken = Scratch::new("broken.toml", &format!("[rabbitmq]\nurl = \"{url}\nprefetch = 1"));
    let twice = Scratch::new("twice.toml", &format!("[rabbitmq]\nurl = \"{url}\"\nurl = \"{url}\""));
    let misplaced =
        Scratch::new("misplaced.toml", &format!("[rabbitmq]\nprefetch = \"{url}\"\nuri = \"{url}\""));
    for error in [
        load(None, &[("NEARCOPY__RABBITMQ__URL", &wrong)], &[]).unwrap_err(),
        load(None, &[], &[("rabbitmq.url", &url)]).unwrap_err(),
        load(Some(&broken.0), &[], &[]).unwrap_err(),
        load(Some(&twice.0), &[], &[]).unwrap_err(),
        load(Some(&misplaced.0), &[], &[]).unwrap_err(),
    ] {
        texts.extend([error.to_string(), format!("{error:?}")]);
    }
    for text in texts {
        assert!(!text.contains(CANARY), "{text}");
    }
}

/// S10, S15: a key that is none is refused without being repeated, and so is one that everybody knows.
#[test]
fn a_key_that_is_none_is_refused() {
    const ZEROS: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let long = KEY.replace('=', "AAAA");
    for wrong in ["password", &KEY[..40], &long, ZEROS, &format!("k1 {KEY}")] {
        let said = complaint(None, &[("NEARCOPY__PROTECT__HASH_KEY", wrong)], &[]);
        assert!(said.starts_with("`protect.hash_key` must be") && !said.contains(wrong), "{said}");
    }
    for (wrong, says) in [
        (KEY.to_owned(), "line 1 is none"),
        (format!("k1 {KEY}\nk/2 {KEY}"), "line 2 is none"),
        (format!("k1 {KEY}\nk1 {KEY}"), "that of line 2 stands twice"),
        (format!("k1 {}", &KEY[..40]), "that is about line 1"),
        (format!("k1 {ZEROS}"), "is known to everybody; that is about line 1"),
    ] {
        let said = complaint(None, &[("NEARCOPY__PROTECT__ENCRYPT_KEYS", &wrong)], &[]);
        assert!(said.contains("`protect.encrypt_keys` must") && said.contains(says), "{said}");
        assert!(!said.contains(&KEY[..20]), "{said}");
    }
    let flag = complaint(None, &[], &[("protect.hash_key", KEY)]);
    assert!(flag.contains("is a secret, and flags can be seen by others") && !flag.contains(KEY), "{flag}");
    let settings = load(None, &[("NEARCOPY__PROTECT__HASH_KEY", KEY)], &[]).unwrap();
    let shown = format!("{settings} {settings:?}");
    assert!(shown.contains("protect.hash_key = (set, not shown)") && !shown.contains("SGVy"), "{shown}");
    assert!(!shown.contains("72, 101, 114"), "{shown}");
}

#[test]
fn a_settings_file_that_cannot_be_used_is_named() {
    let missing = complaint(Some(Path::new("/nowhere/settings.toml")), &[], &[]);
    assert_eq!(missing, "the settings file /nowhere/settings.toml cannot be read");
    let broken = Scratch::new("no.toml", "[rabbitmq]\nprefetch = = 1");
    let said = complaint(Some(&broken.0), &[], &[]);
    assert!(said.contains(broken.text()) && said.contains("line 2"), "{said}");
}

#[test]
fn every_key_of_the_defaults_is_a_setting_that_is_read() {
    let defaults = include_str!("../../config/default.toml");
    let keys = defaults.lines().filter(|line| !line.starts_with('#') && line.contains(" = ")).count();
    assert_eq!(load(None, &[], &[]).unwrap().to_string().lines().count(), keys);
}
