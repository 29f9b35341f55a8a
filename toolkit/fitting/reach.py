"""What is read of the homeserver's side where no mapping says yet which events tell an id."""

from toolkit.layout import Layout


class Types(frozenset[str]):
    """Every type of state events but those of which a room may have thousands, or that hold no id."""

    def __contains__(self, item: object) -> bool:
        return item not in _NEVER

    def __bool__(self) -> bool:
        return True


class Everything(Layout, frozen=True):
    """A layout for a look that comes before any: each joined room counts, and nearly all of its state is kept."""

    @property
    def kept_events(self) -> frozenset[str]:
        return _TYPES

    def may_have_made(self, user_id: str) -> bool:
        return True


_TYPES = Types()
_NEVER = {
    "m.room.member",
    "m.room.create",
    "m.room.power_levels",
    "m.room.server_acl",
    "m.room.third_party_invite",
}
