//! Settings of the environment, each refused by its key or taken, and never repeated.

use nearcopy::settings::{Settings, SettingsError};

use super::Case;

/// A variable without its prefix, its value, and the key that is told of; nothing where it is taken.
pub(crate) const CASES: &[Case] = &[
    ("RABBITMQ__PREFETCH", "0", "rabbitmq.prefetch"),
    ("RABBITMQ__PREFETCH", "65536", "rabbitmq.prefetch"),
    ("RABBITMQ__PREFETCH", "-1", "rabbitmq.prefetch"),
    ("RABBITMQ__PREFETCH", "1e3", "rabbitmq.prefetch"),
    ("RABBITMQ__PREFETCH", " 1", ""),
    ("RABBITMQ__PREFETCH", "", ""),
    ("RABBITMQ__PREFETCH", "١", "rabbitmq.prefetch"),
    ("RABBITMQ__PREFETCH", "0x10", "rabbitmq.prefetch"),
    ("RABBITMQ__HEARTBEAT", "0s", "rabbitmq.heartbeat"),
    ("RABBITMQ__HEARTBEAT", "10", "rabbitmq.heartbeat"),
    ("RABBITMQ__HEARTBEAT", "-10s", "rabbitmq.heartbeat"),
    ("RABBITMQ__HEARTBEAT", "forever", "rabbitmq.heartbeat"),
    ("RABBITMQ__HEARTBEAT", "99999999999999999999s", "rabbitmq.heartbeat"),
    ("RABBITMQ__URL", "http://hush@broker", "rabbitmq.url"),
    ("RABBITMQ__URL", "amqp://", "rabbitmq.url"),
    ("RABBITMQ__URL", "broker:5672", "rabbitmq.url"),
    ("RABBITMQ__URL", "amqp://u:hush/h@broker", "rabbitmq.url"),
    ("RABBITMQ__URL", "amqp://u:hush@broker:port", "rabbitmq.url"),
    ("RABBITMQ__URL", "AMQP://broker", "rabbitmq.url"),
    ("RABBITMQ__URL_FILE", "/nowhere/hush", "rabbitmq.url_file"),
    ("RABBITMQ__URL_FILE", "/", "rabbitmq.url_file"),
    ("RABBITMQ__PREFECH", "1", "rabbitmq.prefech"),
    ("RABBIT__URL", "amqp://broker", "rabbit.url"),
    ("MONGODB__URL", "postgres://u:hush@db", "mongodb.url"),
    ("MONGODB__URL", "mongodb://u:hush@db:27017x/shop", "mongodb.url"),
    ("MONGODB__URL", "mongodb://u:hu@sh@db/shop", "mongodb.url"),
    ("MONGODB__DATABASE", "a/b", "mongodb.database"),
    ("MONGODB__DATABASE", "a b", "mongodb.database"),
    ("MONGODB__DATABASE", "$a", "mongodb.database"),
    ("MONGODB__DATABASE", "a.b", "mongodb.database"),
    ("ADMIN__LISTEN", "9464", "admin.listen"),
    ("ADMIN__LISTEN", "localhost", "admin.listen"),
    ("ADMIN__LISTEN", "0.0.0.0:99999", "admin.listen"),
    ("ADMIN__LISTEN", "::1:9", "admin.listen"),
    ("READ__LISTEN", "9465", "read.listen"),
    ("READ__LISTEN", "0.0.0.0:9465", "read.token"),
    ("READ__LISTEN", "[::]:9465", "read.token"),
    ("READ__TOKEN", "hush", "read.token"),
    ("READ__TOKEN", "hush and sixteen letters", "read.token"),
    ("READ__TOKEN", "sixteen-letters!\nhush users", "read.token"),
    ("FETCH__TOKEN", "hush", "fetch.token"),
    ("READ__TLS_KEY", "/etc/tls.key", "read.tls_certificate"),
    ("READ__TLS_CERTIFICATE", "/etc/tls.crt", "read.tls_key"),
    ("READ__TLS_CLIENT_CA", "/etc/ca.crt", "read.tls_certificate"),
    ("READ__CACHE", "much", "read.cache"),
    ("PIPELINE__BATCH", "0", "pipeline.batch"),
    ("PIPELINE__BATCH", "10001", "pipeline.batch"),
    ("PIPELINE__BATCH", "1.5", "pipeline.batch"),
    ("PIPELINE__IN_FLIGHT", "65", "pipeline.in_flight"),
    ("SWEEP__EVERY", "1ms", "sweep.every"),
    ("SWEEP__RETIRE_GRACE", "0", "sweep.retire_grace"),
    ("SWEEP__DRIFT_EVERY", "1 fortnight", "sweep.drift_every"),
    ("PARKED__TTL", "0s", "parked.ttl"),
    ("LOG__FORMAT", "JSON", "log.format"),
    ("LOG__FORMAT", "", ""),
    ("LOG__FILTER", "nearcopy=loud", "log.filter"),
    ("LOG__FILTER", "=", "log.filter"),
    ("SHUTDOWN__GRACE", "soon", "shutdown.grace"),
];

pub(crate) fn became(variable: &str, value: &str) -> String {
    let environment = vec![(format!("NEARCOPY__{variable}"), value.to_owned())];
    let Err(error) = Settings::from_layers(None, environment, &[]) else { return String::new() };
    let told = format!("{error} {error:?}");
    assert!(!told.contains("hush") || variable.ends_with("_FILE"), "a secret is told: {told}");
    match error {
        SettingsError::Wrong(problems) => {
            problems.iter().map(|problem| problem.key.clone()).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}
