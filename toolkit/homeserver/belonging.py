"""Guards against surprise: a homeserver's answer that fits these rows badly, a plan larger than meant.

Pure. Both refuse as a whole, before anything is written, and say how to go on if it is meant.
"""

from collections.abc import Iterable

from toolkit.errors import RemoteIncomplete
from toolkit.model import RemoteState
from toolkit.quotes import quote_odd
from toolkit.records import LocalState

FEW = 5
"""Rows that name fewer rooms prove nothing: a bot may well have left them all."""

MANY, SHARE = 50, 0.1
"""Of so many rooms, a bot is still in more than this share, on the average of its users."""


def check_belonging(local: LocalState, remote: RemoteState) -> None:
    """Raise `RemoteIncomplete` if the rows are about other rooms than the account is in.

    Then it is another bot's token or database, or the list of rooms is cut short. Rows that point at
    rooms of the missing part would be moved, and rows of a foreign bot written.
    """
    named = _named(local)
    count = len(set().union(*named.values()))
    known = {*remote.rooms, *remote.unreadable}
    known |= {room.predecessor for room in remote.rooms.values() if room.predecessor}
    found = len(set().union(*named.values()) & known)
    # Users weigh the same: whoever makes many rooms and throws the bot out stops nobody's repairs.
    share = sum(len(rooms & known) / len(rooms) for rooms in named.values()) / (len(named) or 1)
    if count < FEW or (found and (count < MANY or share > SHARE)):
        return
    some = f"Only {found}" if found else "None"
    raise RemoteIncomplete(
        _FOREIGN.format(some, f"{count} rooms and Spaces", quote_odd(remote.account))
    )


def check_named(rooms: Iterable[str], remote: RemoteState) -> None:
    """Raise `RemoteIncomplete` if the account is in none of the rooms that a bot's links name.

    A single one says that they belong together: such bots leave rooms for good, and keep the rows.
    """
    named = {room for room in rooms if room.startswith("!")}
    if len(named) < FEW or any(map(remote.joined, named)):
        return
    raise RemoteIncomplete(
        _FOREIGN.format("None", f"{len(named)} rooms", quote_odd(remote.account))
    )


def _named(local: LocalState) -> dict[str, set[str]]:
    """The rooms and Spaces of each user that the bot's own rows name."""
    pairs = [(user_id, user.space_id) for user_id, user in local.users.items()]
    pairs += [(room.matrix_user_id, room_id) for room_id, room in local.rooms.items()]
    named: dict[str, set[str]] = {}
    for user_id, room_id in pairs:
        if room_id.startswith("!"):
            named.setdefault(user_id, set()).add(room_id)
    return named


_FOREIGN = (
    "{} of the {} that the local rows name are among those that {} is in: this is another account's "
    "database, or the homeserver's list is cut short. Nothing was decided; if it is true, allow it "
    "(`allow_empty=True`, or --allow-empty)."
)
