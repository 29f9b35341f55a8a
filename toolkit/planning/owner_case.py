"""One Space whose owner is asked for: who is and was there, whom rows name, and the answer. Pure."""

from collections.abc import Collection

import msgspec

from toolkit.model import NO_EVIDENCE, Code, Evidence, RoomState
from toolkit.planning.memberships import Memberships, memberships
from toolkit.planning.row_index import Naming


class Owner(msgspec.Struct, frozen=True, gc=False):
    """The answer for one Space: certain if `code` is None, else a conflict with perhaps a proposal.

    `vouched`: a local row names the same user.
    """

    user_id: str | None
    code: Code | None = None
    cause: str = ""
    evidence: Evidence = NO_EVIDENCE
    candidates: tuple[str, ...] = ()
    vouched: bool = False

    @property
    def certain(self) -> bool:
        return self.code is None

    @property
    def solid(self) -> bool:
        """Whether it may speak for the user: members alone could name anybody, rows are the bot's."""
        return self.certain or self.vouched


class Case(msgspec.Struct, frozen=True, gc=False):
    """One Space with its chats, and the rows that name an owner for them."""

    space: Memberships
    chats: Collection[tuple[RoomState, ...]]
    named: set[str]
    space_ids: tuple[str, ...]
    naming: Naming
    nobody: frozenset[str]

    def in_chats(self) -> list[Memberships]:
        return [memberships(chat, self.nobody) for chat in self.chats]

    def everywhere(self) -> list[Memberships]:
        return [self.space, *self.in_chats()]

    def seen(self) -> set[str]:
        """Everybody with any membership, banned ones too."""
        return {user for place in self.everywhere() for user in place.latest}

    def rows_by_user(self) -> dict[str, list[str]]:
        """The keys of the local rows that name each user."""
        rooms = [version.room_id for chat in self.chats for version in chat]
        found: dict[str, list[str]] = {}
        for key, user in self.naming.owner_keys(self.space_ids, rooms):
            found.setdefault(user, []).append(key)
        return found

    def banned(self) -> set[str]:
        return self.space.having("ban").union(*(chat.having("ban") for chat in self.in_chats()))

    def acquainted(self) -> set[str]:
        """Users that are or were members of the Space or its chats, and aren't banned."""
        return self.seen() - self.banned()
