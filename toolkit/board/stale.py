"""What was agreed to, kept while it is applied, and what has moved since where that went stale. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from toolkit.board.details import Moved, RowDiff, diff_rows
from toolkit.board.items import Item, Result
from toolkit.decisions.ledger import Vote
from toolkit.decisions.offers import NO_OFFERS
from toolkit.model import Change, RowWrite, Status, Unit
from toolkit.records import Raw
from toolkit.text.summary import count_of


@dataclass(frozen=True, slots=True)
class Seen:
    """A unit as it was when Apply was pressed, with the rows that its change is about."""

    item: Item
    change: Change | None
    rows: Mapping[str, Raw]


def see(item: Item, unit: Unit, rows: Mapping[str, Raw]) -> Seen:
    """Remember what is agreed to."""
    change = unit.change
    return Seen(item, change, {key: rows.get(key) for key in _keys(change)})


def find_moved(seen: Seen, why: str, unit: Unit | None, rows: Mapping[str, Raw]) -> Moved:
    """Rows then and now, and what would have been written and would be written now."""
    now = unit.change if unit else None
    was_written, would_be = _after(seen.change), _after(now)
    return Moved(
        why,
        _differing((key, then, rows.get(key)) for key, then in seen.rows.items()),
        _differing(
            (key, was_written.get(key), would_be.get(key))
            for key in dict.fromkeys([*was_written, *would_be])
        ),
    )


def finished_item(seen: Seen, result: Result) -> Item:
    """The line of a unit that the plan no longer holds, for the list of what the last run did."""
    written = result.state == "applied"
    return replace(
        seen.item,
        status=Status.IN_SYNC,
        vote=Vote.PENDING,
        action=f"{count_of(seen.item.rows, 'row')} written"
        if written
        else "nothing is left to write",
        change="",
        writes=(),
        rows=0,
        needs_human=False,
        offers=NO_OFFERS,
        options=(),
        result=result,
    )


def _differing(rows: Iterable[tuple[str, Raw, Raw]]) -> tuple[RowDiff, ...]:
    return diff_rows(RowWrite(key, then, now) for key, then, now in rows if then != now)


def _after(change: Change | None) -> dict[str, Raw]:
    return {write.key: write.after for write in change.writes} if change else {}


def _keys(change: Change | None) -> Iterable[str]:
    if change is None:
        return ()
    return dict.fromkeys([*(write.key for write in change.writes), *change.relies_on])
