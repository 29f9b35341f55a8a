"""The values that travel from reading to writing: frozen, comparable, made without clock or chance.

Facts (kinds, statuses, findings) and policy (changes, and whether a human must agree) are separate
types: a reader can trust the first and argue with the second. The words are those of the rules (`docs/rules.md`).
"""

import hashlib
import json
from collections.abc import Iterable
from enum import StrEnum
from functools import cached_property
from json.encoder import encode_basestring_ascii as _quote
from typing import Any

import msgspec

from toolkit.records import Raw, chat_key, pack_raw, room_key, user_key
from toolkit.words import CHATS, Words


class Kind(StrEnum):
    """What a joined room is to the bot (rules 2.1)."""

    SPACE = "space"
    CHAT = "chat"
    TOMBSTONED = "tombstoned"
    UNRELATED = "unrelated"


class Reason(StrEnum):
    """Why a room is skipped."""

    SPACE = "space"
    TOMBSTONED = "tombstoned"
    REPLACEMENT_NOT_JOINED = "replacement_not_joined"
    NOT_CREATED_BY_BOT = "not_created_by_bot"
    NO_SPACE = "no_space"
    NOT_A_SPACE = "not_a_space"
    NO_EVIDENCE = "no_evidence"
    NOT_JOINED = "not_joined"


NO_CHATS = frozenset({Reason.NOT_CREATED_BY_BOT, Reason.NO_SPACE, Reason.REPLACEMENT_NOT_JOINED})
"""Why a room is no chat although a row may well call it one. A tombstoned room was simply upgraded, and
a Space is none of the kind."""


NOT_COMPARED = NO_CHATS | {Reason.SPACE, Reason.NOT_A_SPACE}
"""Why a room isn't looked at although a row links an id to it."""


class Status(StrEnum):
    """How a room or user row stands (rules 3)."""

    IN_SYNC = "in_sync"
    MISSING = "missing"
    MISMATCHED = "mismatched"
    CONFLICT = "conflict"
    SKIPPED = "skipped"
    ORPHANED = "orphaned"


class Code(StrEnum):
    """What a finding says: a conflict, what the rows lack, or a note."""

    NOT_A_CHAT = "not_a_chat"
    OWNER_AMBIGUOUS = "owner_ambiguous"
    OWNER_UNKNOWN = "owner_unknown"
    OWNER_LEFT = "owner_left"
    OWNER_CHANGED = "owner_changed"
    OWNER_MISMATCH = "owner_mismatch"
    CHAT_ID_UNKNOWN = "chat_id_unknown"
    CHAT_ID_INFERRED = "chat_id_inferred"
    EVIDENCE_DISAGREES = "evidence_disagrees"
    DUPLICATE_CHAT_ID = "duplicate_chat_id"
    DUPLICATE_ID = "duplicate_id"
    DUPLICATE_ROW = "duplicate_row"
    ID_INFERRED = "id_inferred"
    MULTIPLE_SPACES = "multiple_spaces"
    UNREADABLE_ROW = "unreadable_row"
    ROOM_UNREADABLE = "room_unreadable"
    STALE_PLAN = "stale_plan"

    MISSING_ROW = "missing_row"
    WRONG_FIELD = "wrong_field"
    WRONG_SURFACE_REF = "wrong_surface_ref"
    COUNTER_TOO_LOW = "counter_too_low"
    COUNTER_TOO_HIGH = "counter_too_high"

    ROW_OF_NO_CHAT = "row_of_no_chat"
    SURPLUS_CHAT_ROW = "surplus_chat_row"
    UNLISTED_ROOM = "unlisted_room"
    NO_ROOM_JOINED = "no_room_joined"
    IDS_EXHAUSTED = "ids_exhausted"
    NEW_DATABASE = "new_database"
    UNLINKED = "unlinked"
    SURPLUS_ROW = "surplus_row"
    ROW_OF_SKIPPED_ROOM = "row_of_skipped_room"


CONFLICTS = frozenset(
    {
        Code.NOT_A_CHAT,
        Code.OWNER_AMBIGUOUS,
        Code.OWNER_UNKNOWN,
        Code.OWNER_LEFT,
        Code.OWNER_CHANGED,
        Code.OWNER_MISMATCH,
        Code.CHAT_ID_UNKNOWN,
        Code.CHAT_ID_INFERRED,
        Code.EVIDENCE_DISAGREES,
        Code.DUPLICATE_CHAT_ID,
        Code.DUPLICATE_ID,
        Code.DUPLICATE_ROW,
        Code.ID_INFERRED,
        Code.MULTIPLE_SPACES,
        Code.UNREADABLE_ROW,
        Code.ROOM_UNREADABLE,
        Code.STALE_PLAN,
    }
)
"""What a human decides; nothing is written for it before."""

PROPOSALS = frozenset(
    {Code.OWNER_LEFT, Code.OWNER_CHANGED, Code.CHAT_ID_INFERRED, Code.ID_INFERRED}
)
"""Conflicts whose proposal a human may simply agree to; the others want a choice."""


class Rung(StrEnum):
    """What answered: for chat ids from the strongest down, then for owners (rules 2.6, 2.7), then for links."""

    CHOICE = "choice"
    ROOM_ROW = "room_row"
    CHAT_ROW = "chat_row"
    STATE_EVENT = "state_event"
    ROOM_NAME = "room_name"
    FOREIGN_NAME = "name_by_another"
    CREATION_ORDER = "creation_order"

    SPACE_MEMBERS = "space_members"
    CHAT_MEMBERS = "chat_members"
    USER_ROW = "user_row"
    ROOM_ROWS = "room_rows"
    FORMER_MEMBER = "former_member"

    ROW = "row"
    ROOM_ALIAS = "room_alias"
    CODE = "code"
    SOLE_MEMBER = "sole_member"

    NONE = "none"


RANK = {rung: rank for rank, rung in enumerate(Rung)}


class Link(msgspec.Struct, frozen=True, gc=False):
    """A live `m.space.child` or `m.space.parent` (Matrix spec, "Spaces"): its state key and proof."""

    target: str
    sender: str
    event_id: str


class Member(msgspec.Struct, frozen=True, gc=False):
    """A user's `m.room.member` in one room."""

    user_id: str
    membership: str
    event_id: str


class StateEvent(msgspec.Struct, frozen=True, gc=False):
    """A state event whose content is kept as it is, because what is declared as evidence asks for it."""

    type: str
    state_key: str
    sender: str
    event_id: str
    content: dict[str, Any]


class RoomState(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What one joined room's raw state says; what it doesn't say, or says malformed, is None or empty.

    `created` is `origin_server_ts` of the create event in milliseconds, `named` that of the name that
    stands now. `verified` is False for what was taken from a client object's memory, which knows no
    times, instead of the homeserver's state.
    `kept` are the events that a layout asks for, and none for a bot of shape chats.
    """

    room_id: str
    creator: str | None = None
    create_event: str = ""
    created: int | None = None
    room_type: str | None = None
    version: str | None = None
    predecessor: str | None = None
    replacement: str | None = None
    name: str | None = None
    name_sender: str | None = None
    name_event: str = ""
    named: int | None = None
    children: tuple[Link, ...] = ()
    parents: tuple[Link, ...] = ()
    members: tuple[Member, ...] = ()
    chat_id: Any = None
    chat_id_sender: str | None = None
    chat_id_event: str = ""
    encrypted: bool = False
    verified: bool = True
    kept: tuple[StateEvent, ...] = ()

    @property
    def is_space(self) -> bool:
        return self.room_type == "m.space"


class RemoteState(msgspec.Struct, frozen=True):
    """Every room that the account is joined to: read, or known to be unreadable and why.

    A look gives `rooms` in the order of their ids; frames of very many are quicker then. A look for
    one room reads no more than it must; then `listed` are all that the account is joined to.
    """

    account: str
    rooms: dict[str, RoomState]
    unreadable: dict[str, str] = {}
    listed: frozenset[str] = frozenset()

    def joined(self, room_id: str) -> bool:
        return room_id in self.rooms or room_id in self.unreadable or room_id in self.listed


class Choices(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a human picked for one unit; inputs of the planner."""

    owner: str | None = None
    space_id: str | None = None
    chat_id: str | None = None
    overwrite: bool = False
    lower_counter: bool = False


NO_CHOICES = Choices()


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """Which rung answered, and the events that prove it."""

    rung: Rung
    events: tuple[str, ...] = ()


NO_EVIDENCE = Evidence(Rung.NONE)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One fact about one unit. `cause` is for the reader; no code branches on it.

    `rivals` are the other rooms that claim what this one does.
    """

    unit: str
    code: Code
    key: str
    cause: str
    field: str = ""
    local: Any = None
    remote: Any = None
    evidence: Evidence = NO_EVIDENCE
    proposal: str | None = None
    rivals: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Twelve hex digits that stay the same as long as the same thing is wrong with the same field."""
        return _digest(_list(map(_quote, (self.unit, self.code, self.key, self.field))))[:12]

    @property
    def open(self) -> bool:
        """Whether this note, though nobody has to act on it, forbids to say "in sync"."""
        if self.code is Code.ROW_OF_SKIPPED_ROOM:
            return self.remote in NOT_COMPARED
        if self.code is Code.ROW_OF_NO_CHAT:
            return self.remote is not None
        return self.code is Code.NO_ROOM_JOINED


class RowWrite(msgspec.Struct, frozen=True):
    """One row as it is stored and as it shall be. `before` None: the row is inserted."""

    key: str
    before: Raw
    after: Raw


class Change(msgspec.Struct, frozen=True, dict=True):
    """What would be written for a unit, all or nothing, and which further rows that rests on.

    `doubts` are the conflicts that somebody who agrees passes over: the same rows are another change
    once their owner has left, and still agreed to once that is settled.
    """

    writes: tuple[RowWrite, ...]
    relies_on: tuple[str, ...] = ()
    doubts: tuple[Code, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """An approval names this: sixteen hex digits of the rows, then each doubt after a `+`."""
        writes = (_list((_quote(w.key), _stored(w.before), _stored(w.after))) for w in self.writes)
        return "+".join([_digest(_list(writes))[:16], *self.doubts])

    def agreed_in(self, fingerprint: str | None) -> bool:
        """Whether who agreed to that fingerprint has agreed to this: the same rows, over no new doubt."""
        rows, *doubts = (fingerprint or "").split("+")
        return rows == self.fingerprint.partition("+")[0] and set(self.doubts) <= set(doubts)


class UnitKind(StrEnum):
    """A unit is a user row or a room with its two rows."""

    USER = "user"
    ROOM = "room"


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """A user row or a room that is not in sync.

    `id` is the mxid or the room id; for the user row of a Space whose owner is unknown or only
    guessed from members, the Space's id: a guess must not speak in a user's name.
    `room_ids` are all versions of the room or Space, newest first. `needs_human` says that the
    change must be approved one by one; without a change there is nothing to approve yet,
    or nothing any more: `rows_agree` with what is proposed. `row` is the key of the one row of a room of
    shape links, whose id is in `chat_id`.
    """

    id: str
    kind: UnitKind
    status: Status
    findings: tuple[Finding, ...]
    owner: str | None = None
    chat_id: str | None = None
    space_id: str | None = None
    room_ids: tuple[str, ...] = ()
    evidence: Evidence = NO_EVIDENCE
    change: Change | None = None
    needs_human: bool = False
    choices: Choices = NO_CHOICES
    candidates: tuple[str, ...] = ()
    rows_agree: bool = False
    row: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of its own rows, as far as it is known whose they are."""
        if self.row:
            return (self.row,)
        if self.kind is UnitKind.USER:
            return (user_key(self.owner or ""),)
        room = room_key(self.id)
        return (
            (room, chat_key(self.owner, self.chat_id)) if self.owner and self.chat_id else (room,)
        )

    @property
    def writes(self) -> tuple[RowWrite, ...]:
        """The rows that would be written, if any."""
        return self.change.writes if self.change else ()

    @property
    def certain(self) -> bool:
        """Whether there is a change that needs no human."""
        return self.change is not None and not self.needs_human

    @property
    def conflicts(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.code in CONFLICTS)


class Skip(msgspec.Struct, frozen=True, order=True, gc=False):
    """A joined room that is no chat, and why."""

    room_id: str
    reason: Reason


class Plan(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What is the matter, and what could be done: equal for equal sides, whatever their order.

    `units` holds what is not in sync, sorted, user rows first. `notes` are findings that nobody
    has to act on, `loose` conflicts of rows that belong to no unit. `orphans` are keys of rows whose room isn't
    joined, `unlinked` of those that name none, for shape links. `others` counts rows of other
    platforms and kinds of room, of which nothing is said. `spaces` maps the id of a Space
    to all ids (versions, chats) whose rows may name its owner. `foreign` says that a bot's own function
    made the changes: what it read for them isn't known, and none goes along with another. `words` are
    those of the bot's shape.
    """

    account: str
    joined: tuple[str, ...]
    in_sync_rooms: tuple[str, ...] = ()
    in_sync_users: tuple[str, ...] = ()
    skipped: tuple[Skip, ...] = ()
    units: tuple[Unit, ...] = ()
    orphans: tuple[str, ...] = ()
    unlinked: tuple[str, ...] = ()
    notes: tuple[Finding, ...] = ()
    loose: tuple[Finding, ...] = ()
    others: int = 0
    spaces: dict[str, tuple[str, ...]] = {}
    foreign: bool = False
    words: Words = CHATS

    @property
    def in_sync(self) -> bool:
        """Whether every row that speaks of a chat was compared, and is right (rules 3)."""
        return not (self.units or self.loose or any(note.open for note in self.notes))

    def unit(self, unit_id: str) -> Unit | None:
        place = self.places.get(unit_id)
        return None if place is None else self.units[place]

    def user_unit(self, room: Unit) -> Unit | None:
        """The user row that a room takes along, under the user's id or, for a guess, the Space's."""
        return next(iter(self.user_rows.get((room.owner, room.space_id), ())), None)

    @cached_property
    def places(self) -> dict[str, int]:
        """Unit -> its place in `units`; not to be changed."""
        return {unit.id: place for place, unit in enumerate(self.units)}

    @cached_property
    def user_rows(self) -> dict[tuple[str | None, str | None], list[Unit]]:
        """Owner and Space -> the user rows of both; not to be changed."""
        found: dict[tuple[str | None, str | None], list[Unit]] = {}
        for unit in self.units:
            if unit.kind is UnitKind.USER:
                found.setdefault((unit.owner, unit.space_id), []).append(unit)
        return found

    @cached_property
    def versions(self) -> dict[str, Unit]:
        """Every version of a room or Space -> its unit; not to be changed."""
        return {room_id: unit for unit in reversed(self.units) for room_id in unit.room_ids}


def find_unit(plan: Plan, unit_id: str) -> Unit | None:
    """The unit of this name, or the one that a version of the room or the user's Space belongs to."""
    return plan.unit(unit_id) or plan.versions.get(unit_id)


def why_settled(plan: Plan, unit_id: str, picked: Choices) -> str:
    """Why nothing is to be written for an id, as a verb and its object; empty if that can't be said.

    A pick may say what the rows say: of an owner who is banned, a look without it knows as little as
    before. With its owner picked, a Space goes by the owner's name.
    """
    of_owner = picked.owner in plan.in_sync_users and Skip(unit_id, Reason.SPACE) in plan.skipped
    if not (of_owner or unit_id in plan.in_sync_rooms or unit_id in plan.in_sync_users):
        return ""
    return _PICKED if picked != NO_CHOICES else "is in sync"


_PICKED = (
    "has the rows already that your pick leads to; if it is a conflict without the pick, it stays one "
    "until the rooms themselves say what you picked"
)


def why_no_unit(plan: Plan, unit_id: str, picked: Choices = NO_CHOICES) -> str:
    """Why the plan holds nothing for an id; empty for one that it knows nothing of."""
    if why := why_settled(plan, unit_id, picked):
        return f"it {why}; there is nothing to write"
    reasons = (skip.reason.value for skip in plan.skipped if skip.room_id == unit_id)
    if reason := next(reasons, None):
        return f"it is skipped ({reason}): {plan.words.no_room}, and nothing is written for it"
    return ""


_encode = json.JSONEncoder().encode
"""ASCII escapes keep what isn't UTF-8 apart without failing on it."""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _list(parts: Iterable[str]) -> str:
    """Values that are JSON already as `json.dumps` writes a list of them, which takes its time."""
    return f"[{', '.join(parts)}]"


def _stored(raw: Raw) -> str:
    if isinstance(raw, str):
        return _quote(raw)
    return "null" if raw is None else _encode(pack_raw(raw))
