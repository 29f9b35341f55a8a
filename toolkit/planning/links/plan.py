"""The planner of links: rooms and rows of a bot that keeps one link between an id and a room. Pure.

Two sides in, one `Plan` out, of the same values as the planner of chats makes: a unit is a room that isn't in
sync, with the one row of its id.
"""

from collections.abc import Mapping

from toolkit.convention import Convention
from toolkit.layout import Layout
from toolkit.model import (
    CONFLICTS,
    NO_CHOICES,
    PROPOSALS,
    Change,
    Choices,
    Code,
    Evidence,
    Finding,
    Plan,
    Reason,
    RemoteState,
    RoomState,
    RowWrite,
    Skip,
    Status,
    Unit,
    UnitKind,
)
from toolkit.planning.links.claims import Claim, answer_room
from toolkit.planning.links.clues import make_readers
from toolkit.planning.links.contest import Block, Verdict, settle, told
from toolkit.planning.links.leftovers import find_lost, sort_leftovers
from toolkit.planning.links.rooms import Rooms, find_rooms
from toolkit.planning.links.rows import LinkRow, LinkState
from toolkit.words import link_words


def plan_links(
    remote: RemoteState,
    links: LinkState,
    layout: Layout,
    convention: Convention | None = None,
    choices: Mapping[str, Choices] | None = None,
) -> Plan:
    """Compare the two sides and say what could be written; reads nothing and writes nothing.

    Of `convention` only `former_accounts` and `helper_accounts` are asked. `choices` maps a room to what a
    human picked for it: its id as `chat_id`, or to overwrite a row that can't be read.
    """
    convention = convention or Convention()
    return _Planner(remote, links, layout, convention, choices or {}).plan()


class _Planner:
    """One run over one pair of sides; its state is thrown away with it."""

    def __init__(
        self,
        remote: RemoteState,
        links: LinkState,
        layout: Layout,
        convention: Convention,
        choices: Mapping[str, Choices],
    ) -> None:
        self.remote, self.links, self.layout, self.choices = remote, links, layout, choices
        self.rooms: Rooms = find_rooms(remote, layout, convention)
        nobody = self.rooms.trusted | frozenset(convention.helper_accounts)
        readers = make_readers(layout, links, self.rooms.trusted, nobody)
        self.answers = {
            room_id: answer_room(versions, links, readers, self._choice(room_id).chat_id)
            for room_id, versions in self.rooms.counted.items()
        }
        self.verdicts = settle(self.answers, remote, links)
        self.units: list[Unit] = []
        self.in_sync: list[str] = []

    def plan(self) -> Plan:
        for room_id, verdict in self.verdicts.items():
            self._plan_room(self.rooms.counted[room_id], verdict)
        self.units += map(self._unread, self.remote.unreadable)
        skipped = self.rooms.reasons | dict.fromkeys(
            self.rooms.counted.keys() - self.verdicts.keys(), Reason.NO_EVIDENCE
        )
        claimed = {c.id for room in self.verdicts for c in self.answers[room].claims}
        left = sort_leftovers(self.remote, self.links, self.rooms, claimed)
        found, table = self.units or self.in_sync, self.links.table
        notes = left.notes if found else (*left.notes, *find_lost(self.remote, self.links))
        return Plan(
            account=self.remote.account,
            joined=tuple(sorted([*self.remote.rooms, *self.remote.unreadable])),
            in_sync_rooms=tuple(sorted(self.in_sync)),
            skipped=tuple(sorted(Skip(room_id, reason) for room_id, reason in skipped.items())),
            units=tuple(sorted(self.units, key=lambda unit: unit.id)),
            orphans=left.orphans,
            unlinked=left.unlinked,
            notes=notes,
            loose=left.conflicts,
            words=link_words(table.table, table.ids, owner=bool(table.owner)),
        )

    def _choice(self, room_id: str) -> Choices:
        return self.choices.get(room_id, NO_CHOICES)

    def _plan_room(self, versions: tuple[RoomState, ...], verdict: Verdict) -> None:
        claim, block = verdict.claim, verdict.block
        row = self.links.links.get(claim.id)
        write, finding = None, None
        if block is None or block.code in PROPOSALS:
            if row is not None and row.room == claim.room_id:
                self.in_sync.append(claim.room_id)
                return
            write, finding = self._compare(versions, claim, row)
        found = [] if block is None else [self._conflict(versions, claim, block)]
        found += [] if finding is None else [finding]
        self.units.append(self._unit(versions, claim, row, found, write))

    def _compare(
        self, versions: tuple[RoomState, ...], claim: Claim, row: LinkRow | None
    ) -> tuple[RowWrite | None, Finding]:
        """What is wrong with the row of a room whose id is settled, and what would mend it."""
        key, room_id = self.links.key(claim.id), claim.room_id
        evidence = _evidence(versions, claim)
        if row is not None:
            cause, why = self._moved(row, versions), self.links.why_no_write
            finding = Finding(
                unit=room_id,
                code=Code.WRONG_FIELD,
                key=key,
                cause=f"{cause}; {_LOOK_ONLY.format(why)}" if why else cause,
                field=self.links.table.room,
                local=row.room,
                remote=room_id,
                evidence=evidence,
            )
            after = self.links.pointed(row, room_id)
            return (None if why else RowWrite(key, self.links.rows[key], after)), finding
        if key in self.links.unreadable:
            return self._overwrite(key, claim, evidence)
        why = self._why_no_insert(versions)
        finding = Finding(
            unit=room_id,
            code=Code.MISSING_ROW,
            key=key,
            cause=f"{why}; {_LOST}" if why else _LOST,
            evidence=evidence,
        )
        return (None if why else RowWrite(key, None, self.links.fresh(claim.id, room_id))), finding

    def _moved(self, row: LinkRow, versions: tuple[RoomState, ...]) -> str:
        if row.room is None:
            return _UNLINKED
        if any(row.room == room.room_id for room in versions):
            return _UPGRADED
        # A list of joined rooms is the bot's own.
        return _GONE if self.layout.makers is None else _GHOSTS

    def _overwrite(
        self, key: str, claim: Claim, evidence: Evidence
    ) -> tuple[RowWrite | None, Finding]:
        """A row whose room is none can be given one, if a person says so; one of several of an id can't."""
        raw, why = self.links.rows[key], self.links.unreadable[key]
        after = self.links.mended(raw, claim.room_id)
        finding = Finding(
            unit=claim.room_id,
            code=Code.DUPLICATE_ROW if after is None else Code.UNREADABLE_ROW,
            key=key,
            cause=(_ODD_AMONG if after is None else _ODD).format(why),
            evidence=evidence,
        )
        if after is None or self.links.why_no_write or not self._choice(claim.room_id).overwrite:
            return None, finding
        return RowWrite(key, raw, after), finding

    def _why_no_insert(self, versions: tuple[RoomState, ...]) -> str:
        """Why no row is made; empty if the mapping and the table let it."""
        if any(room.room_id in self.links.nameless for room in versions):
            return _NAMELESS
        if self.links.may_insert:
            return ""
        why = self.links.why_no_insert
        return _CANNOT.format(why) if why else _NOT_LET

    def _conflict(self, versions: tuple[RoomState, ...], claim: Claim, block: Block) -> Finding:
        return Finding(
            unit=claim.room_id,
            code=block.code,
            key=self.links.key(claim.id),
            cause=block.cause,
            field=self.links.table.room if block.holder else "",
            local=block.holder or None,
            evidence=_evidence(versions, claim),
            proposal=told(claim.id) if block.code in PROPOSALS else None,
            rivals=block.rivals,
        )

    def _unit(
        self,
        versions: tuple[RoomState, ...],
        claim: Claim,
        row: LinkRow | None,
        findings: list[Finding],
        write: RowWrite | None,
    ) -> Unit:
        codes = {finding.code for finding in findings}
        picked = self._choice(claim.room_id)
        status = Status.MISSING if Code.MISSING_ROW in codes else Status.MISMATCHED
        doubts = tuple(sorted(codes & CONFLICTS))
        return Unit(
            id=claim.room_id,
            kind=UnitKind.ROOM,
            status=Status.CONFLICT if doubts else status,
            findings=tuple(findings),
            owner=self.links.owner(row),
            chat_id=told(claim.id),
            room_ids=tuple(room.room_id for room in versions),
            evidence=_evidence(versions, claim),
            change=None if write is None else Change((write,), doubts=doubts),
            needs_human=bool(doubts) or picked != NO_CHOICES,
            choices=picked,
            row=self.links.key(claim.id),
            candidates=self._disputed(claim.room_id),
        )

    def _disputed(self, room_id: str) -> tuple[str, ...]:
        """All ids that a room may have whose evidence disagrees."""
        return tuple(sorted({told(claim.id) for claim in self.answers[room_id].disputed}))

    def _unread(self, room_id: str) -> Unit:
        rows = self.links.pointing.get(room_id, [])
        key = rows[0].key if len(rows) == 1 else ""
        finding = Finding(
            unit=room_id,
            code=Code.ROOM_UNREADABLE,
            key=key,
            cause=_UNREAD.format(self.remote.unreadable[room_id]),
        )
        return Unit(
            id=room_id,
            kind=UnitKind.ROOM,
            status=Status.CONFLICT,
            findings=(finding,),
            chat_id=told(rows[0].id) if key else None,
            room_ids=(room_id,),
            needs_human=True,
            row=key,
        )


def _evidence(versions: tuple[RoomState, ...], claim: Claim) -> Evidence:
    """What told the id, with the event that made the room and those that tell it."""
    events = dict.fromkeys((versions[-1].create_event, *claim.events))
    return Evidence(claim.rung, tuple(sorted(event for event in events if event)))


_LOST = (
    "the row is gone, or was never saved, while the room is still there: the database was restored, or a "
    "crash came between making the room and writing it"
)
_NAMELESS = "a row without an id names the room, and only rooms are written, no ids"
_NOT_LET = "the mapping doesn't let a row be made (insert)"
_CANNOT = "no row can be made: {}"
_LOOK_ONLY = "it can't be written: {}"
_ODD = "the row is there but can't be read: {}; it gets this room only if you say so"
_ODD_AMONG = "several rows have this id, and one of them can't be read: {}"
_UNLINKED = "the row names no room: a crash came between making the room and writing it down"
_UPGRADED = "the room was upgraded, and the row still names the old one"
_GONE = (
    "the row names a room that the account isn't in: it was left, or the row comes from a backup"
)
_GHOSTS = (
    "the row names a room that the account isn't in: it was left, the row comes from a backup, or accounts of the "
    "bot are in it alone"
)
_UNREAD = "the homeserver lists the room but didn't give its state: {}"
