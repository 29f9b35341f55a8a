"""What tells the ids of rooms that rows already link: a bot's own state events, names, aliases, the member. Pure."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from toolkit.fitting.columns import Candidate, Id
from toolkit.fitting.texts import find_pattern
from toolkit.layout import ALIAS
from toolkit.model import RoomState

Trusted = Callable[[RoomState], frozenset[str]]
"""The accounts whose events count in a room."""


class Witness(msgspec.Struct, frozen=True):
    """A room that was read, and the id that the one row which names it says."""

    room: RoomState
    id: Id


class Tell(msgspec.Struct, frozen=True):
    """One piece of evidence as the file has it, and how many linked rooms it tells right, and wrong.

    `untold` are columns of a composite id that it leaves out: there the rows have to say the rest.
    """

    clue: dict[str, Any]
    right: int
    wrong: int
    untold: tuple[str, ...] = ()

    @property
    def certain(self) -> bool:
        """Whether nobody but the bot could have brought it about."""
        return "sole_member" not in self.clue


def find_tells(
    witnesses: Sequence[Witness], candidate: Candidate, trusted: Trusted, nobody: frozenset[str]
) -> list[Tell]:
    """All that tells ids, the strongest first: events, then names, aliases, and the only other member."""
    found = [
        *find_events(witnesses, candidate.ids, trusted),
        _by_text("name", witnesses, candidate, lambda room: _name(room, trusted), nobody),
        _by_text("alias", witnesses, candidate, lambda room: _alias(room, trusted), nobody),
        _by_member(witnesses, nobody),
    ]
    enough = len(witnesses) / 5  # fewer may be chance
    return [
        tell for tell in found if tell and _holds(tell.right, tell.wrong) and tell.right >= enough
    ]


def find_events(witnesses: Sequence[Witness], ids: tuple[str, ...], trusted: Trusted) -> list[Tell]:
    """The one type of state events, with the paths in its content, that tells most ids; none or one."""
    seen = [
        _Seen(number, event.type, event.state_key, witness.id, dict(_leaves(event.content)))
        for number, witness in enumerate(witnesses)
        for event in witness.room.kept
        if event.sender in trusted(witness.room) and event.type not in _OTHERS
    ]
    by_type: dict[str, list[_Seen]] = {}
    for one in seen:
        by_type.setdefault(one.type, []).append(one)
    tells = [tell for _, group in sorted(by_type.items()) if (tell := _by_event(group, ids))]
    good = [tell for tell in tells if _holds(tell.right, tell.wrong)]
    return sorted(good, key=lambda tell: (len(tell.untold), -tell.right, tell.wrong))[:1]


class _Seen(msgspec.Struct, frozen=True):
    """An event of a trusted account in a linked room: what stands at the paths of its content."""

    room: int
    type: str
    state_key: str
    id: Id
    leaves: dict[tuple[str, ...], str]


def _by_event(group: Sequence[_Seen], ids: tuple[str, ...]) -> Tell | None:
    paths: dict[int, tuple[str, ...]] = {}
    for place, name in enumerate(ids):
        if path := _path(group, place, name, paths.values()):
            paths[place] = path
    if not paths:
        return None
    beside = paths[min(paths)][:-1]
    right = {one.room for one in group if _fits(one, paths)}
    wrong = {one.room for one in group if any(p in one.leaves for p in paths.values())} - right
    keys = {one.state_key for one in group if one.room in right}
    clue: dict[str, Any] = {"event": group[0].type}
    if keys != {""}:
        clue["state_key"] = "*"
    whole = [paths.get(place, (*beside, name)) for place, name in enumerate(ids)]
    told = [".".join(map(_step, path)) for path in whole]
    untold = tuple(name for place, name in enumerate(ids) if place not in paths)
    clue["id"] = told if len(told) > 1 else told[0]
    return Tell(clue, len(right), len(wrong), untold)


def _path(
    group: Sequence[_Seen], place: int, name: str, taken: Collection[tuple[str, ...]]
) -> tuple[str, ...] | None:
    """Where a part of the id stands: the path that is right most often, then the one that is called like it."""
    counts: dict[tuple[str, ...], list[int]] = {}
    for one in group:
        for path, text in one.leaves.items():
            count = counts.setdefault(path, [0, 0])
            count[text != one.id[place]] += 1
    good = [
        (right, -wrong, _likeness(path, name), -len(path), path)
        for path, (right, wrong) in counts.items()
        if path not in taken and _holds(right, wrong)
    ]
    return max(good)[-1] if good else None


def _fits(one: _Seen, paths: Mapping[int, tuple[str, ...]]) -> bool:
    """Whether an event says this id; a part that it leaves out is empty."""
    pairs = [(one.leaves.get(path), one.id[place]) for place, path in paths.items()]
    right = all(text == part or (text is None and not part) for text, part in pairs)
    return right and any(text for text, _ in pairs)


def _likeness(path: tuple[str, ...], name: str) -> int:
    words = set(re.findall("[a-z]+", path[-1].lower()))
    return len(words & set(re.findall("[a-z]+", name.lower()))) + ("id" in words)


def _leaves(content: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Texts and integers of a content that a path of the file can name, not too deep."""
    if type(content) is int or isinstance(content, str):
        yield path, str(content)
    if isinstance(content, dict) and len(path) < _DEEP:
        for key in sorted(content)[:_WIDE]:
            if key and '"' not in key:
                yield from _leaves(content[key], (*path, key))


def _step(key: str) -> str:
    return f'"{key}"' if "." in key else key


def _by_text(
    kind: str,
    witnesses: Sequence[Witness],
    candidate: Candidate,
    text_of: Callable[[RoomState], str | None],
    nobody: frozenset[str],
) -> Tell | None:
    read = [(one, text) for one in witnesses if (text := text_of(one.room))]
    found = find_pattern(
        [(text, one.id) for one, text in read],
        candidate.ids,
        candidate.integers,
        [_people(one, nobody) for one, _ in read],
    )
    return None if found is None else Tell({kind: found.text}, found.right, found.wrong)


def _people(witness: Witness, nobody: frozenset[str]) -> set[str]:
    """What users of a room are called in their ids, but for what is part of the room's own id."""
    users = [member.user_id for member in witness.room.members if member.user_id not in nobody]
    names = {user[1:].partition(":")[0] for user in users[:_WIDE]}
    return {name for name in names if len(name) > 1 and not any(name in id for id in witness.id)}


def _name(room: RoomState, trusted: Trusted) -> str | None:
    return room.name if room.name_sender in trusted(room) else None


def _alias(room: RoomState, trusted: Trusted) -> str | None:
    for event in room.kept:
        if event.type == ALIAS and event.state_key == "" and event.sender in trusted(room):
            alias = event.content.get("alias")
            return alias if isinstance(alias, str) else None
    return None


def _by_member(witnesses: Sequence[Witness], nobody: frozenset[str]) -> Tell:
    """The only other one who is in the room or invited is the id."""
    right = wrong = 0
    for one in witnesses:
        others = [
            member.user_id
            for member in one.room.members
            if member.membership in ("join", "invite") and member.user_id not in nobody
        ]
        if len(others) == 1:
            right, wrong = right + (others == list(one.id)), wrong + (others != list(one.id))
    return Tell({"sole_member": True}, right, wrong)


def _holds(right: int, wrong: int) -> bool:
    """Right at all, and seldom wrong: some rows may have drifted."""
    return bool(right) and wrong * 5 <= right


_OTHERS = frozenset({ALIAS, "m.room.name", "m.space.child", "m.space.parent"})
_DEEP, _WIDE = 5, 100
