//! Puts the files of a manifest together: sources, replicas and embeds by name, the service said once.

use super::place::{Key, Node, Span, Value};
use super::{Code, Diagnostic};

/// Merges the trees in order; a name that is declared in two files is found here.
pub(super) fn merge(trees: Vec<Node>, findings: &mut Vec<Diagnostic>) -> Option<Node> {
    let mut merged: Option<(Node, Vec<(Key, Node)>)> = None;
    for tree in trees {
        let Value::Map(entries) = tree.value else {
            findings.push(no_mapping(&tree));
            continue;
        };
        let start = entries.first().map_or(tree.span, |(key, _)| key.span);
        let here = Node { span: start, value: Value::Null };
        let (_, into) = merged.get_or_insert_with(|| (here, Vec::new()));
        for (key, node) in entries {
            match into.iter_mut().find(|(known, _)| known.text == key.text) {
                None => into.push((key, node)),
                Some((first, known)) => join(first, known, key, node, findings),
            }
        }
    }
    merged.map(|(place, entries)| Node { value: Value::Map(entries), ..place })
}

/// Joins what two files say under one key.
fn join(first: &Key, known: &mut Node, key: Key, node: Node, findings: &mut Vec<Diagnostic>) {
    match (&mut known.value, node.value) {
        (Value::Map(entries), Value::Map(more)) => {
            for (name, node) in more {
                match entries.iter().find(|(other, _)| other.text == name.text) {
                    Some((other, _)) => findings.push(twice(other, &name, &key.text)),
                    None => entries.push((name, node)),
                }
            }
        }
        (Value::Text(one, _), Value::Text(other, _)) if *one == other => {}
        (Value::Null, value) => *known = Node { value, ..node },
        (_, Value::Null) => {}
        _ => findings.push(
            Diagnostic::new(Code::DeclaredTwice, key.span, format!("two files differ in `{}`", key.text))
                .why("something else here")
                .also(first.span, "first said here")
                .help("say it in one file only"),
        ),
    }
}

fn twice(first: &Key, second: &Key, under: &str) -> Diagnostic {
    let message = format!("`{}` is declared in two files, under `{under}`", second.text);
    Diagnostic::new(Code::DeclaredTwice, second.span, message)
        .why("again here")
        .also(first.span, "first here")
        .help("rename one of the two, or remove it; what has one name is one thing")
}

fn no_mapping(tree: &Node) -> Diagnostic {
    let at = Span { end: tree.span.start, ..tree.span };
    Diagnostic::new(Code::WrongType, at, format!("a manifest is a mapping, and this is {}", tree.kind()))
        .why("no key begins here")
        .help("begin with `service: <name of the consuming service>`")
}
