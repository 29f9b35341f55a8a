"""What stands on the map: users, their chats, and how each status is drawn. No drawing here."""

from dataclasses import dataclass
from typing import NamedTuple

from toolkit.convention import chat_number
from toolkit.model import Plan, Status, UnitKind
from toolkit.planning.links.contest import told
from toolkit.planning.links.right_rows import find_right_rows
from toolkit.planning.links.rows import LinkState, Local
from toolkit.text.collation import natural_key
from toolkit.words import CHATS

NOBODY = CHATS.nobody
"""The line of chats whose owner isn't known."""


@dataclass(frozen=True, slots=True)
class ChatMark:
    """A chat on the map."""

    label: str
    status: Status


@dataclass(frozen=True, slots=True)
class UserLine:
    """A user on the map. `status` is that of the user's own row; None: nothing is known of one."""

    name: str
    status: Status | None
    chats: tuple[ChatMark, ...]

    @property
    def worst(self) -> Status:
        """The status that most wants a person's eye."""
        own = [self.status] if self.status else []
        return min([*own, *(chat.status for chat in self.chats)], key=ORDER.index, default=CALM)


class Ink(NamedTuple):
    """How a status is drawn: its letter, and the colours of letter, square and edge."""

    letter: str
    text: str
    fill: str
    edge: str


# Okabe and Ito's colours, which colour-blind people tell apart, and a grey. What is well stays pale.
INKS = {
    Status.CONFLICT: Ink("C", "#000000", "#d55e00", "#6b2b00"),
    Status.MISSING: Ink("M", "#000000", "#f0e442", "#6f6a00"),
    Status.MISMATCHED: Ink("≠", "#000000", "#56b4e9", "#00507a"),
    Status.ORPHANED: Ink("O", "#000000", "#cc79a7", "#7a3358"),
    Status.SKIPPED: Ink("S", "#000000", "#c8c8c8", "#6e6e6e"),
    Status.IN_SYNC: Ink("✓", "#00593f", "#ffffff", "#009e73"),
}
"""From the status that most wants a person's eye to the one that wants none."""

CALM = Status.IN_SYNC
ORDER = list(INKS)


def user_lines(plan: Plan, local: Local) -> list[UserLine]:
    """Users in order, each with their chats by number; chats without an owner come last."""
    if isinstance(local, LinkState):
        return _owner_lines(plan, local)
    rows: dict[str | None, Status] = dict.fromkeys(plan.in_sync_users, CALM)
    chats: dict[str | None, list[ChatMark]] = {}
    for room_id in plan.in_sync_rooms:
        row = local.rooms.get(room_id)
        owner, label = (row.matrix_user_id, row.chat_id) if row else (None, room_id)
        chats.setdefault(owner or None, []).append(ChatMark(label, CALM))
    for unit in plan.units:
        owner = unit.owner or None
        if unit.kind is UnitKind.USER:
            rows[owner] = min(rows.get(owner, CALM), unit.status, key=ORDER.index)
        else:
            chats.setdefault(owner, []).append(ChatMark(unit.chat_id or "?", unit.status))
    owners = sorted({*rows, *chats}, key=lambda owner: (owner is None, owner or ""))
    return [
        UserLine(
            owner or NOBODY, rows.get(owner), tuple(sorted(chats.get(owner, []), key=_by_number))
        )
        for owner in owners
    ]


def _owner_lines(plan: Plan, links: LinkState) -> list[UserLine]:
    """The same of a bot of shape links: what its rows call owner, if they do, each with ids and their rooms."""
    found: dict[str, list[ChatMark]] = {}
    for row in find_right_rows(plan, links).values():
        owner = links.owner(row) or plan.words.nobody
        found.setdefault(owner, []).append(ChatMark(told(row.id), CALM))
    for unit in plan.units:
        mark = ChatMark(unit.chat_id or "?", unit.status)
        found.setdefault(unit.owner or plan.words.nobody, []).append(mark)
    owners = sorted(found, key=lambda owner: (owner == plan.words.nobody, natural_key(owner)))
    return [
        UserLine(owner, None, tuple(sorted(found[owner], key=lambda mark: natural_key(mark.label))))
        for owner in owners
    ]


def _by_number(chat: ChatMark) -> tuple[int, str]:
    return chat_number(chat.label) or 10**9, chat.label
