"""Where a bot's rows stand and how its rooms are told: the mapping of `matrix-drift.toml`, as values.

Shape "chats" is the bot of rules 1 to 5, in its key-value table or in three tables of its own. Shape "links"
is any bot that keeps one link between an id of its own and a room. What is said here is declared and
never guessed; whether the database fits it is looked at when that is opened.
"""

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, ClassVar, Literal, TypeAlias

import msgspec

from toolkit.errors import ConventionError
from toolkit.layout.mistakes import check_layout, explain
from toolkit.layout.patterns import split_path

Cell: TypeAlias = str | int | float | bool
Columns: TypeAlias = str | tuple[str, ...]


class _Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a table of the file may say, and nothing else."""


class Shape(_Said, frozen=True):
    """What kind of bot it is, and which joined rooms count: for links those of `rooms` and `type`.

    `rooms`: those that the bot made; those that bear a declared state event which the bot sent
    ("bot-event"); or those made by accounts that match a pattern. The bot's own always count.
    `stopped`: the bot keeps rows in memory and writes them back, so that people write only while it is stopped.
    """

    kind: Literal["chats", "links"] = "chats"
    rooms: Literal["bot", "bot-event"] | tuple[str, ...] = "bot"
    type: Literal["room", "space"] = "room"
    stopped: bool = False


class LinkTable(_Said, frozen=True):
    """The table whose rows link an id to a room. `insert` may hold what the other columns need."""

    table: str
    id: Columns
    room: str
    owner: str | None = None
    show: tuple[str, ...] = ()
    where: dict[str, Cell] = {}
    insert: bool | dict[str, Cell] = False

    @property
    def ids(self) -> tuple[str, ...]:
        """The columns that make an id."""
        return (self.id,) if isinstance(self.id, str) else self.id

    @property
    def constants(self) -> dict[str, Cell]:
        """What an inserted row holds beside the link."""
        return self.insert if isinstance(self.insert, dict) else {}

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read and compared, each once."""
        owner = () if self.owner is None else (self.owner,)
        return tuple(dict.fromkeys((*self.ids, self.room, *owner, *self.show)))


class Field(_Said, frozen=True):
    """Where a field of a row of shape "chats" stands: in a column, perhaps without a prefix, or nowhere
    because it is always the same."""

    column: str | None = None
    prefix: str = ""
    fixed: Cell | None = None


Place: TypeAlias = str | Field


class _ChatsTable(_Said, frozen=True, kw_only=True):
    table: str
    where: dict[str, Cell] = {}
    insert: dict[str, Cell] = {}
    keys: ClassVar[tuple[str, ...]]

    @property
    def fields(self) -> dict[str, Field]:
        """Field -> where it stands, of those that are mapped."""
        names = set(self.__struct_fields__) - set(_ChatsTable.__struct_fields__)
        told = {name: getattr(self, name) for name in self.__struct_fields__ if name in names}
        return {
            name: Field(column=place) if isinstance(place, str) else place
            for name, place in told.items()
            if place is not None
        }


class UserTable(_ChatsTable, frozen=True, kw_only=True):
    """The user rows, one for each `user_id`."""

    keys = ("user_id",)
    user_id: Place
    space_id: Place
    next_chat_index: Place


class RoomTable(_ChatsTable, frozen=True, kw_only=True):
    """The room rows, one for each `room_id`."""

    keys = ("room_id",)
    room_id: Place
    room_type: Place
    chat_id: Place
    display_name: Place
    matrix_user_id: Place
    space_id: Place


class ChatTable(_ChatsTable, frozen=True, kw_only=True):
    """The chat rows, one for each `user_id` with `chat_id`."""

    keys = ("user_id", "chat_id")
    user_id: Place
    chat_id: Place
    platform: Place
    surface_ref: Place
    name: Place | None = None


class Tables(_Said, frozen=True):
    """The tables that hold rows: one of links, or three of chats, or none for the key-value table."""

    link: LinkTable | None = None
    user: UserTable | None = None
    room: RoomTable | None = None
    chat: ChatTable | None = None


class Clue(_Said, frozen=True):
    """One way to tell a room's id, by an event that the bot sent: exactly one of the four.

    `name` and `alias` are patterns that hold {id} or each {column}, for the whole text; `event` is
    a type of state events, in whose content `id` is a path or one for each column.
    """

    name: str | None = None
    alias: str | None = None
    event: str | None = None
    state_key: str = ""
    id: Columns | None = None
    sole_member: bool = False

    @property
    def is_one(self) -> bool:
        """Whether it is exactly one of the four."""
        return [self.name, self.alias, self.event, self.sole_member or None].count(None) == 3

    @property
    def kind(self) -> str:
        """Which of the four it is."""
        if self.sole_member:
            return "sole_member"
        return "name" if self.name is not None else "alias" if self.alias is not None else "event"

    @property
    def paths(self) -> tuple[tuple[str, ...], ...]:
        """The keys that lead to each part of the id."""
        told = (self.id,) if isinstance(self.id, str) else self.id or ()
        return tuple(map(split_path, told))


class Layout(_Said, frozen=True):
    """The mapping of a bot that isn't the toolkit's own example; `Layout.of` takes it as the file has it.

    Raises `ConventionError`, one sentence that names the key, for what can't work.
    """

    shape: Shape = Shape()
    rows: Tables = Tables()
    evidence: tuple[Clue, ...] | str = ()

    @classmethod
    def of(
        cls,
        shape: Mapping[str, Any] | None = None,
        rows: Mapping[str, Any] | None = None,
        evidence: Any = (),
    ) -> "Layout":
        """The layout that the tables of the file say, as plain values.

        >>> layout = Layout.of(
        ...     shape={"kind": "links"},
        ...     rows={"link": {"table": "tickets", "id": "id", "room": "room_id"}},
        ...     evidence=[{"name": "Ticket #{id}"}],
        ... )
        >>> layout.link.ids
        ('id',)
        """
        told = {"shape": shape or {}, "rows": rows or {}, "evidence": evidence}
        why = ""
        try:
            return msgspec.convert(told, cls)
        except msgspec.ValidationError as error:
            cause = error.__cause__
            why = str(cause) if isinstance(cause, ConventionError) else explain(str(error))
        raise ConventionError(why)  # out here, without the values that msgspec was given

    def __post_init__(self) -> None:
        check_layout(self)

    @property
    def links(self) -> bool:
        """Whether it is of shape links."""
        return self.shape.kind == "links"

    @property
    def mapped(self) -> bool:
        """Whether rows stand in tables of their own, and not in the key-value table."""
        return self.rows != Tables()

    @property
    def link(self) -> LinkTable:
        """The table of links; only for that shape."""
        assert self.rows.link is not None
        return self.rows.link

    @property
    def clues(self) -> tuple[Clue, ...]:
        """What is declared as evidence; none where code of the bot's own tells the ids."""
        return () if isinstance(self.evidence, str) else self.evidence

    @property
    def kept_events(self) -> frozenset[str]:
        """The types of state events that the evidence asks for, which a look has to keep; maybe all."""
        if isinstance(self.evidence, str):
            return EVERY_TYPE
        types = {clue.event for clue in self.clues if clue.event}
        return frozenset(types | ({ALIAS} if any(clue.alias for clue in self.clues) else set()))

    def load_code(self) -> Callable[[list[dict[str, Any]]], object] | None:
        """The function that tells ids by a room's raw state, if it is one. Raises `ConventionError`."""
        if not isinstance(self.evidence, str):
            return None
        module, _, name = self.evidence.partition(":")
        why = ""
        try:
            found = getattr(import_module(module), name, None)
        except ImportError as error:
            why, found = f" ({error})", None
        if callable(found):
            return found  # type: ignore[no-any-return]
        raise ConventionError(f"evidence: there is no function {self.evidence!r}{why}.")

    @property
    def makers(self) -> re.Pattern[str] | None:
        """The accounts beside the bot's whose rooms count, and whose events tell as well."""
        if isinstance(self.shape.rooms, str):
            return None
        return re.compile("|".join(f"(?:{pattern})" for pattern in self.shape.rooms))

    def may_have_made(self, user_id: str) -> bool:
        """Whether a room that this account made may count; the bot's own always do."""
        makers = self.makers
        return self.shape.rooms == "bot-event" or bool(makers and makers.fullmatch(user_id))

    @property
    def families(self) -> dict[str, UserTable | RoomTable | ChatTable]:
        """Family -> its table, where rows of shape chats stand in tables; else nothing."""
        rows = self.rows
        found = {"user": rows.user, "room": rows.room, "chat": rows.chat}
        return {name: table for name, table in found.items() if table is not None}


class TableFacts(msgspec.Struct, frozen=True):
    """What a database says of a link table: why nothing can be inserted, which columns hold integers, and
    why nothing can be written at all."""

    why_no_insert: str = ""
    integers: frozenset[str] = frozenset()
    why_no_write: str = ""


class _Every(frozenset[str]):
    """Holds every text, and isn't empty."""

    def __contains__(self, item: object) -> bool:
        return isinstance(item, str)

    def __bool__(self) -> bool:
        return True


EVERY_TYPE = _Every()
ALIAS = "m.room.canonical_alias"
