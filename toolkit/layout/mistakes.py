"""What can't work in a mapping, in one sentence that names the key. Pure.

Raises `ConventionError`. Whether a database fits what is said is another question.
"""

import re
from typing import TYPE_CHECKING, NoReturn

from toolkit.errors import ConventionError
from toolkit.layout.patterns import id_pattern

if TYPE_CHECKING:
    from toolkit.layout.values import Clue, Layout, LinkTable


def check_layout(layout: "Layout") -> None:
    """Look at a whole mapping, whose values are each of the right type."""
    if layout.links:
        _check_links(layout)
    else:
        _check_chats(layout)


def explain(told: str) -> str:
    """msgspec's complaint as a sentence that begins with the key.

    >>> explain("Object missing required field `room` - at `$.rows.link`")
    'rows.link: `room` is missing.'
    """
    what, _, where = told.partition(" - at `$")
    key = where.strip("`.")
    if found := re.fullmatch(r"Object missing required field (`.+`)", what):
        return f"{key}: {found[1]} is missing."
    if found := re.fullmatch(r"Object contains unknown field (`.+`)", what):
        return f"{key}: there is no key {found[1]}."
    if what.startswith("Invalid enum value"):
        return f"{key}: it must be one of {_ALLOWED[key]}."
    return f"{key}: {what[0].lower()}{what[1:]}."


def _check_links(layout: "Layout") -> None:
    shape, rows = layout.shape, layout.rows
    if rows.link is None:
        _refuse("rows.link is missing: say with table, id and room which table links ids to rooms.")
    if layout.families:
        family = min(layout.families)
        _refuse(f"rows.{family} belongs to shape.kind 'chats', and shape.kind is 'links'.")
    if isinstance(shape.rooms, tuple):
        _check_makers(shape.rooms)
    if shape.rooms == "bot-event" and not any(clue.event for clue in layout.clues):
        _refuse("shape.rooms is 'bot-event', and no evidence has an event: add one.")
    _check_table(rows.link)
    if isinstance(layout.evidence, str) and not _FUNCTION.fullmatch(layout.evidence):
        _refuse("evidence must name a function as 'package.module:function', or be tables.")
    for number, clue in enumerate(layout.clues):
        _check_clue(clue, rows.link.ids, f"evidence[{number}]")


def _check_makers(patterns: tuple[str, ...]) -> None:
    if not patterns:
        _refuse("shape.rooms is empty: give patterns of the accounts that make rooms, or 'bot'.")
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            why = str(error)
        else:
            continue
        _refuse(f"shape.rooms: {pattern!r} is no pattern: {why}.")


def _check_table(table: "LinkTable") -> None:
    if not table.ids or len(set(table.ids)) < len(table.ids):
        _refuse("rows.link.id must name each column of the id once.")
    if table.room in table.ids:
        _refuse(f"rows.link.room is the column {table.room!r}, which rows.link.id names already.")
    told = table.where | table.constants
    if twice := sorted(told.keys() & {*table.ids, table.room}):
        _refuse(f"rows.link: the column {twice[0]!r} is part of the link, and has a constant too.")


def _check_clue(clue: "Clue", ids: tuple[str, ...], key: str) -> None:
    if not clue.is_one:
        _refuse(f"{key} must have exactly one of name, alias, event, sole_member.")
    if (pattern := clue.name or clue.alias) is not None:
        try:
            id_pattern(pattern, ids)
        except ValueError as error:
            why = str(error)
        else:
            why = ""
        if why:
            _refuse(f"{key}.{clue.kind}: {why}.")
    if clue.event is None and (clue.id is not None or clue.state_key):
        _refuse(f"{key} has no event, so id and state_key say nothing.")
    if clue.event is not None and (len(clue.paths) != len(ids) or () in clue.paths):
        many = "a path" if len(ids) == 1 else f"{len(ids)} paths, in the order of rows.link.id"
        _refuse(f"{key}.id must be {many}, such as 'ticket.id'.")
    if clue.sole_member and len(ids) != 1:
        _refuse(f"{key}.sole_member needs an id of one column.")


def _check_chats(layout: "Layout") -> None:
    if layout.rows.link is not None:
        _refuse("rows.link belongs to shape.kind 'links', and shape.kind is 'chats'.")
    if layout.evidence:
        _refuse("evidence belongs to shape.kind 'links', and shape.kind is 'chats'.")
    if layout.shape != type(layout.shape)(stopped=layout.shape.stopped):
        _refuse(
            "shape.rooms and shape.type belong to shape.kind 'links', and shape.kind is 'chats'."
        )
    if not layout.families:
        return
    if absent := {"user", "room", "chat"} - layout.families.keys():
        _refuse(f"rows.{min(absent)} is missing: where rows stand in tables, all three do.")
    if len({table.table.lower() for table in layout.families.values()}) < len(layout.families):
        _refuse("rows: user, room and chat need a table each.")
    for family in layout.families:
        _check_fields(family, layout)


def _check_fields(family: str, layout: "Layout") -> None:
    table = layout.families[family]
    for name, field in table.fields.items():
        if (field.column is None) == (field.fixed is None):
            _refuse(f"rows.{family}.{name} must have exactly one of column and fixed.")
        if field.prefix and field.column is None:
            _refuse(f"rows.{family}.{name} has a prefix, and no column.")
        if field.column is None and name in table.keys:
            _refuse(f"rows.{family}.{name} is part of the key, and needs a column.")
    columns = [field.column.lower() for field in table.fields.values() if field.column]
    if len(set(columns)) < len(columns):
        _refuse(f"rows.{family}: each field needs a column of its own.")


def _refuse(why: str) -> NoReturn:
    raise ConventionError(why)


_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_ALLOWED = {
    "shape.kind": "'chats' and 'links'",
    "shape.rooms": "'bot' and 'bot-event', or a list of patterns",
    "shape.type": "'room' and 'space'",
}
