//! The charts say what the product says: its settings, its manifest, its metrics, its version. `make chart` checks the rest.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at that very line")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use nearcopy::manifest;
use nearcopy::settings::Settings;
use nearcopy::telemetry::{Entry, Kind, metric};
use serde_json::{Value, json};

const LIBRARY: &str = "helm/nearcopy-lib";
/// What Prometheus adds to each metric.
const ADDED: [&str; 4] = ["namespace", "job", "pod", "le"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

#[test]
fn values_are_held_to_the_settings_and_the_manifest_that_there_are() {
    let path = format!("{LIBRARY}/values.schema.json");
    let mut schema: Value = serde_json::from_str(&read(&path)).unwrap();
    schema["properties"]["settings"] = settings();
    schema["definitions"] = definitions();
    let current = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(root().join(&path), &current).unwrap();
    }
    assert!(read(&path) == current, "{path} is stale; run the tests with UPDATE_SCHEMA=1");
}

#[test]
fn each_secret_setting_is_a_secret_of_the_chart() {
    let (all, schema) = (Settings::schema().unwrap(), read(format!("{LIBRARY}/values.schema.json")));
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let keys = |of: &Value, is_meant: &dyn Fn(&Value) -> bool| {
        let mut found = BTreeSet::new();
        for (section, keys) in of["properties"].as_object().unwrap() {
            let meant = keys["properties"].as_object().unwrap().iter().filter(|(_, key)| is_meant(key));
            found.extend(meant.map(|(key, _)| format!("{section}.{key}")));
        }
        found
    };
    assert_eq!(keys(&all, &is_secret), keys(&schema["properties"]["secrets"], &|_| true));
}

#[test]
fn alerts_and_dashboard_know_the_metrics_that_there_are() {
    let known: BTreeMap<&str, Entry> =
        metric::entries().into_iter().map(|entry| (entry.name, entry)).collect();
    for file in ["files/alerts.yaml", "files/dashboard.json"] {
        let text = read(format!("{LIBRARY}/{file}")).replace("\\\"", "\"");
        for (name, labels) in metrics(&text) {
            let plain = name.trim_end_matches("_bucket");
            assert!(known.contains_key(plain), "{file}: there is no {name}");
            let entry = &known[plain];
            assert_eq!(entry.kind == Kind::Histogram, plain != name, "{file}: {name}");
            let odd = labels.iter().find(|label| !entry.labels.contains(label) && !ADDED.contains(label));
            assert_eq!(odd, None, "{file}: a label of {name}");
        }
    }
    let dashboard = read(format!("{LIBRARY}/files/dashboard.json"));
    let shown: BTreeSet<&str> =
        metrics(&dashboard).map(|(name, _)| name.trim_end_matches("_bucket")).collect();
    assert_eq!(shown, known.into_keys().collect(), "all are shown");
}

#[test]
fn each_alert_has_a_paragraph_that_says_what_to_do() {
    let (alerts, runbook) = (read(format!("{LIBRARY}/files/alerts.yaml")), read("helm/runbook.md"));
    let after = |text: &str, prefix: &str| -> Vec<String> {
        text.lines().filter_map(|line| Some(line.trim().strip_prefix(prefix)?.to_owned())).collect()
    };
    let named = after(&alerts, "- alert: ");
    assert_eq!(named, after(&runbook, "## "), "the same, in the same order");
    let led = after(&alerts, "runbook_url: RUNBOOK#");
    assert_eq!(led, named.iter().map(|name| name.to_lowercase()).collect::<Vec<_>>());
}

#[test]
fn charts_are_for_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    for chart in [LIBRARY, "helm/nearcopy"] {
        assert!(
            read(format!("{chart}/Chart.yaml")).contains(&format!("\nappVersion: {version}\n")),
            "{chart}"
        );
    }
}

/// The settings that values may say: all but secrets, and but where the manifest is, which the chart knows.
fn settings() -> Value {
    let mut schema = Settings::schema().unwrap();
    schema["properties"]["manifest"]["properties"].as_object_mut().unwrap().remove("paths");
    let sections = schema["properties"].as_object_mut().unwrap();
    for section in sections.values_mut() {
        section["properties"].as_object_mut().unwrap().retain(|_, key| !is_secret(key));
    }
    sections.retain(|_, section| section["properties"] != json!({}));
    schema
}

fn is_secret(key: &Value) -> bool {
    key["writeOnly"] == json!(true)
}

/// The schema of the manifest in the dialect of Helm. That there is a service at all, the chart sees to, since the values of a
/// chart that nobody has told anything yet must be right.
fn definitions() -> Value {
    let text = manifest::schema().to_string().replace("#/$defs/", "#/definitions/");
    let mut whole: Value = serde_json::from_str(&text).unwrap();
    let mut definitions = whole["$defs"].take();
    let members = whole.as_object_mut().unwrap();
    for name in ["$defs", "$schema", "required"] {
        members.remove(name);
    }
    definitions["Manifest"] = whole;
    read_on_as_true(&mut definitions);
    definitions
}

/// Helm reads the key `on`, where it is not quoted, as `true`.
fn read_on_as_true(schema: &mut Value) {
    if let Some(on) = schema.pointer("/properties/on").cloned() {
        schema["properties"]["true"] = on;
        let required = schema["required"].as_array_mut().unwrap();
        required.retain(|name| name != "on");
        schema["anyOf"] = json!([{ "required": ["on"] }, { "required": ["true"] }]);
    }
    match schema {
        Value::Object(members) => members.values_mut().for_each(read_on_as_true),
        Value::Array(items) => items.iter_mut().for_each(read_on_as_true),
        _ => {}
    }
}

/// The metrics in a text, each with the labels by which it is selected.
fn metrics(text: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    let is_name = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    text.match_indices("nearcopy_").map(move |(at, _)| {
        let (name, rest) =
            text[at..].split_at(text[at..].find(|letter| !is_name(letter)).unwrap_or_default());
        let selected = rest.strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or_default();
        let labels = selected.split(',').filter_map(|one| Some(one.split_once('=')?.0.trim()));
        (name, labels.collect())
    })
}
