"""What is left of a shadow run's plan once rows have moved: by applying units of it, or past it. Pure.

The function isn't run again, so what it would write now isn't known: a unit that rests on rows which
others wrote is shown without a change. The writer, which has the last word, asks the same questions.
"""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from toolkit.guard import compare_rows, why_stale
from toolkit.model import Code, Finding, Plan, Status, Unit
from toolkit.records import Raw
from toolkit.shadow.overlay import same_row

Rows: TypeAlias = Mapping[str, Raw]
AGAIN = "its rows were written since the shadow run; make another one"


def plan_left(plan: Plan, then: Rows, now: Rows) -> Plan:
    """The units that aren't done; those that moved without their change."""
    moved = compare_rows(rows_before(plan, then, now), now)
    units = []
    for unit in plan.units:
        if _done(unit, now):
            continue
        why = why_stale(unit, plan, moved)
        units.append(_moved(unit, why) if why else unit)
    return msgspec.structs.replace(plan, units=tuple(units))


def rows_before(plan: Plan, then: Rows, now: Rows) -> dict[str, Raw]:
    """The rows as the function met them, save where by now stands what it would have written."""
    done = [unit for unit in plan.units if _done(unit, now)]
    writes = (write for unit in done for write in (unit.change.writes if unit.change else ()))
    return {**then, **{write.key: now[write.key] for write in writes}}


def _done(unit: Unit, now: Rows) -> bool:
    writes = unit.change.writes if unit.change else ()
    return all(write.key in now and same_row(now[write.key], write.after) for write in writes)


def _moved(unit: Unit, why: str) -> Unit:
    key = unit.change.writes[0].key if unit.change else ""
    finding = Finding(unit=unit.id, code=Code.STALE_PLAN, key=key, cause=why)
    return msgspec.structs.replace(unit, status=Status.CONFLICT, findings=(finding,), change=None)
