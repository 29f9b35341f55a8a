"""A plan in numbers and words: how many stand how, what is the matter, and what to do next. Pure.

Values from rooms and rows stand in these texts as they are; whoever shows them makes them `visible`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from toolkit.model import Code, Finding, Plan, Reason, Status, Unit, UnitKind
from toolkit.quotes import quote_odd
from toolkit.text.advice import NOTEBOOK, action, settled, unsettled
from toolkit.words import CHATS, Words

_DECIDED = ("approved", "rejected", "deferred", "ignored")
_STATUSES = (Status.IN_SYNC, Status.MISSING, Status.MISMATCHED, Status.CONFLICT)
_URGENT = {Status.CONFLICT: 0, Status.MISSING: 1, Status.MISMATCHED: 2}

WORDS: Mapping[str, str] = {
    Code.OWNER_AMBIGUOUS: "several users may own it",
    Code.OWNER_UNKNOWN: "nobody is known to own it",
    Code.OWNER_LEFT: "its owner has left",
    Code.OWNER_CHANGED: "rows and rooms name different owners",
    Code.OWNER_MISMATCH: "it belongs to somebody else",
    Code.CHAT_ID_UNKNOWN: "nothing says which chat it is",
    Code.CHAT_ID_INFERRED: "which chat it is can only be guessed",
    Code.EVIDENCE_DISAGREES: "rows and rooms say different ids",
    Code.DUPLICATE_CHAT_ID: "several rooms claim one chat id",
    Code.DUPLICATE_ID: "several rooms claim one id",
    Code.DUPLICATE_ROW: "several rows have one id",
    Code.ID_INFERRED: "which id it has can only be guessed",
    Code.MULTIPLE_SPACES: "one user has several Spaces",
    Code.UNREADABLE_ROW: "a row can't be read",
    Code.ROOM_UNREADABLE: "a room could not be read",
    Code.STALE_PLAN: "it changed after it was planned",
    Code.NOT_A_CHAT: "a row calls a room a chat that is none",
    Code.MISSING_ROW: "a row is missing",
    Code.WRONG_FIELD: "a field is wrong",
    Code.WRONG_SURFACE_REF: "a chat row points at another room",
    Code.COUNTER_TOO_LOW: "the next chat would take a used number",
    Code.COUNTER_TOO_HIGH: "the counter is ahead of every known chat",
    Code.ROW_OF_NO_CHAT: "a row is about a room that is no chat",
    Code.SURPLUS_CHAT_ROW: "a further chat row points at the room",
    Code.UNLISTED_ROOM: "a Space doesn't list the chat",
    Code.NO_ROOM_JOINED: "the rows are of rooms that the account isn't in",
    Code.IDS_EXHAUSTED: "no further chat id fits",
    Code.NEW_DATABASE: "the database is new",
    Code.UNLINKED: "rows name no room",
    Code.SURPLUS_ROW: "a further row names the room",
    Code.ROW_OF_SKIPPED_ROOM: "a row names a room that isn't looked at",
}
"""What each code says, in a few words that are true of any unit."""


OTHERS = "of other platforms or kinds of room; left alone"
"""What the rows are that belong to something else."""


class Cause(msgspec.Struct, frozen=True):
    """One thing that is the matter, in words, and with how many units or rows."""

    code: Code
    words: str
    count: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A plan in numbers. Counts by status have all four of them, those by reason what there is.

    `ready` units may be written as they are, `to_decide` ones need a person; `decided` counts what
    was approved, rejected, deferred and ignored of both. `next` is the next thing to do, in one sentence
    with code between backticks.
    """

    account: str
    joined: int
    rooms: dict[Status, int]
    users: dict[Status, int]
    causes: tuple[Cause, ...]
    skipped: dict[Reason, int]
    orphans: int
    notes: int
    loose: int
    others: int = 0
    ready: int
    to_decide: int
    decided: dict[str, int]
    next: str
    words: Words = CHATS

    @property
    def units(self) -> int:
        """How many rooms and user rows are not in sync."""
        return self.ready + self.to_decide


def summarise(
    plan: Plan, decided: Mapping[str, str] | None = None, *, offline: bool = False
) -> Summary:
    """Count a plan's units and say what to do next.

    `decided`: unit -> pending, approved, rejected, deferred or ignored. `offline`: the session looks at a
    snapshot, so that it can decide but not write.
    """
    votes = decided or {}
    given = Counter(votes[unit.id] for unit in plan.units if unit.id in votes)
    reasons = Counter(skip.reason for skip in plan.skipped)
    return Summary(
        account=plan.account,
        joined=len(plan.joined),
        rooms=_by_status(plan.units, UnitKind.ROOM, len(plan.in_sync_rooms)),
        users=_by_status(plan.units, UnitKind.USER, len(plan.in_sync_users)),
        causes=count_causes(plan),
        skipped={reason: reasons[reason] for reason in Reason if reasons[reason]},
        orphans=len(plan.orphans),
        notes=len(plan.notes),
        loose=len(plan.loose),
        others=plan.others,
        ready=len(settled(plan)),
        to_decide=len(unsettled(plan)),
        decided={name: given[name] for name in _DECIDED},
        next=_next(plan, votes, offline),
        words=plan.words,
    )


def urgent_units(units: Iterable[Unit]) -> list[Unit]:
    """Units in conflict first, then those with lost rows, then those with wrong ones (rules 3)."""
    return sorted(units, key=lambda unit: _URGENT.get(unit.status, len(_URGENT)))


def count_of(number: int, noun: str) -> str:
    """
    >>> count_of(1, "room"), count_of(2, "room")
    ('1 room', '2 rooms')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _by_status(units: Iterable[Unit], kind: UnitKind, in_sync: int) -> dict[Status, int]:
    counts = Counter(unit.status for unit in units if unit.kind is kind)
    counts[Status.IN_SYNC] = in_sync
    return {status: counts[status] for status in _STATUSES}


def count_causes(plan: Plan) -> tuple[Cause, ...]:
    """Each code with the number of units that have it, the most frequent first."""
    counts: Counter[Code] = Counter()
    for unit in plan.units:
        counts.update(_codes(unit.findings))
    counts.update(finding.code for finding in plan.loose)
    order = {code: rank for rank, code in enumerate(Code)}
    found = sorted(counts.items(), key=lambda item: (-item[1], order[item[0]]))
    return tuple(Cause(code, WORDS[code], count) for code, count in found)


def _codes(findings: Iterable[Finding]) -> set[Code]:
    return {finding.code for finding in findings}


def _next(plan: Plan, votes: Mapping[str, str], offline: bool) -> str:
    """What stands first: write what was approved, approve what is certain, decide about the rest."""
    words = plan.words
    approved = sum(1 for unit in plan.units if votes.get(unit.id) == "approved")
    if approved:
        return (_CARRY_OFF if offline else _APPLY).format(count_of(approved, "unit"))
    pending = [unit for unit in plan.units if votes.get(unit.id, "pending") == "pending"]
    ready = [unit for unit in pending if unit.certain]
    if ready:
        return _APPROVE.format(count_of(len(ready), "unit"), "s" if len(ready) == 1 else "")
    if pending:
        return _decide(pending)
    ignored = sum(1 for unit in plan.units if votes.get(unit.id) == "ignored")
    if len(plan.units) > ignored:
        return _DECIDED_ALL
    if plan.loose:
        return _LOOK.format(count_of(len(plan.loose), "row"))
    if any(note.open for note in plan.notes):
        return f"{words.uncompared}: look at the notes in `session.drift`."
    if ignored:
        return f"Nothing: {count_of(ignored, 'unit')} ignored, and {words.whole.format('other ')}."
    if plan.in_sync_rooms or plan.in_sync_users:
        return f"Nothing: {words.whole.format('')}{words.right}."
    return f"Nothing: {words.nothing.format('')}{words.lacking}."


def _decide(pending: list[Unit]) -> str:
    first = urgent_units(pending)[0]
    return _SETTLE.format(
        count_of(len(pending), "unit"),
        "s" if len(pending) == 1 else "",
        quote_odd(first.id),
        action(first, NOTEBOOK),
    )


_APPLY = "{} approved: `await session.apply()` writes the rows, after a backup."
_CARRY_OFF = (
    "{} approved. A snapshot can't be written to: where the database is, give the decisions to "
    "`matrix-drift apply --decisions FILE`."
)
_APPROVE = (
    "{} need{} no decision of a person: look at `session.plan.changes()`, then "
    "`session.approve(session.pending())`."
)
_SETTLE = "{} need{} a decision, one at a time; first {}: {}."
_DECIDED_ALL = "Nothing: everything is decided. `await session.reload()` looks again."
_LOOK = "{} can't be read and belong to no unit: look at `session.drift`."
