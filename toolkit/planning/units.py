"""From what was found about a user row or a room to one unit of the plan, built once. Pure."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from toolkit.model import (
    CONFLICTS,
    NO_CHOICES,
    NO_EVIDENCE,
    PROPOSALS,
    Change,
    Choices,
    Code,
    Evidence,
    Finding,
    Status,
    Unit,
    UnitKind,
)
from toolkit.planning.drift import Drift
from toolkit.planning.owner_groups import Block


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What a unit is about, before it is known what is the matter with it; `key` is its own row's."""

    id: str
    kind: UnitKind
    key: str
    owner: str | None = None
    chat_id: str | None = None
    space_id: str | None = None
    room_ids: tuple[str, ...] = ()
    evidence: Evidence = NO_EVIDENCE
    choices: Choices = NO_CHOICES


def build_unit(
    subject: Subject,
    blocks: Sequence[Block],
    drift: Drift,
    *,
    withheld: bool,
    chosen: bool,
    relies_on: Callable[[], Iterable[str]],
) -> Unit:
    """The unit with all its findings, and the change that may be made.

    `withheld`: a row of it must not be moved. `chosen`: a person picked something that it rests on.
    """
    conflicts = [_conflict(subject, block) for block in blocks]
    settled = all(block.code in PROPOSALS for block in blocks)
    facts = [f for f in drift.findings if settled or f.code in CONFLICTS]
    findings = (*conflicts, *facts)
    status, change = _status(findings), None
    if settled and drift.writes and not withheld and _whole(drift):
        change = Change(tuple(drift.writes), tuple(sorted(relies_on())), _doubts(findings))
    return Unit(
        id=subject.id,
        kind=subject.kind,
        status=status,
        findings=findings,
        owner=subject.owner,
        chat_id=subject.chat_id,
        space_id=subject.space_id,
        room_ids=subject.room_ids,
        evidence=subject.evidence,
        change=change,
        needs_human=status is Status.CONFLICT or chosen,
        choices=subject.choices,
        candidates=next((b.candidates for b in blocks if b.candidates), ()),
        rows_agree=settled and drift.compared and not drift.findings,
    )


def _whole(drift: Drift) -> bool:
    """All or nothing: a row that may not be overwritten holds back the other."""
    replaced = {write.key for write in drift.writes}
    return {f.key for f in drift.findings if f.code is Code.UNREADABLE_ROW} <= replaced


def _conflict(subject: Subject, block: Block) -> Finding:
    return Finding(
        unit=subject.id,
        code=block.code,
        key=subject.key,
        cause=block.cause,
        evidence=subject.evidence,
        proposal=block.proposal,
        remote=block.remote,
        rivals=block.rivals,
    )


def _doubts(findings: Iterable[Finding]) -> tuple[Code, ...]:
    return tuple(sorted({finding.code for finding in findings} & CONFLICTS))


def _status(findings: Iterable[Finding]) -> Status:
    codes = {finding.code for finding in findings}
    if codes & CONFLICTS:
        return Status.CONFLICT
    return Status.MISSING if Code.MISSING_ROW in codes else Status.MISMATCHED
