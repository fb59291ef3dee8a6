//! Which rule is taken out where, so that something breaks; and the rule that another stands in for.

use super::guard::Guard;
use super::interleavings as small;
use super::interleavings::CRASH;
use super::setting::{Asked, Setting};

/// A rule, and a world in which it is missed.
pub(crate) struct Removal {
    /// Which rule.
    pub guard: Guard,
    /// The rule in words.
    pub rule: &'static str,
    /// Where it is missed.
    pub setting: Setting,
    /// What stands in for it, so that it is not missed.
    pub stands_in: Option<&'static str>,
}

/// A rule, its words, and the world.
type Row = (Guard, &'static str, Setting);

/// Every rule, taken out once.
pub(crate) fn removals() -> Vec<Removal> {
    let rows = [of_events(), of_answers(), of_documents(), of_interest()].into_iter().flatten();
    let removal = |(guard, rule, setting)| Removal { guard, rule, setting, stands_in: stands_in(guard) };
    rows.map(removal).collect()
}

/// A rule that is not missed is said to be so, and why. It stays for the writes that are not modelled.
fn stands_in(guard: Guard) -> Option<&'static str> {
    (guard == Guard::AnswerRev).then_some("whatever moves the revision takes the claim away")
}

fn of_events() -> Vec<Row> {
    use Guard::{CausalJudgement, Deletion, Key, Memory, Owes, PaidRev, ReadBack, SettleLast, Unfold};
    let unasked = small::deleted_at_one_version(Asked::Never);
    let crash = Setting { left: CRASH, ..small::inserted_after_the_scan() };
    vec![
        (Key, "an event's state enters only above the key held", small::crash_after_an_event()),
        (Deletion, "a deletion outranks a live state of its version", unasked),
        (ReadBack, "what the database holds is read back", small::reply_is_lost()),
        (CausalJudgement, "that read is causally after a real write", small::reply_is_lost()),
        (Memory, "an absent record is looked for, not remembered", small::passed_by_and_remembered()),
        (Unfold, "each event of a batch is judged by itself", small::winner_is_refused()),
        (SettleLast, "nothing is settled before its effect is durable", crash),
        (Owes, "the debt is in the same write as the change", small::crash_after_an_answer()),
        (PaidRev, "only the revision that was shown is paid for", small::crash_after_an_event()),
    ]
}

fn of_answers() -> Vec<Row> {
    use Guard::{AnswerClaim, AnswerRev, ClaimFirst, Confirm, Conflict, Due404, Need};
    use Guard::{CallAgain, Settled404, SettledTie, Since, Voids, Word};
    vec![
        (Confirm, "a first answer is confirmed", small::passed_by()),
        (Due404, "a 404 is asked about again", small::late_after_404()),
        (Settled404, "only a settled 404 takes something away", small::late_404()),
        (SettledTie, "only a settled answer decides a tie", small::two_contents_of_a_placeholder()),
        (Conflict, "two contents of one version call for the owner", small::two_contents()),
        (ClaimFirst, "the claim is durable before the request leaves", small::passed_by()),
        (AnswerClaim, "an answer enters only while its claim is held", small::told_vaguely()),
        (AnswerRev, "an answer enters only at the revision claimed", small::passed_by()),
        (Voids, "who calls for a look takes the claim away", small::told_vaguely()),
        (Since, "settled means a read lag after it was called for", small::told_vaguely()),
        (CallAgain, "a call for a look that changes nothing is made again", small::called_in_vain()),
        (Word, "a word that was called for settles what is held", small::told_of_what_is_held()),
        (Need, "a need ends by a settled answer new enough", small::told_of_what_is_overdue()),
    ]
}

fn of_documents() -> Vec<Row> {
    use Guard::{CausalHydration, ClearUnreferenced, Evict, OlderStamp, Refers, SameStamp};
    use Guard::{StampRev, Unstamped};
    vec![
        (StampRev, "stamps carry `rev`, not the owner's version", small::two_contents()),
        (OlderStamp, "what is shown changes only under an older stamp", small::crash_after_an_event()),
        (Unstamped, "no stamp counts as an older one", small::created_after_404()),
        (Refers, "a document is written only while it refers there", small::there_and_back()),
        (Evict, "what shows another entity is cleared at once", small::another_is_pending()),
        (ClearUnreferenced, "what refers to nobody any more is cleared", small::reference_is_cleared()),
        (SameStamp, "hydration repairs other content under one stamp", small::copied()),
        (CausalHydration, "the record is read causally after the document", small::inserted_after_the_scan()),
    ]
}

fn of_interest() -> Vec<Row> {
    use Guard::{LookAgain, Placeholder, PositionLast, ReadUnmarked, UnderMark, UniqueMark, Unmark};
    vec![
        (Placeholder, "who is wanted has a record", small::created_after_404()),
        (PositionLast, "the position moves last", small::crash_after_an_answer()),
        (UniqueMark, "a mark is unique", small::two_who_retire_and_one_who_wants()),
        (Unmark, "who relies on a record clears its mark", small::wanted_while_retired()),
        (ReadUnmarked, "and reads it after that", small::wanted_while_retired()),
        (LookAgain, "references are looked for after the mark", small::wanted_while_retired()),
        (UnderMark, "a record is deleted only under the mark it had", small::wanted_while_retired()),
    ]
}
