"""From texts that hold ids to one pattern that tells them: names and aliases of rooms. Pure."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

import msgspec

from toolkit.fitting.columns import Id
from toolkit.layout import id_pattern


class Pattern(msgspec.Struct, frozen=True):
    """A pattern, how many texts it tells right, and how many it tells another id of."""

    text: str
    right: int
    wrong: int


def find_pattern(
    told: Sequence[tuple[str, Id]],
    columns: tuple[str, ...],
    integers: frozenset[str],
    people: Sequence[Collection[str]] = (),
) -> Pattern | None:
    """The pattern that tells the ids of most of these texts; None if they don't stand in them.

    `people` are, for each text, names of users that may stand in it: those of other rooms are others, also
    where only one user has been here so far.

    >>> found = find_pattern([("Ticket #7 (Anna)", ("7",)), ("Ticket #8 (Ben)", ("8",))], ("id",), frozenset({"id"}))
    >>> found.text, found.right
    ('Ticket #{id} \\\\(.+\\\\)', 2)
    """
    seen = told
    if people and len(told) > 1:
        seen = [
            (_without_people(text, names, number), id)
            for number, ((text, id), names) in enumerate(zip(told, people, strict=True))
        ]
    cuts = [list(_cuts(text, id)) for text, id in seen]
    found = filter(None, (_join(group, columns) for group in _groups(cuts)))
    tried = [_try(text, told, columns, integers) for text in dict.fromkeys(found)]
    good = [pattern for pattern in tried if pattern.right and pattern.wrong * 5 <= pattern.right]
    return max(
        good,
        key=lambda found: (found.right, -found.wrong, -_wild(found.text), found.text),
        default=None,
    )


def _without_people(text: str, names: Collection[str], number: int) -> str:
    """With a sign that no other text has in place of each name."""
    sign = chr(_PRIVATE + number % _SIGNS)
    for name in names:
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", sign, text)
    return text


Cut = tuple[tuple[int, ...], tuple[str, ...]]
"""In which order the parts of an id stand in a text, and what stands around them."""
Group = tuple[tuple[int, ...], list[tuple[str, ...]]]
"""Cuts of several texts, of one order."""


def _cuts(text: str, id: Id) -> Iterator[Cut]:
    """The ways in which an id stands in a text, no more than a few."""
    if len(id) == 1:
        for at in list(_places(text, id[0]))[:_FEW]:
            yield (0,), (text[:at], text[at + len(id[0]) :])
        return
    found = [next(_places(text, part), None) for part in id]
    places = [place for place in found if place is not None]
    if len(places) < len(id):
        return
    order = tuple(sorted(range(len(id)), key=lambda number: places[number]))
    around, end = [], 0
    for number in order:
        around.append(text[end : places[number]])
        if places[number] < end:
            return
        end = places[number] + len(id[number])
    yield order, (*around, text[end:])


def _places(text: str, part: str) -> Iterator[int]:
    """Where a part stands as a word of its own: no digit beside a digit, no letter beside a letter."""
    at = text.find(part) if part else -1
    while at >= 0:
        end = at + len(part)
        before, after = text[at - 1 : at], text[end : end + 1]
        if not (_goes_on(before, part[0]) or _goes_on(part[-1], after)):
            yield at
        at = text.find(part, at + 1)


def _goes_on(left: str, right: str) -> bool:
    return (left.isdigit() and right.isdigit()) or (left.isalpha() and right.isalpha())


def _groups(cuts: Sequence[Sequence[Cut]]) -> Iterator[Group]:
    """Cuts that may be of one pattern: those with a usual beginning, and the first of each text."""
    for order in sorted({order for ways in cuts for order, _ in ways}):
        mine = [[around for one, around in ways if one == order] for ways in cuts]
        starts = Counter(start for ways in mine for start in {around[0] for around in ways})
        for start, _ in sorted(starts.items(), key=lambda item: (-item[1], item[0]))[:_FEW]:
            same = [[around for around in ways if around[0] == start] for ways in mine]
            yield order, [ways[0] for ways in same if ways]
        yield order, [ways[0] for ways in mine if ways]


def _join(group: Group, columns: tuple[str, ...]) -> str | None:
    """A pattern for all texts of a group; None if nothing but the id would be left of it."""
    order, cuts = group
    slots = [columns[number] if len(columns) > 1 else "id" for number in order]
    *begun, end = zip(*cuts, strict=True)
    between = [*map(_common, begun), _loose(end[0]) if len(cuts) == 1 else _common(end)]
    if not any(text.strip() for literals in between for text in literals):
        return None
    if any(len(literals) > 1 and not literals[-1] for literals in between[:-1]):
        return None  # anything, and then the id: where would it begin?
    parts = [_pattern(literals) for literals in between]
    return parts[0] + "".join(
        f"{{{slot}}}{part}" for slot, part in zip(slots, parts[1:], strict=True)
    )


def _common(texts: Sequence[str]) -> list[str]:
    """What several texts share at both ends, in whole words, with any text between; or the one that all are."""
    if len(set(texts)) == 1:
        return [texts[0]]
    start = shared_start(texts)
    if any(text[len(start) : len(start) + 1].isalnum() for text in texts):
        start = re.sub(r"\w+$", "", start)
    rest = [text[len(start) :] for text in texts]
    end = shared_start([text[::-1] for text in rest])[::-1]
    if any(text[: len(text) - len(end)][-1:].isalnum() for text in rest):
        end = re.sub(r"^\w+", "", end)
    return [start, end] if all(len(text) > len(end) for text in rest) else [start, "", end]


def shared_start(texts: Sequence[str]) -> str:
    """What several texts begin with."""
    least, most = min(texts), max(texts)
    end = next((at for at, char in enumerate(least) if char != most[at]), len(least))
    return least[:end]


def _loose(text: str) -> list[str]:
    """The signs of a single text, and any text for its words: nothing says which of them stay."""
    return re.split(r"\w(?:[\w .'-]*\w)?", text)


def _pattern(literals: Sequence[str]) -> str:
    """Texts with something between each two; an empty one in the middle means perhaps nothing."""
    if len(literals) == 3 and not literals[1]:
        return ".*".join(_escape(text) for text in (literals[0], literals[2]))
    return ".+".join(map(_escape, literals))


def _wild(pattern: str) -> int:
    """How often anything may stand in it."""
    return len(re.findall(r"(?<!\\)\.[+*]", pattern))


def _escape(text: str) -> str:
    """As `re.escape`, which escapes spaces and more; what is in front of a number must not look like a slot."""
    return re.sub(r"[\\.^$*+?{}\[\]|()]", r"\\\g<0>", text)


def _try(
    text: str,
    told: Sequence[tuple[str, Id]],
    columns: tuple[str, ...],
    integers: frozenset[str],
) -> Pattern:
    """How a pattern does; not at all if a column's name can't stand in one."""
    right = wrong = 0
    try:
        pattern = id_pattern(text, columns, integers)
    except ValueError:
        return Pattern(text, 0, 0)
    for found, id in told:
        if match := pattern.fullmatch(found):
            same = tuple(match[f"part{place}"] for place in range(len(columns))) == id
            right, wrong = right + same, wrong + (not same)
    return Pattern(text, right, wrong)


_FEW = 4
_PRIVATE, _SIGNS = 0xF0000, 0xFFFD
"""Characters that mean nothing to anybody (Unicode's private use, plane 15)."""
