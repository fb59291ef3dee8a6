//! The values of an event, each with its path.

use serde_json::Value;

/// How deep values are looked for: what lies deeper is rarely kept.
const DEEPEST: usize = 4;

/// The plain values in a value, and its lists, each with the names that lead there.
pub(super) fn leaves(value: &Value) -> Vec<(Vec<String>, &Value)> {
    let mut found = Vec::new();
    collect(value, &mut Vec::new(), &mut found);
    found
}

fn collect<'v>(value: &'v Value, path: &mut Vec<String>, found: &mut Vec<(Vec<String>, &'v Value)>) {
    let Value::Object(entries) = value else { return };
    for (name, value) in entries {
        path.push(name.clone());
        if value.is_object() && path.len() < DEEPEST {
            collect(value, path, found);
        } else {
            found.push((path.clone(), value));
        }
        path.pop();
    }
}

/// The value at a path.
pub(super) fn at<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

/// A path as a manifest writes it.
pub(super) fn written(root: &str, path: &[String]) -> String {
    let names = path.iter().map(|name| name.replace('\\', "\\\\").replace('.', "\\."));
    let root = Some(root.to_owned()).filter(|root| !root.is_empty());
    root.into_iter().chain(names).collect::<Vec<_>>().join(".")
}
