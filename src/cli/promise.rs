//! What a declaration promises, where that is less than one would think.

use crate::replication::{Declaration, Finding, HashedBy, Keep, Reaction, SourceSpec, Subscription};

/// What deserves a look in what is declared, in words.
pub(super) fn promises(declaration: &Declaration) -> Vec<Finding> {
    let of_replicas = declaration.replicas.iter().flat_map(|of| promises_of(of));
    let of_sources = declaration.sources.iter().filter_map(|of| promise_of_source(of));
    let beside = declaration.replicas.iter().filter_map(|of| kept_beside(declaration, of));
    let unfilled = declaration.replicas.iter().filter_map(|of| before_the_queue(declaration, of));
    of_replicas.chain(beside).chain(unfilled).chain(of_sources).collect()
}

/// Routing keys of which there are only a few name no entities.
fn promise_of_source(of: &SourceSpec) -> Option<Finding> {
    let is_by_key = of.queue.split.as_ref().is_some_and(|split| split.by == HashedBy::RoutingKey);
    let is_open = |key: &String| key.contains(['*', '#']);
    if !is_by_key || of.queue.bindings.is_empty() || of.queue.bindings.iter().any(is_open) {
        return None;
    }
    Some(Finding::advice(format!(
        "`{}` is split by the routing key, and the bindings let {} of them through: what is published under one of them goes \
         into one partition; if it is the entity that has to tell, name a header that does: `by: {{ header: … }}`",
        of.name,
        of.queue.bindings.len()
    )))
}

/// Read models are folded from whole events, and know nothing of what a replica protects.
fn kept_beside(declaration: &Declaration, of: &Subscription) -> Option<Finding> {
    let hidden = of.selection.fields().filter(|field| field.protect.is_some()).chain(&of.dropped);
    let hidden: Vec<&str> = hidden.map(|field| field.name.as_str()).collect();
    let models = declaration.read_models.iter().filter(|model| model.source == of.source);
    let models: Vec<&str> = models.map(|model| model.name.as_str()).collect();
    let text = format!(
        "`{}` protects or drops `{}`, and is of the same source as `{}`: `protect` is for replicas, and read models keep \
         what they declare as it comes",
        of.name,
        hidden.join("`, `"),
        models.join("`, `")
    );
    (!hidden.is_empty() && !models.is_empty()).then(|| Finding::advice(text))
}

/// A queue tells nothing of what was before it.
fn before_the_queue(declaration: &Declaration, of: &Subscription) -> Option<Finding> {
    let has_queue = declaration.sources.iter().any(|source| source.name == of.source);
    if !has_queue || !of.keep.creates() || of.is_filled() {
        return None;
    }
    Some(Finding::advice(format!(
        "`{}`: whoever was there before the queue was is unknown until an event tells of it; with `fetch.list` the owner is \
         asked for all that it has",
        of.name
    )))
}

fn promises_of(of: &Subscription) -> Vec<Finding> {
    let name = &of.name;
    let patched = of.reactions.values().any(|reaction| *reaction == Reaction::Patch);
    let mut found = Vec::new();
    let mut look = |text: String| found.push(Finding::advice(text));
    for field in &of.dropped {
        look(format!("`{name}.{}` is dropped: nothing of it is kept, shown or told", field.name));
    }
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
