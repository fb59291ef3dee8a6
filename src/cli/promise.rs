//! What a replica's declaration promises, where that is less than one would think.

use crate::replication::{Declaration, Finding, Keep, Reaction, Subscription};

/// What deserves a look in what is declared, in words.
pub(super) fn promises(declaration: &Declaration) -> Vec<Finding> {
    declaration.replicas.iter().flat_map(|of| promises_of(of)).collect()
}

fn promises_of(of: &Subscription) -> Vec<Finding> {
    let name = &of.name;
    let patched = of.reactions.values().any(|reaction| *reaction == Reaction::Patch);
    let mut found = Vec::new();
    let mut look = |text: String| found.push(Finding::advice(text));
    if !of.selection.is_versioned() {
        look(format!(
            "`{name}` has no version: no event is taken by its word, each asks the owner, and what it answers once nothing \
             has changed for `settle` is what stays"
        ));
    }
    if patched && of.fetch.is_none() {
        look(format!(
            "`{name}` has patches and no `fetch`: an entity of which no full state comes stays pending"
        ));
    }
    if patched && matches!(of.keep, Keep::Where(_)) {
        look(format!(
            "`{name}` keeps a subset: each patch asks the owner, since the condition needs the whole"
        ));
    }
    found
}
