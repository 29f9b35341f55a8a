"""`plan --shadow`: a bot's own function, found by its name and run where it can write nothing."""

import asyncio
import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from toolkit.chat import ChatManager
from toolkit.cli.look import DRIFT, IN_SYNC
from toolkit.cli.results import show, show_json, shown_units
from toolkit.cli.where import Where
from toolkit.errors import ToolkitError
from toolkit.matrix import within
from toolkit.remote import Source
from toolkit.render import plan_json, render_changes
from toolkit.shadow import ShadowRun, shadow_run
from toolkit.visible import visible

ERROR = 1
Function = Callable[[Any, Any, Any], Any]


def plan_shadow(where: Where, named: str, *, as_json: bool) -> int:
    """Say what the function would have written and called; its own exception is told, not raised."""
    where.named_database()
    with contextlib.redirect_stdout(sys.stderr):  # the bot's own words are no results
        function = find_function(named)
        run = asyncio.run(_run(where.with_token(), function))
    if as_json:
        show_json(_run_json(run))
    else:
        show(_render(run, shown_units()))
    if not run.quiet:
        return DRIFT
    return IN_SYNC if run.raised is None else ERROR


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
    doing = "the function ran on the shadow"
    async with (
        within(where.deadline, doing),
        where.open_store(read_only=True) as store,
        where.open_homeserver() as client,
    ):
        client.user_id = await Source(client, where.convention()).account()
        return await shadow_run(function, client, store, ChatManager(store))


def _render(run: ShadowRun, limit: int | None) -> Iterator[RenderableType]:
    units = run.value.units
    yield Text(run.headline(), "bold")
    yield from render_changes(units[:limit])
    if limit is not None and len(units) > limit:
        yield Text(f"… and {len(units) - limit} more units; --json has them all.")
    for unit in units:
        if why := run.why_not(unit):
            yield Text(f"Shown only: {visible(why, 300)}.")
    yield from map(Text, run.asides())


def _run_json(run: ShadowRun) -> dict[str, Any]:
    return {
        **plan_json(run.value),
        "function": run.function,
        "refused": list(run.refused),
        "raised": run.raised,
        "returned": run.returned,
        "rewritten": run.rewritten,
        "warning": run.warning,
    }
