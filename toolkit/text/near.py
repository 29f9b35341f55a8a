"""Which unit somebody meant who wrote something near its name: `alice`, `!room`, `C1`, a slip of the pen. Pure."""

from collections.abc import Iterator
from difflib import get_close_matches

from toolkit.convention import chat_number
from toolkit.model import Plan, Unit, UnitKind, why_no_unit
from toolkit.quotes import quote_odd
from toolkit.text.advice import unit_name
from toolkit.text.view import View

_NAMED = "`session.drift` and `matrix-drift check` name those that there are"
_FEW = 3
_COMPARED = 5_000
"""Names that are compared letter by letter; beyond, that would take its time."""


def say_no_unit(plan: Plan, name: str) -> str:
    """That there is no such unit, and which was meant; or what a row of no unit is.

    >>> say_no_unit(Plan(account="", joined=(), in_sync_users=("@alice:hs",)), "alice")
    "There is no unit 'alice'. Did you mean '@alice:hs'?"
    """
    if name in plan.orphans:
        return f"'{name}' is no unit but an orphaned row, which is no drift: there is nothing to decide."
    if name in plan.unlinked:
        return f"{_told(name)} is no unit but a row that names no room, which is no drift: there is nothing to decide."
    if any(finding.key == name for finding in plan.loose):
        return f"{_told(name)} is no unit but a row of none: mend or delete it by hand."
    if meant := list(find_near(plan, name)):
        told = [_quote(plan, unit_id) for unit_id in meant]
        either = " or ".join(filter(None, (", ".join(told[:-1]), told[-1])))
        return f"There is no unit {_told(name)}. Did you mean {either}?"
    return f"There is no unit {_told(name)}; {_NAMED}."


def say_none(plan: Plan, view: View) -> Iterator[str]:
    """Why nothing is shown of users and rooms that were asked for: in sync, no chat, or nobody of that name."""
    for name in view.users:
        if not View(users=(name,)).part(plan):
            yield _say_none(plan, name)
    for name in view.rooms:
        if not View(rooms=(name,)).part(plan):
            yield _say_none(plan, name)


def _say_none(plan: Plan, name: str) -> str:
    why = why_no_unit(plan, name)
    return f"{_told(name)}: {why}." if why else say_no_unit(plan, name)


def find_near(plan: Plan, name: str) -> list[str]:
    """Ids of units, then of what is in sync or skipped, that the name may have been meant for."""
    asked = name.strip().casefold()
    if by_chat := _by_chat(plan, asked):
        return by_chat[:_FEW]
    known: dict[str, str] = {}
    for alias, unit_id in _names(plan):
        known.setdefault(alias.casefold(), unit_id)
    bare = _bare(asked)
    alike = {alias: unit_id for alias, unit_id in known.items() if _same_kind(alias, asked)}
    found = [u for alias, u in alike.items() if bare and _bare(alias) == bare]
    found = found or [u for alias, u in alike.items() if bare and _bare(alias).startswith(bare)]
    if not found:
        some = {_bare(alias): unit_id for alias, unit_id in [*alike.items()][:_COMPARED]}
        found = [some[name] for name in get_close_matches(bare, some, n=_FEW, cutoff=0.75)]
    return list(dict.fromkeys(found))[:_FEW]


def _by_chat(plan: Plan, asked: str) -> list[str]:
    """`C1`, `C1 of @alice:hs` or `alice C1`."""
    words = [word for word in asked.split() if word != "of"]
    ids = [word.upper() for word in words if chat_number(word.upper())]
    who = [word for word in words if not chat_number(word.upper())]
    if len(ids) != 1:
        return []
    return [
        unit.id
        for unit in plan.units
        if unit.kind is UnitKind.ROOM
        and unit.chat_id == ids[0]
        and all(word in (unit.owner or "").casefold() for word in who)
    ]


def _names(plan: Plan) -> Iterator[tuple[str, str]]:
    """What a unit may be called -> its id."""
    for unit in plan.units:
        yield unit.id, unit.id
        if unit.kind is UnitKind.USER and unit.owner:
            yield unit.owner, unit.id
        if unit.row and unit.chat_id:
            yield unit.chat_id, unit.id
    for unit in plan.units:
        yield from ((room_id, unit.id) for room_id in unit.room_ids)
    quiet = (*plan.in_sync_users, *plan.in_sync_rooms, *(skip.room_id for skip in plan.skipped))
    yield from ((unit_id, unit_id) for unit_id in quiet)


def _same_kind(alias: str, asked: str) -> bool:
    """Whoever writes `!` means a room."""
    return not asked.startswith(("@", "!")) or alias[:1] == asked[:1]


def _bare(name: str) -> str:
    """Without sigil and server.

    >>> _bare("@alice:example.org")
    'alice'
    """
    return name.lstrip("@!").partition(":")[0]


def _quote(plan: Plan, unit_id: str) -> str:
    unit: Unit | None = plan.unit(unit_id)
    name = unit_name(unit) if unit and unit_id != unit.owner else ""
    return _told(unit_id) + (f" ({name})" if name else "")


def _told(name: str) -> str:
    """In quotes, as a shell wants it; what is odd in any case as elsewhere in sentences."""
    quoted = quote_odd(name)
    return f"'{name}'" if quoted == name else quoted
