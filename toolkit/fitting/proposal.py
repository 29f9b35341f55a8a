"""The mapping that a database and the rooms speak for, and those that came after it. Pure.

A choice of columns is worth what it links: rooms whose ids something else tells as well, then joined rooms with one
row each.
"""

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import msgspec

from toolkit.database.sample import Sample
from toolkit.fitting.clues import Tell, Witness, find_tells
from toolkit.fitting.columns import (
    ACTIVE,
    FLAGS,
    Candidate,
    find_candidates,
    looks_like_room,
    looks_like_user,
    only_value,
)
from toolkit.fitting.makers import Makers, find_makers
from toolkit.layout import Cell, Layout
from toolkit.model import RemoteState


class Proposal(msgspec.Struct, frozen=True):
    """A mapping, with what it rests on. `witnesses` is how many joined rooms its rows link.

    `owner` is a column of users, and `members` whether they are in their rooms; None if nobody looked. `insert`
    may hold what an inserted row needs.
    """

    candidate: Candidate
    makers: Makers = Makers()
    type: str = "room"
    tells: tuple[Tell, ...] = ()
    witnesses: int = 0
    owner: str | None = None
    members: bool | None = None
    insert: bool | dict[str, Cell] = False

    @property
    def rows(self) -> dict[str, Any]:
        """`[rows.link]` as the file has it."""
        one = self.candidate
        told: dict[str, Any] = {"table": one.sample.name}
        told["id"] = one.ids[0] if len(one.ids) == 1 else list(one.ids)
        told["room"] = one.room
        if self.owner and self.members:
            told["owner"] = self.owner
        if shown := [name for name in one.shown if name != told.get("owner")]:
            told["show"] = shown
        if one.where:
            told["where"] = one.where
        return told | {"insert": self.insert}

    @property
    def shape(self) -> dict[str, Any]:
        """`[shape]` as the file has it."""
        return {"kind": "links", "rooms": self.makers.rooms, "type": self.type}

    @property
    def evidence(self) -> list[dict[str, Any]]:
        """The tables `[[evidence]]` of the file."""
        return [tell.clue for tell in self.tells]

    def layout(self) -> Layout:
        """The mapping as a value. Raises `ConventionError` for one that can't work."""
        return Layout.of(self.shape, {"link": self.rows}, self.evidence)

    @property
    def untold(self) -> tuple[str, ...]:
        """Columns of the id that no evidence tells: a new row would lack them."""
        left = [set(tell.untold) for tell in self.tells]
        return tuple(sorted(set.intersection(*left))) if left else ()

    @property
    def worth(self) -> tuple[float, ...]:
        """By what proposals are compared: rooms, which count twice by a key, and less among repeated rows.

        A table of messages names rooms and ids as well, and may hold what the table of links has lost.
        """
        one = self.candidate
        parts = len(one.ids)
        certain = max(
            (t.right * (parts - len(t.untold)) / parts for t in self.tells if t.certain), default=0
        )
        guessed = max((tell.right for tell in self.tells), default=0)
        links = len(one.links)
        weight = (1 + one.is_key) * links / ((links + one.repeated) or 1)
        counts = (certain, self.witnesses, guessed, links)
        return *(count * weight for count in counts), -parts


def propose(
    samples: Sequence[Sample],
    remote: RemoteState | None,
    former: Collection[str] = (),
    helpers: Collection[str] = (),
) -> list[Proposal]:
    """Every mapping that the cells allow, the best first; without a remote side by the cells alone."""
    joined = remote.rooms if remote else {}
    candidates = [one for sample in samples for one in find_candidates(sample, joined)]
    found = [_propose(one, remote, frozenset(former), frozenset(helpers)) for one in candidates]
    order = {id(one): place for place, one in enumerate(found)}
    return sorted(found, key=lambda one: (*(-n for n in one.worth), order[id(one)]))


def _propose(
    candidate: Candidate,
    remote: RemoteState | None,
    former: frozenset[str],
    helpers: frozenset[str],
) -> Proposal:
    where = candidate.where | _active(candidate, remote.rooms if remote else {})
    candidate = msgspec.structs.replace(candidate, where=where)
    owners = [name for name in candidate.sample.names if _holds_users(candidate, name)]
    if remote is None:
        owner = owners[0] if owners else None
        return Proposal(candidate, owner=owner)
    witnesses = [
        Witness(remote.rooms[link.room], link.id)
        for link in candidate.links
        if link.room in remote.rooms
    ]
    own = frozenset({remote.account}) | former
    makers, marks = find_makers(witnesses, candidate.ids, own)
    tells = find_tells(witnesses, candidate, partial(makers.trusted, own), own | helpers)
    told = {tell.clue.get("event") for tell in tells}
    tells = [*(mark for mark in marks if mark.clue["event"] not in told), *tells]
    spaces = sum(one.room.is_space for one in witnesses)
    owner = next((name for name in owners if _are_members(candidate, name, remote)), None)
    return Proposal(
        candidate,
        makers,
        "space" if spaces * 2 > len(witnesses) else "room",
        tuple(tells),
        len(witnesses),
        owner or (owners[0] if owners else None),
        owner is not None,
    )


def _holds_users(candidate: Candidate, name: str) -> bool:
    if name == candidate.room or name in candidate.ids or name in candidate.where:
        return False
    cells = [cell for cell in candidate.sample.cells(name) if cell not in (None, "")]
    return bool(cells) and all(map(looks_like_user, cells))


def _are_members(candidate: Candidate, name: str, remote: RemoteState) -> bool:
    """Whether most users of a column are, or were, in the rooms of their rows."""
    pairs = zip(candidate.sample.cells(name), candidate.sample.cells(candidate.room), strict=True)
    known = [(user, room) for user, room in pairs if user and room in remote.rooms]
    there = [
        any(member.user_id == user for member in remote.rooms[room].members)
        for user, room in known[:_ENOUGH]  # a room may have very many members
    ]
    return sum(there) * 2 > len(there)


def _active(candidate: Candidate, joined: Collection[str]) -> dict[str, Cell]:
    """A column that says whether a row still counts, and what the rows of joined rooms say there."""
    sample = candidate.sample
    rooms = sample.cells(candidate.room)
    for column in sample.columns:
        cells = sample.cells(column.name)
        if column.name.lower() not in FLAGS or not set(cells) <= {0, 1, None}:
            continue
        if column.name in (*candidate.ids, *candidate.where):
            continue
        here = [cell for cell, room in zip(cells, rooms, strict=True) if room in joined]
        value = only_value(here if len(here) > 1 else here * 2)
        if value is None:
            value = int(column.name.lower() in ACTIVE)
        return {column.name: bool(value) if column.boolean else value}
    return {}


def needs(proposal: Proposal) -> list[str]:
    """Columns that an INSERT would have to give, beside id, room and `where`."""
    one = proposal.candidate
    told = {one.room, *one.ids, *one.where}
    return [
        column.name for column in one.sample.columns if column.needed and column.name not in told
    ]


def constants(proposal: Proposal) -> dict[str, Cell]:
    """What an INSERT would need, if the rows always hold the same there, and it is no secret and no user:
    other rows are of other users, also where only one has been here so far. Else nothing."""
    one = proposal.candidate
    linked = [
        row
        for row, room in zip(one.sample.rows, one.sample.cells(one.room), strict=True)
        if looks_like_room(room)
    ]
    found: dict[str, Cell] = {}
    for name in needs(proposal):
        place = one.sample.names.index(name)
        value = only_value([row[place] for row in linked])
        secret = any(word in name.lower() for word in _SECRET)
        if value is None or secret or looks_like_user(value):
            return {}
        found[name] = value
    return found


_ENOUGH = 100
_SECRET = ("token", "password", "secret", "key")
