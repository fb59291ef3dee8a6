//! Which rule is taken out where, so that something breaks; and the rules that others stand in for.

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
    /// Where it is not missed: what stands in for it.
    pub stands_in: Option<&'static str>,
}

/// Every rule, taken out once.
pub(crate) fn removals() -> Vec<Removal> {
    let missed = |guard, rule, setting| Removal { guard, rule, setting, stands_in: None };
    let redundant = |guard, rule, setting, other| Removal { guard, rule, setting, stands_in: Some(other) };
    vec![
        missed(Guard::Key, "an event's state enters only above the key held", small::crash_after_an_event()),
        missed(
            Guard::Deletion,
            "a deletion outranks a live state of its version",
            small::deleted_at_one_version(Asked::Never),
        ),
        missed(Guard::ReadBack, "what the database holds is read back", small::reply_is_lost()),
        missed(Guard::CausalJudgement, "that read is causally after a real write", small::reply_is_lost()),
        missed(
            Guard::Memory,
            "an absent record is looked for, not remembered",
            small::passed_by_and_remembered(),
        ),
        missed(Guard::Unfold, "each event of a batch is judged by itself", small::winner_is_refused()),
        missed(
            Guard::SettleLast,
            "nothing is settled before its effect is durable",
            Setting { left: CRASH, ..small::inserted_after_the_scan() },
        ),
        missed(Guard::Owes, "the debt is in the same write as the change", small::crash_after_an_answer()),
        missed(Guard::PaidRev, "only the revision that was shown is paid for", small::crash_after_an_event()),
        missed(Guard::Confirm, "a first answer is confirmed", small::passed_by()),
        missed(Guard::Due404, "a 404 is asked about again", small::late_after_404()),
        missed(Guard::Settled404, "only a settled 404 takes something away", small::late_404()),
        missed(
            Guard::SettledTie,
            "only a settled answer decides a tie",
            small::two_contents_of_a_placeholder(),
        ),
        missed(Guard::Conflict, "two contents of one version call for the owner", small::two_contents()),
        missed(Guard::ClaimFirst, "the claim is durable before the request leaves", small::passed_by()),
        missed(Guard::AnswerClaim, "an answer enters only while its claim is held", small::told_vaguely()),
        redundant(
            Guard::AnswerRev,
            "an answer enters only at the revision claimed",
            small::passed_by(),
            "whatever moves the revision takes the claim away",
        ),
        missed(Guard::Voids, "who calls for a look takes the claim away", small::told_vaguely()),
        missed(Guard::Since, "settled means a read lag after it was called for", small::told_vaguely()),
        missed(Guard::Need, "a need ends by a settled answer new enough", small::created_again()),
        missed(Guard::StampRev, "stamps carry `rev`, not the owner's version", small::two_contents()),
        missed(
            Guard::StampGuard,
            "what is shown changes only under an older stamp",
            small::crash_after_an_event(),
        ),
        missed(Guard::Unstamped, "no stamp counts as an older one", small::created_after_404()),
        missed(Guard::Refers, "a document is written only while it refers there", small::there_and_back()),
        missed(Guard::Evict, "what shows another entity is cleared at once", small::another_is_pending()),
        missed(
            Guard::ClearUnreferenced,
            "what refers to nobody any more is cleared",
            small::reference_is_cleared(),
        ),
        missed(Guard::SameStamp, "hydration repairs other content under one stamp", small::copied()),
        missed(
            Guard::CausalHydration,
            "the record is read causally after the document",
            small::inserted_after_the_scan(),
        ),
        missed(Guard::Placeholder, "who is wanted has a record", small::created_after_404()),
        missed(Guard::PositionLast, "the position moves last", small::crash_after_an_answer()),
        missed(Guard::UniqueMark, "a mark is unique", small::two_who_retire_and_one_who_wants()),
        missed(Guard::Unmark, "who relies on a record clears its mark", small::wanted_while_retired()),
        missed(Guard::ReadUnmarked, "and reads it after that", small::wanted_while_retired()),
        missed(Guard::LookAgain, "references are looked for after the mark", small::wanted_while_retired()),
        missed(
            Guard::UnderMark,
            "a record is deleted only under the mark it had",
            small::wanted_while_retired(),
        ),
    ]
}
