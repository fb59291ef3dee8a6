//! What must hold at rest, by a reading of the promises that shares nothing with the product.

use std::collections::{BTreeMap, BTreeSet};

use bson::Document;
use futures::FutureExt;
use nearcopy::event::{EntityId, EntityType};
use nearcopy::replication::{Embed, Record, State, Why};
use nearcopy::store::ParkedStore;

use crate::consumer::key;
use crate::journal::Violation;
use crate::judge_embeds;
use crate::owner::{CANARY, Said, User};
use crate::plan::{Asked, Kept, Plan};
use crate::stage::Stage;
use crate::watch::{places, state};

const LOST: &str = "I1, no loss: every event is settled, and reflected";
const CONVERGED: &str = "I4, convergence: every kept record is as the owner has it";
const INTEREST: &str = "I6, interest: kept is what is wanted, and nothing else";
const MINIMAL: &str = "I7, minimality: nothing undeclared is anywhere";
const PAID: &str = "nothing is owed at rest";

/// All that is known at rest.
pub(crate) struct Rest<'s> {
    pub(crate) stage: &'s Stage,
    pub(crate) plan: &'s Plan,
    pub(crate) records: BTreeMap<String, Record>,
    pub(crate) log: BTreeMap<String, Vec<Said>>,
    pub(crate) found: Vec<Violation>,
}

/// Everything that is not as it must be.
pub(crate) fn judge(stage: &Stage) -> Vec<Violation> {
    let records = stage.memory.records(&EntityType::new("users"));
    let records = records.into_iter().map(|(id, record)| (id.to_string(), record)).collect();
    let mut rest = Rest { stage, plan: &stage.plan, records, log: stage.owner.log(), found: Vec::new() };
    let unsettled = stage.broker.unsettled();
    if unsettled > 0 {
        rest.broken(LOST, format!("{unsettled} messages are not settled"));
    }
    rest.interest();
    rest.each_record();
    for embed in &stage.declaration.embeds {
        judge_embeds::judge(&mut rest, embed);
    }
    rest.canaries();
    rest.found
}

impl Rest<'_> {
    pub(crate) fn broken(&mut self, law: &'static str, detail: String) {
        self.found.push(Violation { law, detail });
    }

    /// Who should be kept, and who is.
    fn interest(&mut self) {
        let held: BTreeSet<String> = self.records.keys().cloned().collect();
        let wanted = self.referenced();
        let told = |said: &Vec<Said>| said.iter().any(|said| said.told);
        let told: BTreeSet<String> =
            self.log.iter().filter(|(_, said)| told(said)).map(|(id, _)| id.clone()).collect();
        let missing: Vec<String> = match self.plan.kept {
            Kept::Referenced => wanted.difference(&held).cloned().collect(),
            Kept::All | Kept::Where => {
                wanted.union(&told).filter(|id| !held.contains(*id)).cloned().collect()
            }
        };
        if !missing.is_empty() {
            self.broken(INTEREST, format!("nothing is held of {missing:?}"));
        }
        let surplus: Vec<String> = match self.plan.kept {
            Kept::Referenced => held.difference(&wanted).cloned().collect(),
            Kept::All | Kept::Where => Vec::new(),
        };
        if !surplus.is_empty() {
            self.broken(INTEREST, format!("{surplus:?} are held, and nobody refers to them"));
        }
    }

    /// The users that documents refer to.
    fn referenced(&self) -> BTreeSet<String> {
        let mut referenced = BTreeSet::new();
        for embed in &self.stage.declaration.embeds {
            for document in self.stage.memory.all(&embed.collection) {
                referenced.extend(places(embed, &document).into_iter().filter_map(reference));
            }
        }
        referenced
    }

    fn each_record(&mut self) {
        for (id, record) in self.records.clone() {
            if record.owes {
                self.broken(PAID, format!("{id} owes a fan-out: {}", state(&record)));
            }
            let latest = self.log.get(&id).and_then(|said| said.last()).cloned();
            if !self.is_right(&id, &record, latest.as_ref()) {
                let truth = latest.map(|said| (said.version, said.user));
                self.broken(CONVERGED, format!("{id} is {}, and the owner has {truth:?}", state(&record)));
            }
        }
    }

    fn is_right(&self, id: &str, record: &Record, latest: Option<&Said>) -> bool {
        if self.plan.asked == Asked::Never {
            return self.is_right_unasked(id, record, latest);
        }
        match latest.and_then(|said| said.user.as_ref()).filter(|user| self.stage.owner.keeps(user)) {
            Some(user) => is_live(record, user),
            None => matches!(record.state, State::Gone(_)),
        }
    }

    /// Where nobody can be asked, what was told is all there is to know; under `referenced`, what was told since the
    /// record is there. Of contents under one version any may have won, as long as all pods agree.
    fn is_right_unasked(&self, id: &str, record: &Record, latest: Option<&Said>) -> bool {
        let no_log = Vec::new();
        let said = self.log.get(id).unwrap_or(&no_log);
        let held = record.key.as_ref().map(|key| key.version.get());
        let life = self.stage.watch.lives().get(&EntityId::String(id.into())).copied().unwrap_or_default();
        let floor = match self.plan.kept {
            Kept::Referenced => said.iter().filter(|said| said.at > life).map(|said| said.version).max(),
            Kept::All | Kept::Where => latest.map(|said| said.version),
        };
        if floor.is_some() && held < floor {
            return false;
        }
        let Some(held) = held else { return record.state == State::Pending };
        let mut of_version: Vec<&Said> = said.iter().filter(|said| said.version == held).collect();
        if of_version.iter().any(|said| said.user.is_none()) {
            of_version
                .retain(|said| said.user.is_none() || self.plan.kept == Kept::Referenced && said.at <= life);
        }
        of_version.into_iter().any(|said| match &said.user {
            Some(user) if self.stage.owner.keeps(user) => is_live(record, user),
            Some(_) => record.state == State::Gone(Why::Out),
            None => record.state == State::Gone(Why::Deleted),
        })
    }

    /// What is not declared stands nowhere.
    fn canaries(&mut self) {
        let mut all: Vec<String> =
            self.records.iter().map(|(id, record)| format!("{id} {record:?}")).collect();
        for embed in &self.stage.declaration.embeds {
            all.extend(self.stage.memory.all(&embed.collection).iter().map(Document::to_string));
        }
        let parked = self.stage.memory.pod("judge").parked(None, 0).now_or_never();
        let parked = parked.and_then(Result::ok).unwrap_or_default();
        all.extend(parked.iter().map(|parked| format!("{parked:?}")));
        for text in all.into_iter().filter(|text| text.contains(CANARY)) {
            self.broken(MINIMAL, text);
        }
    }
}

/// Whether a record shows a user, in the declared fields and no other.
fn is_live(record: &Record, user: &User) -> bool {
    let shows = |name: &str, value: &str| record.fields.get_str(name).ok() == Some(value);
    let is_whole = record.fields.len() == 2 && shows("name", &user.name) && shows("email", &user.email);
    record.state == State::Live && is_whole
}

/// Whom a document or element refers to.
pub(crate) fn reference(place: &Document) -> Option<String> {
    place.get_str("userId").ok().map(str::to_owned)
}

/// A document, for a person.
pub(crate) fn named(embed: &Embed, document: &Document) -> String {
    format!("{} {}: {document}", embed.collection, key(document))
}
