"""What the rows say of whatever nobody has to decide about, for a bot of either shape. Pure."""

from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple, Protocol

from toolkit.model import Plan
from toolkit.planning.links.contest import told
from toolkit.planning.links.right_rows import find_right_rows
from toolkit.planning.links.rows import LinkRow, LinkState, Local
from toolkit.quotes import quote_odd
from toolkit.records import LocalState, parse_key


class About(NamedTuple):
    """Whose a row or room is and which, as it is, and why it stands where it stands; `name` is the row's."""

    owner: str
    id: str
    cause: str
    name: str = ""


class QuietRows(Protocol):
    """Rows as they are asked for their words."""

    def people(self) -> Iterable[str]:
        """Who is called by a name of their own though nothing of theirs is to be decided."""

    def room(self, room_id: str) -> About:
        """A room in sync."""

    def row(self, key: str) -> About:
        """A row that no joined room belongs to."""


def quiet_rows(plan: Plan, local: Local) -> QuietRows:
    """Those of this bot."""
    return LinkRows(plan, local) if isinstance(local, LinkState) else ChatRows(plan, local)


class ChatRows:
    """Of chats the room row says it."""

    def __init__(self, plan: Plan, local: LocalState) -> None:
        self._plan, self._local = plan, local

    def people(self) -> Iterable[str]:
        """The users whose rows are right."""
        return self._plan.in_sync_users

    def room(self, room_id: str) -> About:
        """By its room row, which is right."""
        row = self._local.rooms.get(room_id)
        owner, chat_id = (row.matrix_user_id, row.chat_id) if row else ("", "")
        return About(owner, chat_id, self._plan.words.is_right)

    def row(self, key: str) -> About:
        """Its key is what tells it from others."""
        name = parse_key(key)
        row = self._local.rooms.get(name.room_id)
        owner, chat_id = (row.matrix_user_id, row.chat_id) if row else (name.user, name.chat_id)
        return About(owner, chat_id, f"no joined room belongs to this row; {_KEPT}", key)


class LinkRows:
    """Of links the one row says it, with the column of the owner if there is one."""

    def __init__(self, plan: Plan, links: LinkState) -> None:
        self._plan, self._links = plan, links

    def people(self) -> Iterable[str]:
        """The owners of rows that are right."""
        if not self._plan.words.owner:
            return ()
        return filter(None, map(self._links.owner, self._right.values()))

    def room(self, room_id: str) -> About:
        """By the row that names it and is right."""
        return self._about(self._right[room_id], self._plan.words.is_right)

    def row(self, key: str) -> About:
        """By the row itself."""
        row = self._rows[key]
        if row.room is None:
            return self._about(row, f"it names no room, and no room claims its id; {_KEPT}")
        cause = f"it names {quote_odd(row.room)}, which the account isn't in; {_KEPT}"
        return self._about(row, cause)

    def _about(self, row: LinkRow, cause: str) -> About:
        return About(self._links.owner(row) or "", told(row.id), cause)

    @cached_property
    def _right(self) -> dict[str, LinkRow]:
        return find_right_rows(self._plan, self._links)

    @cached_property
    def _rows(self) -> dict[str, LinkRow]:
        return {row.key: row for row in self._links.links.values()}


_KEPT = "it is kept as it is"
