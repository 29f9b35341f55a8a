"""The commands that look and write nothing: check, plan, snapshot."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from toolkit.cli.agreement import save_decisions
from toolkit.cli.options import Where
from toolkit.cli.output import progress, say, show, show_json, shown_units
from toolkit.cli.render import plan_json, render_check, render_plan
from toolkit.convention import Convention
from toolkit.database.look import load_look
from toolkit.deadline import within
from toolkit.homeserver.belonging import check_belonging
from toolkit.homeserver.reading import load_remote
from toolkit.model import Choices, Plan, Reason, RemoteState
from toolkit.planning.plan import plan_repairs
from toolkit.quotes import quote_odd
from toolkit.records import Raw, load_records
from toolkit.sources.anonymise import anonymise
from toolkit.sources.snapshot import Snapshot, load_snapshot, save_snapshot

IN_SYNC, DRIFT = 0, 2


def check(where: Where, *, as_json: bool, strict: bool) -> int:
    """Say what is wrong."""
    plan = look(where)
    if as_json:
        show_json(plan_json(plan))
    else:
        show(render_check(plan, shown_units()))
    return exit_code(plan, strict)


def plan(where: Where, *, as_json: bool, out: Path | None) -> int:
    """Say what would be written, and write it down for `apply --decisions` if asked to."""
    found = look(where)
    if as_json:
        show_json(plan_json(found))
    else:
        show(render_plan(found, shown_units()))
    if out is not None:
        units = save_decisions(out, found, lower=where.lower_counters)
        say(
            f"{len(units)} decisions stand in {out}, one to a line: delete those that you don't want."
        )
        if guessed := [quote_odd(unit.id) for unit in units if unit.needs_human]:
            say(f"Among them are proposals, which want a look: {', '.join(guessed)}.")
    return exit_code(found, strict=False)


def snapshot(where: Where, file: Path, *, anonymous: bool) -> int:
    """Write both sides into one file; of an anonymous one the original never touches the disk."""
    found = asyncio.run(_take(where.with_token()))
    save_snapshot(file, anonymise(found) if anonymous else found, datetime.now(UTC))
    what = _ANONYMOUS if anonymous else "readable by you alone: it holds names and ids of people."
    say(f"{len(found.rooms)} rooms and {len(found.rows)} rows are in {file}, {what}")
    return IN_SYNC


def exit_code(plan: Plan, strict: bool) -> int:
    """Orphans and rooms that are no chats are no drift, unless asked to be; Spaces are meant to be."""
    strange = [skip for skip in plan.skipped if skip.reason is not Reason.SPACE]
    return DRIFT if not plan.in_sync or (strict and (plan.orphans or strange)) else IN_SYNC


def look(where: Where, choices: Mapping[str, Choices] | None = None) -> Plan:
    """Read both sides, from a snapshot or themselves, and plan."""
    if where.snapshot is not None:
        taken = load_snapshot(Path(where.snapshot))
        convention = where.convention(taken.settings)
        remote, local = taken.remote(convention), taken.local()
    else:
        convention = where.convention()
        remote, rows = asyncio.run(_read(where.with_token(), convention))
        local = load_records(rows.items())
    return plan_repairs(remote, local, convention, choices, lower_counters=where.lower_counters)


async def _read(
    where: Where, convention: Convention, seen: Callable[[str, bytes], None] | None = None
) -> tuple[RemoteState, Mapping[str, Raw]]:
    """The rows first: a room that the bot makes while we read is then in neither side."""
    async with within(where.deadline, "reading the rooms and rows"):
        async with where.open_store(read_only=True) as store:
            rows = (await load_look(store)).rows
        async with where.open_homeserver() as client:
            with progress("Reading rooms") as tell:
                remote = await load_remote(
                    client,
                    convention,
                    local_rows=bool(rows),
                    allow_empty=where.allow_empty,
                    progress=tell,
                    seen=seen,
                )
    if not where.allow_empty:
        check_belonging(load_records(rows.items()), remote)
    return remote, rows


async def _take(where: Where) -> Snapshot:
    bodies: dict[str, bytes] = {}
    remote, rows = await _read(where, where.convention(), bodies.__setitem__)
    read = {room_id: bodies[room_id] for room_id in remote.rooms}
    settings = dict(where.settings)
    return Snapshot(remote.account, read, remote.unreadable, dict(rows), settings=settings)


_ANONYMOUS = (
    "anonymised: ids, names, servers, texts and unknown values are replaced, and what is left is the "
    "shape, which is chat numbers, who is in which room, which room is older (by other times), what "
    "is damaged, and when you looked."
)
