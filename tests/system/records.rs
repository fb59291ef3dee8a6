//! Records: each write under its guard, both where it holds and where it does not.

use std::time::Duration;

use bson::doc;
use nearcopy::event::Version;
use nearcopy::replication::{Answer, Due, Key, Rank, RecordWrite, State, Why};
use nearcopy::store::{Backlog, RecordStore};

use crate::declared::{ASKED, PRODUCTS, deleted, id, saved, shop};
use crate::mongodb::Database;
use crate::writes::{CLAIM, ask, found, need, of_answer, of_events, paid, placeholder, unmark};

async fn kept() -> Database {
    Database::new(&shop("all", "", &[])).await
}

async fn referenced() -> Database {
    Database::new(&shop("referenced", ASKED, &[PRODUCTS])).await
}

impl Database {
    /// Writes what events make; says how many records changed.
    async fn event(&self, event: serde_json::Value) -> u64 {
        self.write(&of_events(&self.declaration, &[event])).await.changed
    }

    async fn one(&self, write: RecordWrite) -> u64 {
        self.write(&[write]).await.changed
    }

    /// Claims the only record that is due.
    async fn claim(&self) -> nearcopy::replication::Record {
        let mut claimed = self.store.claim_due(self.of(), 10, CLAIM).await.unwrap();
        assert_eq!(claimed.len(), 1);
        claimed.remove(0)
    }

    async fn answer(&self, claimed: &nearcopy::replication::Record, answer: Answer) -> u64 {
        self.one(of_answer(&self.declaration, claimed, &answer)).await
    }
}

fn live(version: i64, name: &str) -> Key {
    Key::live(Version::new(version), 1, &doc! { "username": name }.try_into().unwrap())
}

/// D1, D2: only what is above the key held enters, and what does not enter writes nothing.
#[tokio::test]
async fn a_state_enters_only_above_the_key_held() {
    let database = kept().await;
    assert_eq!(database.event(saved("42", 5, "ann")).await, 1);
    let first = database.record("42").await;
    assert_eq!((first.state, first.key.clone()), (State::Live, Some(live(5, "ann"))));
    for not_newer in [saved("42", 5, "ann"), saved("42", 4, "bob"), deleted("42", 4)] {
        assert_eq!(database.event(not_newer).await, 0);
    }
    assert_eq!(database.record("42").await, first, "nothing moved, the revision neither");
    assert_eq!(database.event(deleted("42", 5)).await, 1, "A7: a deletion of the same version enters");
    let gone = database.record("42").await;
    assert_eq!((gone.state, gone.key.unwrap().rank), (State::Gone(Why::Deleted), Rank::Deleted));
    assert!(gone.rev > first.rev);
    assert_eq!(database.event(saved("42", 5, "ann")).await, 0, "no resurrection at the same version");
    assert_eq!(database.event(saved("42", 6, "cat")).await, 1);
    assert_eq!(database.stored(&id("42")).await.get_str("username").unwrap(), "cat");
    database.drop().await;
}

/// A6: a deletion of what was never held is remembered, so an older event does not bring it back.
#[tokio::test]
async fn a_deletion_of_the_unknown_is_remembered_where_every_entity_is_kept() {
    let database = kept().await;
    assert_eq!(database.event(deleted("42", 9)).await, 1);
    assert_eq!(database.event(saved("42", 8, "ann")).await, 0);
    assert_eq!(database.record("42").await.state, State::Gone(Why::Deleted));
    database.drop().await;
}

/// A2: events of entities that nobody refers to leave nothing.
#[tokio::test]
async fn an_event_of_an_unwanted_entity_leaves_nothing() {
    let database = referenced().await;
    assert_eq!(database.event(saved("42", 5, "ann")).await, 0);
    assert_eq!(database.event(deleted("42", 6)).await, 0);
    assert_eq!(database.one(need("42", 7)).await, 0);
    assert_eq!(database.held("42").await, None);
    database.drop().await;
}

/// A8: where the owner decides, the first content of a version stays; where it cannot be asked, the hash decides.
#[tokio::test]
async fn of_two_contents_of_one_version_the_first_stays_or_the_higher_hash_wins() {
    let asked = referenced().await;
    asked.one(placeholder("42")).await;
    assert_eq!(asked.event(saved("42", 5, "ann")).await, 1);
    assert_eq!(asked.event(saved("42", 5, "bob")).await, 0);
    assert_eq!(asked.record("42").await.key, Some(live(5, "ann")));
    asked.drop().await;

    for order in [["ann", "bob"], ["bob", "ann"]] {
        let alone = kept().await;
        for name in order {
            alone.event(saved("42", 5, name)).await;
        }
        assert_eq!(alone.record("42").await.key, Some(live(5, "ann")).max(Some(live(5, "bob"))));
        alone.drop().await;
    }
}

/// A14: a placeholder is filled by any version; making it twice is making it once.
#[tokio::test]
async fn a_placeholder_is_made_once_and_filled_by_any_version() {
    let database = referenced().await;
    assert_eq!(database.one(placeholder("42")).await, 1);
    let pending = database.record("42").await;
    assert_eq!((pending.state, pending.key.clone()), (State::Pending, None));
    assert!(pending.due.is_some() && !pending.owes);
    assert_eq!(database.one(placeholder("42")).await, 0);
    assert_eq!(database.record("42").await, pending);
    assert_eq!(database.event(saved("42", 0, "ann")).await, 1);
    let filled = database.record("42").await;
    assert_eq!((filled.state, filled.due, filled.owes), (State::Live, pending.due, true));
    assert_eq!(database.one(placeholder("42")).await, 0, "what is live is no placeholder again");
    assert_eq!(database.record("42").await, filled);
    database.drop().await;
}

/// A13: a need is written where it is above what is held and needed, and an event that meets it ends it.
#[tokio::test]
async fn a_need_rises_until_it_is_met() {
    let database = referenced().await;
    database.one(placeholder("42")).await;
    database.event(saved("42", 5, "ann")).await;
    let before = database.record("42").await;
    for met in [4, 5] {
        assert_eq!(database.one(need("42", met)).await, 0);
    }
    assert_eq!(database.one(need("42", 7)).await, 1);
    assert_eq!(database.one(need("42", 6)).await, 0, "a lower need says nothing new");
    let needy = database.record("42").await;
    assert_eq!((needy.need, needy.rev), (Some(Version::new(7)), before.rev), "nothing shown has changed");
    database.event(saved("42", 6, "bob")).await;
    assert_eq!(database.record("42").await.need, Some(Version::new(7)));
    database.event(saved("42", 7, "cat")).await;
    assert_eq!(database.record("42").await.need, None);
    database.drop().await;
}

/// F1: an answer enters only where the record is as it was when the owner was asked.
#[tokio::test]
async fn an_answer_is_void_after_an_event_a_new_need_or_another_question() {
    let database = referenced().await;
    let meanwhile = [
        of_events(&database.declaration, &[saved("42", 5, "ann")]).remove(0),
        need("42", 9),
        need("42", None),
        ask("42", Duration::ZERO),
        ask("42", CLAIM * 2),
    ];
    for between in meanwhile {
        database.collection("users").delete_many(doc! {}).await.unwrap();
        database.one(placeholder("42")).await;
        let claimed = database.claim().await;
        assert_eq!(database.one(between.clone()).await, 1, "{between:?}");
        let held = database.record("42").await;
        assert_eq!(database.answer(&claimed, found(6, "old")).await, 0, "{between:?}");
        assert_eq!(database.record("42").await, held);
    }
    database.one(ask("42", Duration::ZERO)).await;
    let claimed = database.claim().await;
    assert_eq!(database.answer(&claimed, found(6, "new")).await, 1);
    let filled = database.record("42").await;
    assert_eq!((filled.key.clone(), filled.owes), (Some(live(6, "new")), true));
    assert!(filled.due.is_some(), "A1: it will be confirmed");
    assert_eq!(database.answer(&claimed, found(6, "new")).await, 0, "an answer enters once");
    database.drop().await;
}

/// A5: what a 404 left has no key, so an older event enters, and a question remains.
#[tokio::test]
async fn an_event_after_a_404_enters_and_is_asked_about() {
    let database = referenced().await;
    database.one(placeholder("42")).await;
    let claimed = database.claim().await;
    assert_eq!(database.answer(&claimed, Answer::NotFound).await, 1);
    let missing = database.record("42").await;
    assert_eq!((missing.state, missing.tries), (State::Gone(Why::NotFound), 1));
    assert!(missing.due.is_some());
    database.event(saved("42", 2, "ann")).await;
    let live = database.record("42").await;
    assert_eq!((live.state, live.due), (State::Live, missing.due));
    database.drop().await;
}

/// An owner that does not answer is asked later; a claim that has been overtaken moves nothing.
#[tokio::test]
async fn a_question_in_vain_waits_and_an_overtaken_one_moves_nothing() {
    let database = referenced().await;
    database.one(placeholder("42")).await;
    let claimed = database.claim().await;
    let unanswered = |claim: Option<String>| RecordWrite::Unanswered {
        id: id("42"),
        claim,
        due: Due::After(Duration::from_secs(3600)),
        tries: 3,
    };
    database.one(need("42", 3)).await;
    assert_eq!(database.one(unanswered(claimed.claim)).await, 0);
    let again = database.claim().await;
    assert_eq!(database.one(unanswered(again.claim)).await, 1);
    let waiting = database.record("42").await;
    assert_eq!((waiting.tries, waiting.need), (3, Some(Version::new(3))));
    assert!(waiting.due > again.due);
    assert_eq!(database.store.claim_due(database.of(), 10, CLAIM).await.unwrap(), []);
    database.drop().await;
}

/// D8: whoever may have missed events asks about everything, soon, and believes no answer that is on its way.
#[tokio::test]
async fn a_resync_asks_about_every_record_within_its_time() {
    let database = referenced().await;
    database.write(&["a", "b", "c"].map(placeholder)).await;
    let claimed = database.store.claim_due(database.of(), 10, CLAIM).await.unwrap();
    assert_eq!(database.store.ask_all(database.of(), Duration::from_millis(100)).await.unwrap(), 3);
    for record in &claimed {
        assert_eq!(database.answer(record, found(1, "old")).await, 0);
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    let again = database.store.claim_due(database.of(), 10, CLAIM).await.unwrap();
    assert_eq!(again.len(), 3);
    database.drop().await;
}

/// I9: one claim, one question.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_claimers_claim_each_due_record_once() {
    let database = referenced().await;
    let all: Vec<RecordWrite> = (0..500).map(|number| placeholder(&number.to_string())).collect();
    database.write(&all).await;
    let mut claimers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, of) = (database.connect().await, database.of().clone());
        claimers.spawn(async move {
            let mut mine = Vec::new();
            for _ in 0..40 {
                mine.extend(
                    store.claim_due(&of, 50, CLAIM).await.unwrap().into_iter().map(|record| record.id),
                );
            }
            mine
        });
    }
    let mut claimed: Vec<_> = claimers.join_all().await.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 500);
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len(), 500, "a record was claimed twice");
    database.drop().await;
}

/// B1: the debt is in the same write as the change; only the fan-out of this very revision clears it.
#[tokio::test]
async fn a_debt_is_cleared_by_the_fan_out_of_this_very_revision() {
    let database = referenced().await;
    database.one(placeholder("42")).await;
    database.event(saved("42", 1, "ann")).await;
    let first = database.record("42").await;
    assert_eq!(
        database.store.owing(database.of(), CLAIM, None, 10).await.unwrap(),
        [],
        "too young to be left behind"
    );
    assert_eq!(
        database.store.owing(database.of(), Duration::ZERO, None, 10).await.unwrap(),
        std::slice::from_ref(&first)
    );
    assert_eq!(
        database.store.backlog(database.of()).await.unwrap(),
        Backlog { owing: 1, ..Backlog::default() }
    );
    database.event(saved("42", 2, "bob")).await;
    assert_eq!(database.one(paid("42", first.rev)).await, 0);
    let second = database.record("42").await;
    assert_eq!(database.one(paid("42", second.rev)).await, 1);
    assert!(!database.record("42").await.owes);
    database.drop().await;
}

/// Marks, claims and needs are beside the state: an event leaves them as they are.
#[tokio::test]
async fn an_event_leaves_what_stands_beside_the_state() {
    use nearcopy::store::RetireStore;
    let database = referenced().await;
    database.write(&[placeholder("42"), need("42", 9)]).await;
    let claimed = database.claim().await;
    database.store.mark(database.of(), &[id("42")]).await.unwrap();
    database.event(saved("42", 5, "ann")).await;
    let held = database.record("42").await;
    assert_eq!(
        (held.need, held.due, held.asked, held.marked),
        (claimed.need, claimed.due, claimed.asked, true)
    );
    assert_eq!(database.one(unmark("42")).await, 1);
    assert_eq!(database.one(unmark("42")).await, 0);
    assert!(!database.record("42").await.marked);
    database.drop().await;
}
