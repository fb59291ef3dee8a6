//! The rules that can be taken out, one at a time.

/// A rule of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// An event's state enters only above the key held.
    Key,
    /// A deletion outranks a live state of the same version.
    Deletion,
    /// What the database holds is read back before an event is judged.
    ReadBack,
    /// That read comes causally after the batch's own write, or a heartbeat.
    CausalJudgement,
    /// An absent record is looked for, not remembered.
    Memory,
    /// Each event is judged by itself, not by its batch.
    Unfold,
    /// Nothing is settled before its effect is durable.
    SettleLast,
    /// A change owes its fan-out in the same write.
    Owes,
    /// Only the revision that was shown is paid for.
    PaidRev,
    /// A first answer is confirmed.
    Confirm,
    /// A 404 is asked about again.
    Due404,
    /// Only a settled answer turns a live record into nothing.
    Settled404,
    /// Only a settled answer decides between equal versions.
    SettledTie,
    /// Conflicting contents of one version call for the owner.
    Conflict,
    /// The claim is durable before the request leaves.
    ClaimFirst,
    /// An answer enters only where the claim is held.
    AnswerClaim,
    /// An answer enters only where the revision is as claimed.
    AnswerRev,
    /// Who calls for a look takes the claim away.
    Voids,
    /// An answer is settled only a read lag after somebody called for it.
    Since,
    /// A call for a look that changes nothing is made again.
    CallAgain,
    /// What the owner says when it is called for is settled, also where that is held already.
    Word,
    /// A need is met by a settled answer that is new enough.
    Need,
    /// Stamps carry the record's own order, not the owner's version.
    StampRev,
    /// What is shown changes only under an older stamp.
    OlderStamp,
    /// A document without a stamp counts as older.
    Unstamped,
    /// A document is written only while it refers to the entity.
    Refers,
    /// What shows another entity is cleared while the record is not known.
    Evict,
    /// What refers to nothing any more is cleared.
    ClearUnreferenced,
    /// Hydration also repairs other content under the same stamp.
    SameStamp,
    /// The record is read causally after the document was seen.
    CausalHydration,
    /// A placeholder is made for who is wanted.
    Placeholder,
    /// The position moves last.
    PositionLast,
    /// A mark is unique.
    UniqueMark,
    /// Who relies on a marked record clears the mark, and then reads.
    Unmark,
    /// Who relies on a marked record reads it after that.
    ReadUnmarked,
    /// Who retires looks for references once more after the mark.
    LookAgain,
    /// A record is retired only under the mark that was looked under.
    UnderMark,
}
