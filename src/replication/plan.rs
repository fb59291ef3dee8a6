//! What a declaration would change on a database on which others were at work before.

use super::{Declaration, History, Lineage, Shape, Standing, Step};
use crate::event::EntityType;

/// What is to be done before records and documents are as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Which generation the declaration is, or would be.
    pub standing: Standing,
    /// The newest generation there is.
    pub newest: i32,
    /// The replicas that change.
    pub replicas: Vec<ReplicaChange>,
    /// The embeds that change.
    pub embeds: Vec<EmbedChange>,
    /// The replicas that are not declared any more; their collections stay.
    pub undeclared: Vec<String>,
}

/// What becomes of a replica's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaChange {
    /// Which replica.
    pub name: EntityType,
    /// Whether there was none of that name.
    pub is_new: bool,
    /// The fields that are added, or read otherwise.
    pub brought: Vec<String>,
    /// The fields that are protected in place.
    pub sealed: Vec<String>,
    /// The fields that go.
    pub dropped: Vec<String>,
}

/// What becomes of the documents that an embed is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbedChange {
    /// Its name.
    pub name: String,
    /// The consumer's collection.
    pub collection: String,
    /// What happens there.
    pub turn: EmbedTurn,
}

/// What happens to an embed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbedTurn {
    /// Documents that refer to a record come to show it.
    New,
    /// They come to show something else.
    Changed,
    /// What it showed is taken away.
    Gone,
}

impl Plan {
    /// What this declaration would change after that history.
    pub fn of(history: &History, declared: &Declaration) -> Self {
        let (mut history, shape, newest) = (history.clone(), Shape::of(declared), history.newest());
        let standing = history.standing(&shape, None);
        let mut plan = Self {
            standing,
            newest,
            replicas: Vec::new(),
            embeds: Vec::new(),
            undeclared: history.orphans_of(declared),
        };
        let Standing::New(number) = standing else { return plan };
        history.append(shape);
        let placed = declared.as_generation(number, &history);
        for of in placed.replicas.iter().filter(|of| of.shape == number) {
            let before = history.lineage(of.name.as_str(), newest);
            let is_new = before == Lineage::default();
            let Step { brought, mut sealed, dropped } = of.lineage.since(newest);
            sealed.retain(|name| !brought.contains(name));
            if is_new || [&brought, &sealed, &dropped].iter().any(|fields| !fields.is_empty()) {
                plan.replicas.push(ReplicaChange { name: of.name.clone(), is_new, brought, sealed, dropped });
            }
        }
        for embed in placed.embeds.iter().filter(|embed| embed.shape == number) {
            let was_there = history.shown(newest).any(|(_, name, _)| *name == embed.name);
            let turn = if was_there { EmbedTurn::Changed } else { EmbedTurn::New };
            plan.embeds.push(EmbedChange {
                name: embed.name.clone(),
                collection: embed.collection.clone(),
                turn,
            });
        }
        for (_, name, shown) in history.shown(newest).filter(|(number, ..)| *number == newest) {
            if !placed.embeds.iter().any(|embed| embed.name == *name) {
                let collection = shown.collection.clone();
                plan.embeds.push(EmbedChange { name: name.clone(), collection, turn: EmbedTurn::Gone });
            }
        }
        plan
    }

    /// Whether records and documents are as declared already, or will be without anything new.
    pub fn is_empty(&self) -> bool {
        self.replicas.is_empty() && self.embeds.is_empty()
    }
}

impl EmbedTurn {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Gone => "gone",
        }
    }
}
