//! Compares what is held with what owners say, and what documents show with what is held; has both put right where that is
//! wanted.
//!
//! Events are on their way while it looks. So whatever differs is looked at again after the owner's read lag, and only what
//! differs then, too, counts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bson::{Bson, Document, doc};

use super::hydrate::{References, references};
use super::{Backfill, Backfilled, Halted, Pipeline, WalkError};
use crate::clock::Stopwatch;
use crate::event::EntityId;
use crate::replication::{Answer, Content, Difference, Embed, EmbedWrite, Scope, Subscription};
use crate::store::Moment;

/// How many records or documents are read together.
const PAGE: usize = 500;
/// How many conditions are looked for together.
const CONDITIONS: usize = 100;
/// How many differences are named.
const NAMED: usize = 20;

/// What is compared, and how.
pub struct Survey<'s> {
    /// The replica.
    pub of: &'s Subscription,
    /// Only these entities; all, where none is named.
    pub only: BTreeSet<EntityId>,
    /// How many of a hundred are looked at.
    pub share: f64,
    /// Decides which.
    pub seed: u64,
    /// How many entities the owner is asked about in a second, at most.
    pub per_second: u32,
    /// Whether differences are put right.
    pub repair: bool,
    /// Is told how far it has come.
    pub tell: &'s (dyn Fn(&Surveyed) + Send + Sync),
}

/// What a survey has found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surveyed {
    /// How many entities were compared with the owner.
    pub entities: u64,
    /// About how many the owner gave no answer.
    pub unanswered: u64,
    /// How many entities the owner has listed, where it does.
    pub listed: Option<u64>,
    /// Why its list was not read to the end.
    pub unlisted: Option<String>,
    /// How many differ, by the word for it.
    pub differing: BTreeMap<&'static str, u64>,
    /// Some of them.
    pub named: Vec<(EntityId, Difference)>,
    /// How many documents were compared with their records.
    pub documents: u64,
    /// How many show something else than they should, by embed.
    pub outdated: BTreeMap<String, u64>,
    /// How many refer to somebody of whom nothing is known, by embed.
    pub unknown: BTreeMap<String, u64>,
}

impl Surveyed {
    /// Whether everything is the same everywhere.
    pub fn is_same(&self) -> bool {
        let none = |counts: &BTreeMap<String, u64>| counts.values().all(|count| *count == 0);
        self.differing.is_empty() && none(&self.outdated) && none(&self.unknown)
    }
}

impl Surveyed {
    fn note(&mut self, id: EntityId, difference: Difference) {
        *self.differing.entry(difference.as_str()).or_default() += 1;
        if self.named.len() < NAMED {
            self.named.push((id, difference));
        }
    }
}

impl Survey<'_> {
    fn chooses(&self, id: &str) -> bool {
        let drawn = xxhash_rust::xxh3::xxh3_64_with_seed(id.as_bytes(), self.seed) % 1_000_000;
        #[expect(clippy::cast_precision_loss, reason = "it is below a million")]
        let drawn = drawn as f64 / 10_000.0;
        drawn < self.share
    }
}

impl Pipeline {
    /// Compares, and has the differences put right if that is wanted: owners are asked anew by whatever pod is at work,
    /// documents are brought in line at once.
    pub async fn survey(&self, survey: &Survey<'_>) -> Result<Surveyed, Halted> {
        let mut found = Surveyed::default();
        if let Some(fetch) = &survey.of.fetch {
            let suspects = self.survey_all(survey, &mut found).await?;
            let strangers = self.survey_list(survey, &mut found).await?;
            if !suspects.is_empty() || !strangers.is_empty() {
                self.pause(fetch.settle).await?;
                let suspects: Vec<EntityId> = suspects.into_iter().collect();
                self.survey_suspects(survey, &suspects, &mut found).await?;
                let strangers: Vec<EntityId> = strangers.into_iter().collect();
                self.survey_strangers(survey, &strangers, &mut found).await?;
            }
        }
        for embed in self.declaration.embeds_of(&survey.of.name) {
            self.survey_embed(survey, embed, &mut found).await?;
        }
        Ok(found)
    }

    /// Looks at all that are chosen; says who differs.
    async fn survey_all(
        &self,
        survey: &Survey<'_>,
        found: &mut Surveyed,
    ) -> Result<BTreeSet<EntityId>, Halted> {
        let (of, mut suspects) = (survey.of, BTreeSet::new());
        let (watch, mut from) = (Stopwatch::start(), None);
        loop {
            let ids: Vec<EntityId> = if survey.only.is_empty() {
                let page = self.persist(|| self.store.page(of, from.as_ref(), PAGE)).await?;
                page.into_keys().collect()
            } else {
                let rest = survey.only.iter().filter(|id| from.as_ref().is_none_or(|from| *id > from));
                rest.take(PAGE).cloned().collect()
            };
            let Some(last) = ids.last() else { return Ok(suspects) };
            from = Some(last.clone());
            let chosen: Vec<EntityId> =
                ids.into_iter().filter(|id| survey.chooses(&id.to_string())).collect();
            for some in chosen.chunks(usize::try_from(survey.per_second).unwrap_or(PAGE).clamp(1, PAGE)) {
                let (differing, unanswered) = self.differing(of, some).await?;
                found.entities += some.len() as u64;
                found.unanswered += unanswered;
                suspects.extend(differing.into_iter().map(|(id, _)| id));
                (survey.tell)(found);
                let due =
                    Duration::from_secs_f64(to_f64(found.entities) / f64::from(survey.per_second.max(1)));
                self.pause(due.saturating_sub(watch.elapsed())).await?;
            }
        }
    }

    /// Looks once more at those who differed; those who still do are told, and asked about.
    async fn survey_suspects(
        &self,
        survey: &Survey<'_>,
        suspects: &[EntityId],
        found: &mut Surveyed,
    ) -> Result<(), Halted> {
        let pace = Duration::from_secs_f64(1.0 / f64::from(survey.per_second.max(1)));
        for some in suspects.chunks(PAGE) {
            let (differing, _) = self.differing(survey.of, some).await?;
            let ids: Vec<EntityId> = differing.iter().map(|(id, _)| id.clone()).collect();
            if survey.repair && !ids.is_empty() {
                self.call(survey.of, &ids, Duration::ZERO).await?;
            }
            for (id, difference) in differing {
                found.note(id, difference);
            }
            self.pause(pace.saturating_mul(u32::try_from(some.len()).unwrap_or(u32::MAX))).await?;
        }
        Ok(())
    }

    /// Looks through the owner's list, where all that is listed should be kept; says of whom nothing is known.
    async fn survey_list(
        &self,
        survey: &Survey<'_>,
        found: &mut Surveyed,
    ) -> Result<BTreeSet<EntityId>, Halted> {
        let (of, mut strangers) = (survey.of, BTreeSet::new());
        if !of.is_filled() || !survey.only.is_empty() {
            return Ok(strangers);
        }
        let (watch, mut listed, mut seen, mut after) = (Stopwatch::start(), 0, BTreeSet::new(), None);
        loop {
            let page = match self.page_after(of, after.as_deref()).await {
                Ok(page) => page,
                Err(WalkError::Halted(halted)) => return Err(halted),
                Err(error) => {
                    found.unlisted = Some(error.to_string());
                    break;
                }
            };
            let is_kept = |answer: &Answer| matches!(answer, Answer::Found { content: Content::Live(_), .. });
            let kept = page.entities.into_iter().filter(|(_, answer)| is_kept(answer)).map(|(id, _)| id);
            let chosen: Vec<EntityId> = kept.filter(|id| survey.chooses(&id.to_string())).collect();
            listed += chosen.len() as u64;
            found.listed = Some(listed);
            strangers.extend(self.unknown(of, chosen).await?);
            (survey.tell)(found);
            after = page.next;
            if after.as_ref().is_none_or(|after| !seen.insert(after.clone())) {
                break;
            }
            let due = Duration::from_secs_f64(to_f64(listed) / f64::from(survey.per_second.max(1)));
            self.pause(due.saturating_sub(watch.elapsed())).await?;
        }
        Ok(strangers)
    }

    /// Looks once more for those of whom nothing was known: an event that tells of them may have been on its way.
    async fn survey_strangers(
        &self,
        survey: &Survey<'_>,
        strangers: &[EntityId],
        found: &mut Surveyed,
    ) -> Result<(), Halted> {
        let of = survey.of;
        for some in strangers.chunks(PAGE) {
            let unknown = self.unknown(of, some.to_vec()).await?;
            if survey.repair && !unknown.is_empty() {
                let backfill = Backfill { of, hold: None, only_look: false, tell: &|_, _| {} };
                self.backfill(&backfill, &unknown, &mut Backfilled::default()).await?;
            }
            for id in unknown {
                found.note(id, Difference::Unknown);
            }
        }
        Ok(())
    }

    /// Those of whom there is no record.
    async fn unknown(&self, of: &Subscription, mut ids: Vec<EntityId>) -> Result<Vec<EntityId>, Halted> {
        let held = self.persist(|| self.store.read(of, &ids, None)).await?;
        ids.retain(|id| !held.contains_key(id));
        Ok(ids)
    }

    /// Those of these entities that differ, and about how many the owner gives no answer.
    async fn differing(
        &self,
        of: &Subscription,
        ids: &[EntityId],
    ) -> Result<(Vec<(EntityId, Difference)>, u64), Halted> {
        let epoch = self.timeline(of).await?.current();
        let replies = self.fetch.ask(of, ids).await;
        // Read after the owner was asked, so that an event that came meanwhile does not count against it.
        let records = self.persist(|| self.store.read(of, ids, None)).await?;
        let (mut differing, mut unanswered) = (Vec::new(), 0);
        for (id, reply) in ids.iter().zip(replies) {
            let (Some(record), Ok(answer)) = (records.get(id), &reply.outcome) else {
                unanswered += u64::from(reply.outcome.is_err());
                continue;
            };
            differing.extend(Difference::between(record, answer, epoch).map(|other| (id.clone(), other)));
        }
        Ok((differing, unanswered))
    }

    /// Looks at the documents of an embed.
    async fn survey_embed(
        &self,
        survey: &Survey<'_>,
        embed: &Embed,
        found: &mut Surveyed,
    ) -> Result<(), Halted> {
        let moment = self.persist(|| self.store.heartbeat()).await?;
        let (mut from, mut outdated, mut unknown) = (None::<Bson>, 0, 0);
        loop {
            let page = self.persist(|| self.store.scan(embed, from.as_ref(), PAGE, moment)).await?;
            let Some(last) = page.last().and_then(|document| document.get("_id").cloned()) else { break };
            from = Some(last);
            let is_chosen =
                |document: &Document| document.get("_id").is_some_and(|id| survey.chooses(&id.to_string()));
            let chosen: Vec<Document> = page.into_iter().filter(is_chosen).collect();
            let (others, strangers) = self.compare_documents(survey, embed, &chosen, moment).await?;
            (outdated, unknown) = (outdated + others, unknown + strangers);
            found.documents += chosen.len() as u64;
            (survey.tell)(found);
        }
        found.outdated.insert(embed.name.clone(), outdated);
        found.unknown.insert(embed.name.clone(), unknown);
        Ok(())
    }

    /// How many of these documents show something else than they should, and how many refer to somebody unknown.
    async fn compare_documents(
        &self,
        survey: &Survey<'_>,
        embed: &Embed,
        documents: &[Document],
        moment: Option<Moment>,
    ) -> Result<(u64, u64), Halted> {
        let of = survey.of;
        let References { mut known, .. } = references(embed, of, documents);
        if !survey.only.is_empty() {
            known.retain(|id, _| survey.only.contains(id));
        }
        let entities: Vec<EntityId> = known.keys().cloned().collect();
        let records = self.persist(|| self.store.read(of, &entities, moment)).await?;
        let (mut writes, mut unknown) = (Vec::new(), 0);
        for (entity, ids) in &known {
            match records.get(entity) {
                Some(record) if of.leaves_alone(record) => {}
                Some(record) => writes.extend(embed.writes(record, Scope::Exactly(ids))),
                None => unknown += ids.len() as u64,
            }
        }
        let outdated = self.count_matching(embed, &writes).await?;
        if survey.repair && outdated + unknown > 0 {
            self.hydrate_documents(embed, documents, moment).await?;
        }
        Ok((outdated, unknown))
    }

    /// How many documents these statements would change.
    async fn count_matching(&self, embed: &Embed, writes: &[EmbedWrite]) -> Result<u64, Halted> {
        let mut ids: BTreeSet<String> = BTreeSet::new();
        for some in writes.chunks(CONDITIONS) {
            let filters: Vec<&Document> = some.iter().map(|write| &write.filter).collect();
            let filter = doc! { "$or": filters.into_iter().cloned().map(Bson::from).collect::<Vec<Bson>>() };
            let mut pages = self.persist(|| self.store.matching(embed, filter.clone())).await?;
            // A cursor that is lost in the middle leaves some uncounted: a count is no more than that of the moment.
            while let Ok(page) = pages.next(PAGE).await {
                if page.is_empty() {
                    break;
                }
                ids.extend(page.iter().map(ToString::to_string));
            }
        }
        Ok(ids.len() as u64)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate is no exact number")]
fn to_f64(count: u64) -> f64 {
    count as f64
}
