"""From what a function left in a table of links to a plan, in the words of such a bot. Pure.

A unit is a room with the rows that name it by now; a row that names none is one by itself, called by its key.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from toolkit.model import Change, Plan, RowWrite, Unit, UnitKind
from toolkit.planning.links.contest import told
from toolkit.planning.links.rows import LinkRow, LinkState
from toolkit.quotes import quote_odd
from toolkit.records import Raw, decode_object
from toolkit.shadow.plan import findings_of, status_of
from toolkit.words import link_words


def plan_link_writes(
    before: Mapping[str, Raw], after: LinkState, account: str, function: str
) -> Plan:
    """A unit for each room or other row that is otherwise now; a person has to agree to every one of them."""
    rows = {row.key: row for row in after.all_links}
    grouped: dict[str, list[RowWrite]] = {}
    for key, raw in sorted(after.rows.items()):
        if before.get(key) != raw:
            grouped.setdefault(_unit_id(key, rows.get(key)), []).append(
                RowWrite(key, before.get(key), raw)
            )
    units = [_unit(unit_id, writes, rows, after, function) for unit_id, writes in grouped.items()]
    return Plan(
        account=account,
        joined=(),
        units=tuple(sorted(units, key=lambda unit: unit.id)),
        foreign=True,
        words=link_words(after.table.table),
    )


def why_only_shown(unit: Unit, links: LinkState) -> str | None:
    """Why the toolkit doesn't write it, which of a link only ever writes the room; or None if it does."""
    room = links.table.room
    for write in unit.writes:
        row = quote_odd(write.key)
        if write.key not in {known.key for known in links.links.values()}:
            return f"{row} would be no row that can be read"
        if write.before is None:
            if not links.may_insert:
                return f"no row such as {row} is made: {links.why_no_insert or 'the mapping has no insert'}"
            continue
        try:
            had, has = decode_object(write.before), decode_object(write.after)
        except ValueError:
            return f"{row} is no row that can be read"
        if other := next((name for name in has if name != room and has[name] != had[name]), None):
            return f"of {row} only {room} is ever written, not {other}"
    return None


def _unit_id(key: str, row: LinkRow | None) -> str:
    return row.room if row and row.room and row.room.startswith("!") else key


def _unit(
    unit_id: str,
    writes: Sequence[RowWrite],
    rows: Mapping[str, LinkRow],
    links: LinkState,
    function: str,
) -> Unit:
    row = rows.get(writes[0].key)
    made = tuple(_as_made(write, rows.get(write.key), links) for write in writes)
    findings = tuple(f for write in made for f in findings_of(unit_id, write, function))
    return Unit(
        id=unit_id,
        kind=UnitKind.ROOM,
        status=status_of(findings),
        findings=findings,
        owner=links.owner(row),
        chat_id=told(row.id) if row else None,
        room_ids=(unit_id,) if unit_id.startswith("!") else (),
        change=Change(made),
        needs_human=True,
        row=writes[0].key,
    )


def _as_made(write: RowWrite, row: LinkRow | None, links: LinkState) -> RowWrite:
    """A new row as the toolkit makes one: its other columns are left to the mapping and the table."""
    if write.before is not None or row is None or row.room is None:
        return write
    return replace(write, after=links.fresh(row.id, row.room))
