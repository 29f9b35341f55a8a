"""Rooms as they came, for who decodes them elsewhere: a fleet's worker processes (`toolkit.fleet.judges`).

Reading goes on as ever, but for what only a decoded room tells: whether it is the whole state of a room that the
account is still in. Where it isn't, the look is worth nothing and made again in the ordinary way.
"""

from typing import Self

import msgspec

from toolkit.convention import Convention
from toolkit.homeserver.reading import ClientLike, Reading, Source, decode_whole
from toolkit.homeserver.room_state import UnreadableState
from toolkit.homeserver.server import RoomRefused
from toolkit.layout import Layout
from toolkit.model import RemoteState, RoomState
from toolkit.progress import Progress


class Doubtful(Exception):
    """Something that came for a room isn't the state of a room that the account is in."""


class Gathered(msgspec.Struct, frozen=True):
    """The homeserver's side as it came: `rooms` holds raw state as `/rooms/{id}/state` gives it."""

    account: str
    rooms: dict[str, bytes]
    refused: dict[str, str]

    @classmethod
    async def load(
        cls,
        client: ClientLike,
        convention: Convention,
        layout: Layout,
        *,
        may_be_empty: bool,
        progress: Progress | None = None,
        sliding_sync: bool = True,
    ) -> Self:
        """Read every joined room of a plain client's account; raises like `load_remote`."""
        source = Source(client, convention, progress, sliding_sync=sliding_sync, layout=layout)
        look = Reading(source, source.gather, may_be_empty=may_be_empty)
        account = await source.account()
        await look.read(await look.list_rooms())
        return cls(account, look.rooms, look.refused)

    def decode(self, convention: Convention, layout: Layout) -> RemoteState:
        """What `load_remote` would have given. Raises `Doubtful`."""
        known: dict[str, str] = {}
        rooms: dict[str, RoomState] = {}
        kind, kept = convention.state_event_type, layout.kept_events
        try:
            for room_id, body in sorted(self.rooms.items()):
                rooms[room_id] = decode_whole(room_id, body, self.account, kind, known, kept)
        except (UnreadableState, RoomRefused) as error:
            raise Doubtful(str(error)) from None
        return RemoteState(self.account, rooms, self.refused)
