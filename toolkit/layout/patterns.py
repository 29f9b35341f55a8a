"""How ids are told by texts and paths: the patterns of a mapping, as regular expressions. Pure."""

import re

INTEGER = "0|-?[1-9][0-9]{0,18}"
SMALLEST, LARGEST = -(1 << 63), (1 << 63) - 1
"""The largest integer that a column holds."""
_SLOT = re.compile(r"(?<!\\)\{([^{}0-9,][^{}]*)\}")
_STEP = re.compile(r'(?:"([^"]+)"|([^."]+))(?:\.(?=.)|$)')


def split_path(path: str) -> tuple[str, ...]:
    """The keys of a path; one with a dot in it stands in quotes. Empty for what is no path.

    >>> split_path('channel."fi.mau.receiver"'), split_path("a..b")
    (('channel', 'fi.mau.receiver'), ())
    """
    keys, at = list[str](), 0
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            return ()
        keys.append(step[1] or step[2])
        at = step.end()
    return tuple(keys)


def as_integer(text: str) -> int | None:
    """The integer that a text is, as a column would hold it; None for any other text."""
    if not re.fullmatch(INTEGER, text) or not SMALLEST <= int(text) <= LARGEST:
        return None
    return int(text)


def id_pattern(
    pattern: str, ids: tuple[str, ...], integers: frozenset[str] = frozenset()
) -> re.Pattern[str]:
    """The regular expression of a clue, with a group `part0`, `part1`, … for each column of the id.

    Raises ValueError, why in words, for one that can't tell an id.

    >>> id_pattern("Ticket #{id} .+", ("id",)).fullmatch("Ticket #7 (Anna)")["part0"]
    '7'
    """
    names = {name: place for place, name in enumerate(ids)}
    if len(ids) == 1:
        names["id"] = 0
    seen = list[int]()

    def group(slot: re.Match[str]) -> str:
        if slot[1] not in names:
            raise ValueError(f"{slot[0]} is no column of the id")
        seen.append(place := names[slot[1]])
        return f"(?P<part{place}>{INTEGER if ids[place] in integers else '.+?'})"

    text = _SLOT.sub(group, pattern)
    if absent := [name for place, name in enumerate(ids) if place not in seen]:
        raise ValueError(f"it has no {{{'id' if len(ids) == 1 else absent[0]}}} in it")
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(f"it is no pattern: {error}") from None
