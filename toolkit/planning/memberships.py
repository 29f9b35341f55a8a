"""Who is or was in a room, over all its versions. Pure.

Members are read from raw state, never from lazily loaded lists, which hide invited users.
"""

import msgspec

from toolkit.model import RoomState

PRESENT = ("join", "invite")


class Memberships(msgspec.Struct, frozen=True, gc=False):
    """Who is in a room, over its versions: `present` as of the newest version that has anybody."""

    present: dict[str, str]
    latest: dict[str, str]

    def having(self, *memberships: str) -> set[str]:
        return {user for user, state in self.latest.items() if state in memberships}

    def former(self) -> set[str]:
        """Who left, declined, knocks, or whatever else a server may call not being in a room."""
        return self.latest.keys() - self.having(*PRESENT, "ban")

    def gone(self) -> set[str]:
        """Former members, and who stayed behind in an older version that others went on from."""
        return self.former() | (self.having(*PRESENT) - set(self.present))


def memberships(versions: tuple[RoomState, ...], nobody: frozenset[str]) -> Memberships:
    """The membership of every candidate; a newer version outranks an older one."""
    present: dict[str, str] = {}
    latest: dict[str, str] = {}
    for version in versions:
        answered = bool(present)
        for member in version.members:
            user = member.user_id
            if user in nobody or user in latest:
                continue
            latest[user] = member.membership
            if not answered and member.membership in PRESENT:
                present[user] = member.event_id
    return Memberships(present, latest)
