"""`plan --shadow` and `apply --shadow`: a bot's own function, run where it can write nothing.

Only what a person names, or agrees to unit by unit, is then written: by the one writer, not by it.
"""

import asyncio
import contextlib
import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO

from rich.console import RenderableType
from rich.text import Text

from toolkit.cli.json_forms import plan_json, result_json
from toolkit.cli.look import DRIFT, IN_SYNC
from toolkit.cli.options import Where
from toolkit.cli.output import (
    Cancelled,
    agree,
    progress,
    say,
    show,
    show_json,
    shown_units,
    someone_there,
)
from toolkit.cli.render import render_changes
from toolkit.cli.render_written import render_report
from toolkit.cli.write import run_to_write, show_aftermath
from toolkit.deadline import within
from toolkit.decisions.decision import user_name
from toolkit.errors import ToolkitError
from toolkit.homeserver.reading import Source
from toolkit.homeserver.transport import open_nio
from toolkit.model import Unit
from toolkit.repairs import AnyReport
from toolkit.shadow import ShadowRun, shadow_run
from toolkit.text.visible import visible
from toolkit.writing.job import Result, check_size

ERROR = 1
Function = Callable[[Any, Any, Any], Any]


def plan_shadow(where: Where, named: str, *, as_json: bool) -> int:
    """Say what the function would have written and called; its own exception is told, not raised."""
    run = _find_and_run(where, named)
    if as_json:
        show_json(_run_json(run))
    else:
        show(_render(run, shown_units()))
        if any(not run.why_not(unit) for unit in run.value.units):
            words = f"To write one unit of it: matrix-drift apply --shadow {visible(named)} 'UNIT'"
            show([Text(words)])
    if not run.quiet:
        return DRIFT
    return IN_SYNC if run.raised is None else ERROR


def apply_shadow(
    where: Where,
    named: str,
    unit_ids: Sequence[str],
    *,
    max_changes: int | None,
    as_json: bool,
) -> int:
    """Run the function on the shadow, and write the units that are named or agreed to one by one."""
    if not unit_ids and not someone_there():
        raise ToolkitError(
            "Nobody is there to be asked about each unit: name units, as `matrix-drift plan --shadow` "
            "does; nothing was written."
        )
    where = where.with_token()
    run = _find_and_run(where, named)
    units = run.named(unit_ids)
    check_size(units, max_changes)
    if not unit_ids:
        units = _ask(run, where, sys.stderr if as_json else None)
        check_size(units, max_changes)
    elif not as_json:
        show(_told(run))
        show(render_changes(units))
    result = run_to_write(_write(where, run, units)) if units else Result({})
    report = run.report(result)
    if as_json:
        show_json(_applied_json(run, units, result, report))
    elif units:
        show(render_report(report, [unit.id for unit in units]))
        show_aftermath(result)
    else:
        say("There is nothing to write.")
    if result.warning:
        say(result.warning)
    wanted = units if unit_ids else run.value.units
    if run.raised is not None:
        say(f"{run.function} raised, and may have had more to write: {run.raised[:300]}")
        return DRIFT if wanted else ERROR
    return IN_SYNC if len(result.applied) == len(wanted) else DRIFT


def _find_and_run(where: Where, named: str) -> ShadowRun:
    where.check_named()  # before anything of the bot's is run
    with contextlib.redirect_stdout(sys.stderr):  # the bot's own words are no results
        function = find_function(named)
        return asyncio.run(_run(where.with_token(), function))


def _ask(run: ShadowRun, where: Where, asides: TextIO | None) -> list[Unit]:
    """Each unit that could be written, shown right before its question."""
    show(_told(run), asides)
    show(_shown_only(run), asides)
    units, agreed = [unit for unit in run.value.units if not run.why_not(unit)], []
    for unit in units:
        show(render_changes([unit]), asides)
        if agree(f"Write this unit to {where.shown_database}?"):
            agreed.append(unit)
    if units and not agreed:
        raise Cancelled("nothing was written.")
    return agreed


async def _write(where: Where, run: ShadowRun, units: Sequence[Unit]) -> Result:
    by = dict.fromkeys((unit.id for unit in units), user_name())
    until = None if where.deadline is None else time.monotonic() + where.deadline
    async with where.sides().open_store(read_only=False) as store:
        with progress("Writing") as tell:
            return await run.write(units, store, by, tell, until)


def find_function(named: str) -> Function:
    """The function of `package.module:function`, from here or as installed. Raises `ToolkitError`."""
    module_name, _, name = named.partition(":")
    if not (module_name and name):
        raise ToolkitError(
            f"{named!r} names no function: it must look like package.module:function."
        )
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # the bot's own code may raise anything
        raise ToolkitError(
            f"Can't import {module_name}: {type(error).__name__}: {' '.join(str(error).split())}."
        ) from error
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise ToolkitError(f"{module_name} has no function {name!r}.")
    function: Function = found
    return function


async def _run(where: Where, function: Function) -> ShadowRun:
    sides, doing = where.sides(), "the function ran on the shadow"
    assert sides.homeserver
    async with (
        within(sides.deadline, doing),
        sides.open_store(read_only=True) as store,
        open_nio(sides.homeserver, sides.token) as client,
    ):
        client.user_id = await Source(client, sides.convention).account()
        manager = None if sides.layout.links else sides.manager(store)
        return await shadow_run(function, client, store, manager)


def _render(run: ShadowRun, limit: int | None) -> Iterator[RenderableType]:
    units = run.value.units
    yield Text(run.headline(), "bold")
    yield from render_changes(units[:limit])
    if limit is not None and len(units) > limit:
        yield Text(f"… and {len(units) - limit} more units; --json has them all.")
    yield from _shown_only(run)
    yield from map(Text, run.asides())


def _told(run: ShadowRun) -> Iterator[RenderableType]:
    """What to know before anything is written."""
    yield Text(run.told(), "bold")
    yield from map(Text, run.asides())


def _shown_only(run: ShadowRun) -> Iterator[RenderableType]:
    for unit in run.value.units:
        if why := run.why_not(unit):
            yield Text(f"Shown only: {visible(why, 300)}.")


def _run_json(run: ShadowRun) -> dict[str, Any]:
    shown_only = {unit.id: run.why_not(unit) for unit in run.value.units}
    return {
        **plan_json(run.value),
        **_facts_json(run),
        "shown_only": {unit: why for unit, why in shown_only.items() if why},
    }


def _applied_json(
    run: ShadowRun, units: Sequence[Unit], result: Result, report: AnyReport
) -> dict[str, Any]:
    """The keys of `apply --json`, and what there is to know of the function's run."""
    return {
        **result_json(result),
        "units": [unit.id for unit in units],
        "not_written": result.left,
        "report": report,
        **_facts_json(run),
    }


def _facts_json(run: ShadowRun) -> dict[str, Any]:
    return {
        "function": run.function,
        "refused": list(run.refused),
        "raised": run.raised,
        "returned": run.returned,
        "rewritten": run.rewritten,
        "elsewhere": list(run.elsewhere),
        "warning": run.warning,
    }
