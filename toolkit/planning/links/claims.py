"""Which id each room claims, and by what: the first rung that answers. Pure."""

import json
from collections.abc import Sequence
from itertools import combinations

import msgspec

from toolkit.layout import as_integer
from toolkit.model import RoomState, Rung
from toolkit.planning.links.clues import BY_CHOICE, BY_ROW, Reader, Told, fits, merge, resolve
from toolkit.planning.links.rows import Claimed, Id, LinkState


class Claim(msgspec.Struct, frozen=True):
    """An id that a room claims. `certain` is what nobody but the bot could have brought about.

    `own`: a row of this id names the room, or one that it replaced.
    """

    room_id: str
    id: Id
    rank: int
    rung: Rung
    events: tuple[str, ...] = ()
    certain: bool = True
    own: bool = False


class Answer(msgspec.Struct, frozen=True):
    """What a room is taken for; or, where its evidence disagrees, all that it may be."""

    claim: Claim | None = None
    disputed: tuple[Claim, ...] = ()

    @property
    def claims(self) -> tuple[Claim, ...]:
        """All ids that the room lays claim to."""
        return self.disputed if self.claim is None else (self.claim,)


def answer_room(
    versions: Sequence[RoomState], links: LinkState, readers: Sequence[Reader], picked: str | None
) -> Answer:
    """Climb the ladder for a room and what it replaced, newest first; `picked` is a person's id."""
    room = versions[0].room_id
    rows = next((links.pointing[v.room_id] for v in versions if v.room_id in links.pointing), [])
    ids = sorted({row.id for row in rows})
    if (choice := read_id(picked, links)) is not None:
        by_row = choice in ids
        rank, rung = (BY_ROW, Rung.ROW) if by_row else (BY_CHOICE, Rung.CHOICE)
        return Answer(Claim(room, choice, rank, rung, own=by_row))
    said = [(reader, one) for reader in readers for one in reader.ask(versions)]
    if disputed := _dispute(room, ids, said, links):
        return Answer(None, disputed)
    if len(ids) == 1:
        return Answer(Claim(room, ids[0], BY_ROW, Rung.ROW, own=True))
    return Answer(_first(room, ids, said, links))


def read_id(picked: str | None, links: LinkState) -> Id | None:
    """The id that a person's text means: as it is shown, so a composite one as a JSON list."""
    if not picked:
        return None
    parts: object = [picked]
    if len(links.table.ids) > 1:
        try:
            parts = json.loads(picked)
        except ValueError:
            return None
    if not isinstance(parts, list) or len(parts) != len(links.integers):
        return None
    if not all(isinstance(part, str) for part in parts):
        return None
    whole = zip(parts, links.integers, strict=True)
    return None if any(i and as_integer(p) is None for p, i in whole) else tuple(parts)


def _first(
    room: str, ids: Sequence[Id], said: Sequence[tuple[Reader, Told]], links: LinkState
) -> Claim | None:
    """What the first clue says that tells an id; of a room that several rows name, which of them."""
    by_rank: dict[int, list[tuple[Reader, Told]]] = {}
    for reader, one in said:
        by_rank.setdefault(reader.rank, []).append((reader, one))
    for told in by_rank.values():
        reader = told[0][0]
        claimed = merge([one.id for _, one in told])
        if (id := _one_of(ids, claimed, links)) is not None:
            events = tuple(one.event for _, one in told)
            return Claim(room, id, reader.rank, reader.rung, events, reader.certain, bool(ids))
    return None


def _one_of(ids: Sequence[Id], claimed: Claimed, links: LinkState) -> Id | None:
    if not ids:
        return resolve(claimed, links)
    fitting = [id for id in ids if fits(claimed, id)]
    return fitting[0] if len(fitting) == 1 else None


def _dispute(
    room: str, ids: Sequence[Id], said: Sequence[tuple[Reader, Told]], links: LinkState
) -> tuple[Claim, ...]:
    """All that a room may be, if its rows and the bot's own state events say different things."""
    events = [(reader, told) for reader, told in said if reader.rung is Rung.STATE_EVENT]
    among = any(not fits(one.id, other.id) for (_, one), (_, other) in combinations(events, 2))
    against = bool(ids) and any(not any(fits(told.id, id) for id in ids) for _, told in events)
    if not (among or against):
        return ()
    claims = [Claim(room, id, BY_ROW, Rung.ROW) for id in ids]
    for reader, told in events:
        id = resolve(told.id, links) or tuple(part or "" for part in told.id)
        claims.append(Claim(room, id, reader.rank, reader.rung, (told.event,)))
    return tuple(claims)
