"""The commands about a fleet: check, plan, apply, undo, report."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from toolkit.cli.fleet_progress import fleet_progress
from toolkit.cli.json_forms import plan_json
from toolkit.cli.look import DRIFT, IN_SYNC
from toolkit.cli.output import Cancelled, agree, say, show, show_json, show_long, someone_there
from toolkit.cli.render_fleet import (
    render_back,
    render_bots,
    render_causes,
    render_plans,
    render_written,
)
from toolkit.decisions.agreement import save_decisions
from toolkit.errors import ToolkitError
from toolkit.fleet.outcome import Line, Outcome, State
from toolkit.fleet.results import Results
from toolkit.fleet.run import (
    SUFFIX,
    Where,
    load,
    load_decisions,
    place,
    run_fleet,
    tasks_of,
    tasks_to_undo,
)
from toolkit.fleet.settings import Fleet
from toolkit.fleet.task import Action, Task
from toolkit.text.summary import count_of

FAILED = 1
_OPEN_PORT = (
    "The scheduler is reached without TLS: whoever reaches its port runs code on the workers, which hold the "
    "bots' tokens."
)


def check(options: dict[str, Any], *, as_json: bool) -> int:
    """Say of each bot what is wrong."""
    where = _place(options)
    outcomes = _run(where, tasks_of(where.fleet, Action.CHECK), "Reading bots")
    found = _results(where, outcomes)
    if as_json:
        show_json(_results_json(found))
    else:
        show_long([*render_bots(found), *_next(found)])
    say(f"The results are in {where.results}; `matrix-drift fleet report` shows them again.")
    return _exit_code(outcomes)


def plan(options: dict[str, Any], out: Path | None, *, as_json: bool) -> int:
    """Say what would be written at each bot, and write it down for `fleet apply` if asked to."""
    where = _place(options)
    if out is not None:
        _check_empty(out, where.fleet)
    outcomes = _run(where, tasks_of(where.fleet, Action.PLAN), "Reading bots")
    if as_json:
        show_json([_plan_json(outcome) for outcome in outcomes])
    else:
        show_long(render_plans(outcomes))
    if out is not None:
        _save_decisions(out, where.fleet, outcomes)
    return _exit_code(outcomes)


def apply(
    options: dict[str, Any], wanted: tuple[Path | None, bool, int | None], *, as_json: bool
) -> int:
    """Write to each bot what was agreed to."""
    decisions, certain, most = wanted
    where = _place_to_write(options)
    agreed = load_decisions(where.fleet, decisions) if decisions is not None else None
    if decisions is not None:
        _say_strange(
            where.fleet, {file.name.removesuffix(SUFFIX) for file in decisions.glob(f"*{SUFFIX}")}
        )
    tasks = tasks_of(where.fleet, Action.APPLY, agreed, certain=certain, max_changes=most)
    outcomes = _run(where, tasks, "Writing to bots")
    if as_json:
        show_json([_written_json(outcome) for outcome in outcomes])
    else:
        show(render_written(outcomes))
    return _exit_code(outcomes)


def undo(options: dict[str, Any], runs: Mapping[str, str], *, yes: bool, as_json: bool) -> int:
    """Take a run back at each bot, once it is seen what that would write."""
    if not yes and not someone_there():
        raise ToolkitError("Nobody is there to be asked: give --yes; nothing was written.")
    if runs:
        options["only"] = {*options["only"], *runs}
    where = _place_to_write(options)
    tasks = tasks_to_undo(where, Action.PLAN_UNDO, runs)
    planned = _run(where, tasks, "Reading rows") if tasks else []
    known = {outcome.line.bot for outcome in planned}
    if unknown := [bot.name for bot in where.fleet.bots if bot.name not in known]:
        say(f"Nothing to take back, as far as {where.results} says: {', '.join(unknown)}.")
    if not as_json:
        show(render_back(planned))
    wanted = {outcome.line.bot for outcome in planned if _changes(outcome)}
    if wanted:
        _ask_to_write_back(where.fleet, wanted, yes=yes)
    shown = [replace(task, action=Action.UNDO) for task in tasks if task.bot.name in wanted]
    done = _run(where, shown, "Writing back") if shown else []
    written = {outcome.line.bot: outcome for outcome in done}
    outcomes = [written.get(outcome.line.bot, outcome) for outcome in planned]
    if as_json:
        show_json([_written_json(outcome) for outcome in outcomes])
    elif done:
        show(["", *render_written(done)])
    return _code_of_undo(outcomes)


def _code_of_undo(outcomes: Sequence[Outcome]) -> int:
    """How the bots stand since, or that this isn't known, is no part of what was asked for."""
    if any(outcome.written is None for outcome in outcomes):
        return FAILED
    stays = any(outcome.written and outcome.written.refused for outcome in outcomes)
    return DRIFT if stays else IN_SYNC


def _changes(planned: Outcome) -> bool:
    return planned.plan is not None and any(unit.change for unit in planned.plan.units)


def _ask_to_write_back(fleet: Fleet, bots: Collection[str], *, yes: bool) -> None:
    """Raise `Cancelled` unless a person agrees; that bots must be stopped is said in any case."""
    named = [bot for bot in fleet.bots if bot.name in bots]
    if stopped := [bot.name for bot in named if bot.road("").sides.layout.shape.stopped]:
        say(
            f"These must be stopped, else they write their own rows over these: {', '.join(stopped)}."
        )
    if not yes and not agree(f"Write this back to {count_of(len(named), 'bot')}?"):
        raise Cancelled("nothing was written.")


def report(
    file: Path, only: Iterable[str], *, results: Path | None, picture: Path | None, as_json: bool
) -> int:
    """Show the results that are kept."""
    where = place(file, only, results)
    kept = load(where.results)
    names = {bot.name for bot in where.fleet.bots}
    found = kept.part(names)
    _say_strange(where.fleet, {line.bot for line in kept.lines})
    if unseen := sorted(names - {line.bot for line in found.lines}):
        say(f"Not looked at yet: {', '.join(unseen)}.")
    if as_json:
        show_json(_results_json(found))
    else:
        show_long([*render_bots(found), *render_causes(found)])
    if picture is not None:
        _draw(found, picture)
    return FAILED if unseen else _code_of(found.lines)


def _say_strange(fleet: Fleet, names: set[str]) -> None:
    """Whose files are there, though the fleet's file knows no such bot; those that `--only` leaves out it does."""
    if strange := sorted(names - {bot.name for bot in Fleet.read(fleet.path).bots}):
        say(f"Left out, since {fleet.path} doesn't name them: {', '.join(strange)}.")


def _place(options: dict[str, Any]) -> Where:
    given = dict(options)
    tls = tuple(given.pop(f"tls_{name}") for name in ("ca", "cert", "key"))
    return replace(place(given.pop("file"), **given), tls=tls)


def _place_to_write(options: dict[str, Any]) -> Where:
    insecure = options.pop("insecure")
    where = replace(_place(options), insecure=insecure)
    where.check(writes=True)
    return where


def _run(where: Where, tasks: Sequence[Task], doing: str) -> list[Outcome]:
    """Run them all. Ctrl+C keeps the results of those that are done, and what they wrote."""
    if (where.scheduler or "").startswith("tcp://"):
        say(_OPEN_PORT)
    try:
        return asyncio.run(_watched(where, tasks, doing))
    except KeyboardInterrupt:
        wrote = any(task.action.writes for task in tasks)
        more = (
            " What was finished by then is written: see `matrix-drift history` of each."
            if wrote
            else ""
        )
        raise Cancelled(f"results of bots that were done are kept.{more}") from None


async def _watched(where: Where, tasks: Sequence[Task], doing: str) -> list[Outcome]:
    with fleet_progress(len(tasks), doing) as watcher:
        return await run_fleet(where, tasks, watcher)


def _results(where: Where, outcomes: Sequence[Outcome]) -> Results:
    return load(where.results).part({outcome.line.bot for outcome in outcomes})


def _next(found: Results) -> list[str]:
    if all(line.state is not State.DRIFT for line in found.lines):
        return []
    return ["`matrix-drift fleet plan` shows what would be written, bot by bot."]


def _exit_code(outcomes: Sequence[Outcome]) -> int:
    """A bot that failed goes before drift: what is there to find isn't known."""
    if any(outcome.failed for outcome in outcomes):
        return FAILED
    return DRIFT if any(outcome.left_open for outcome in outcomes) else IN_SYNC


def _code_of(lines: Sequence[Line]) -> int:
    if any(line.state is State.FAILED for line in lines):
        return FAILED
    return IN_SYNC if all(line.state is State.IN_SYNC for line in lines) else DRIFT


# Decisions


def _check_empty(folder: Path, fleet: Fleet) -> None:
    """Before anybody waits."""
    for bot in fleet.bots:
        if (file := folder / f"{bot.name}{SUFFIX}").exists():
            raise ToolkitError(f"{file} is there already and stays; name another folder.")


def _save_decisions(folder: Path, fleet: Fleet, outcomes: Sequence[Outcome]) -> None:
    lowers = {bot.name: bot.lowers for bot in fleet.bots}
    count = bots = 0
    for outcome in outcomes:
        if outcome.plan is None or not any(unit.change for unit in outcome.plan.units):
            continue
        name = outcome.line.bot
        left = outcome.record.left(outcome.plan.units)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = folder / f"{name}{SUFFIX}"
        count += len(save_decisions(file, outcome.plan, left, lower=lowers[name]))
        bots += 1
    if not count:
        say(f"There is nothing to agree to: {folder} gets no decisions.")
        return
    say(
        f"Decisions about {count_of(count, 'unit')} of {count_of(bots, 'bot')} are in {folder}, a file for each bot, "
        "one to a line: delete those that you don't want, then `matrix-drift fleet apply --decisions`."
    )


# Forms


def _results_json(found: Results) -> dict[str, Any]:
    return {"bots": [_line_json(line) for line in found.lines], "causes": found.counts()}


def _line_json(line: Line) -> dict[str, Any]:
    looked = line.looked and datetime.fromtimestamp(line.looked / 1000, UTC).isoformat()
    return {**line.told(), "looked": looked}


def _plan_json(outcome: Outcome) -> dict[str, Any]:
    planned = outcome.plan and plan_json(outcome.plan, record=outcome.record)
    return {**_line_json(outcome.line), "plan": planned}


def _written_json(outcome: Outcome) -> dict[str, Any]:
    done = outcome.written
    return {
        **_line_json(outcome.line),
        "written": done
        and {
            "units": list(done.units),
            "rows": done.rows,
            "run": done.run,
            "undoes": done.undoes,
            "backup": done.backup,
            "not_written": dict(done.refused),
            "left_alone": dict(done.left),
            "warning": done.warning,
        },
    }


def _draw(found: Results, file: Path) -> None:
    why = ""
    try:
        found.plot().savefig(file)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
    if why:
        raise ToolkitError(f"Can't draw {file}: {why}.")
    say(f"The picture is {file}.")
