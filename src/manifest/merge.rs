//! Puts the files of a manifest together: sources, replicas and embeds by name, the service said once.

use std::collections::BTreeMap;

use super::place::{Key, Node, Span, Value};
use super::{Code, Diagnostic};

/// Merges the trees in order; a name that is declared in two files is found here.
pub(super) fn merge(trees: Vec<Node>, findings: &mut Vec<Diagnostic>) -> Option<Node> {
    let mut merged: Option<Node> = None;
    for tree in trees {
        let Value::Map(entries) = tree.value else {
            findings.push(no_mapping(&tree));
            continue;
        };
        let Some(Node { value: Value::Map(known), .. }) = &mut merged else {
            let start = entries.first().map_or(tree.span, |(key, _)| key.span);
            merged = Some(Node { span: start, value: Value::Map(entries) });
            continue;
        };
        append(known, entries, |first, known, key, node| join(first, known, &key, node, findings));
    }
    merged
}

/// Appends entries whose keys are new, and hands over those that are not with their first.
fn append(
    entries: &mut Vec<(Key, Node)>,
    more: Vec<(Key, Node)>,
    mut clash: impl FnMut(&Key, &mut Node, Key, Node),
) {
    let known: BTreeMap<String, usize> =
        entries.iter().enumerate().map(|(at, (key, _))| (key.text.clone(), at)).collect();
    for (key, node) in more {
        match known.get(&key.text).and_then(|at| entries.get_mut(*at)) {
            Some((first, known)) => clash(first, known, key, node),
            None => entries.push((key, node)),
        }
    }
}

/// Joins what two files say under one key.
fn join(first: &Key, known: &mut Node, key: &Key, node: Node, findings: &mut Vec<Diagnostic>) {
    match (&mut known.value, node.value) {
        (Value::Map(entries), Value::Map(more)) => {
            append(entries, more, |first, _, name, _| findings.push(twice(first, &name, &key.text)));
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
