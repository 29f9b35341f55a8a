"""Deciding without writing: ignore, reject, defer, and taking such a decision back.

It is the same file beside the database as a session's and the board's, and the same code that keeps it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from toolkit.cli.look import DRIFT, IN_SYNC, road_of
from toolkit.cli.options import Where
from toolkit.cli.output import progress, say, show, show_json
from toolkit.decisions.ignoring import read_reason, read_until, today
from toolkit.decisions.ledger import Vote
from toolkit.decisions.ledger_file import file_beside
from toolkit.errors import ToolkitError
from toolkit.model import Plan, why_no_unit
from toolkit.quotes import quote_odd
from toolkit.repairs import Repairs, load_past_of
from toolkit.session.decided import Decided
from toolkit.session.deciding import Deciding


@dataclass(frozen=True)
class Asked:
    """What a person wants these units to be; a reason and a last day only where they are ignored."""

    vote: Vote
    units: Sequence[str]
    reason: str = ""
    until: str | None = None


def decide(where: Where, asked: Asked, *, as_json: bool) -> int:
    """Keep the decision about these units as they are now; writes nothing to the database."""
    if asked.vote is Vote.IGNORED:  # what is wrong with it is said before anybody waits
        read_reason(asked.reason)
        read_until(asked.until, today())
    deciding = asyncio.run(look_to_decide(road_of(where)))
    decided = _decide(deciding, asked)
    idle = _why_idle(deciding.state.plan, asked.units, decided)
    if as_json:
        show_json(_json(deciding, decided, idle))
    else:
        from rich.text import Text

        show([Text(repr(decided))] if decided.units else [])
        for unit_id, why in idle.items():
            say(f"{quote_odd(unit_id)}: {why}.")
        if decided.units:
            kept = "is no longer" if asked.vote is Vote.PENDING else "stands"
            say(f"The decision {kept} in {deciding.file}; nothing is written to the database.")
    return DRIFT if idle or decided.refused else IN_SYNC


def _decide(deciding: Deciding, asked: Asked) -> Decided:
    units = list(asked.units)
    if asked.vote is Vote.IGNORED:
        return deciding.ignore(units, None, asked.reason, asked.until)
    return deciding.decide(asked.vote, units, None)


async def look_to_decide(road: Repairs) -> Deciding:
    """Both sides as of now, with the decisions that are kept beside the database."""
    with progress("Reading rooms") as tell:
        remote, rows = await road.look(tell)
    beside = road.sides.beside
    if beside is None:
        raise ToolkitError(
            "Decisions about a database that is no file are kept where they are named: decide in a "
            "session with `decisions=`. Nothing was decided."
        )
    deciding = Deciding(road, file_beside(beside), beside)
    deciding.look(remote, road.read(rows), await load_past_of(road.sides, rows))
    return deciding


def _why_idle(plan: Plan, named: Sequence[str], decided: Decided) -> dict[str, str]:
    """Why there is nothing to decide about some that were named."""
    known = {name for unit in decided.units for name in (unit.id, *unit.room_ids)}
    return {
        unit_id: why_no_unit(plan, unit_id)
        for unit_id in named
        if unit_id not in known and unit_id not in decided.refused
    }


def _json(deciding: Deciding, decided: Decided, idle: dict[str, str]) -> dict[str, Any]:
    return {
        "decision": decided.vote.value,
        "units": [unit.id for unit in decided.units],
        "not_decided": {**decided.refused, **idle},
        "file": str(deciding.file),
    }
