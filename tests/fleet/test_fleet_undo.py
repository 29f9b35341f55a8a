"""What `fleet apply` wrote is taken back bot by bot, by the undo of a single bot, and the results say what holds."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.bench import A1, A2, ALICE, small_rows, text
from tests.fleet.sharing import SHARED, in_file, on_server, share_file, share_server
from tests.fleet.test_cluster import cluster, environment  # noqa: F401 - a fixture
from tests.fleet.yard import Yard, adrift_rows
from tests.tables import CHAT_ROWS, CHAT_TABLES, CHATS, TICKETS, Desk, fill_chats, tickets
from toolkit import ToolkitError, fleet
from toolkit.database.journal import Journal
from toolkit.fleet.dataset import load_outcomes
from toolkit.fleet.outcome import State
from toolkit.fleet.run import Where, run_fleet, tasks_to_undo
from toolkit.fleet.settings import Fleet
from toolkit.fleet.task import Action, Task
from toolkit.testing import FakeHomeserver


def gone_rows() -> dict[str, object]:
    """Of the small world, two room rows are gone, which are two units."""
    return {key: row for key, row in small_rows().items() if key not in (A1, A2)}


def kept(yard: Yard) -> dict[str, str | None]:
    """Which run the results would have taken back."""
    return {found.line.bot: found.to_undo for found in load_outcomes(yard.results)}


def add_mapped(yard: Yard, url: str) -> Desk:
    """A bot of chats in tables of its own, without Alice's first room row."""
    desk = Desk(yard.folder / "mapped.db", CHAT_TABLES, CHATS)
    fill_chats(desk, {key: row for key, row in small_rows().items() if key != A1})
    yard.tables["mapped"] = {
        "homeserver": url,
        "database": "mapped.db",
        "access_token_file": "token",
        "rows": CHAT_ROWS,
    }
    yard.write()
    return desk


async def test_bots_of_all_kinds_are_put_back_to_the_text(
    yard: Yard, homeserver: FakeHomeserver, dsn: str
) -> None:
    bench = yard.add("keyed", homeserver.url, adrift_rows())
    desk = add_mapped(yard, homeserver.url)
    share_server(yard, homeserver.url, dsn, ["red"])
    before = (bench.bytes(), desk.dump(), on_server(dsn, "red"))
    applied = await fleet.apply(yard.file, certain=True)
    assert applied.bots["rows_written"].tolist() == [1, 1, 1]
    assert (bench.bytes(), desk.dump(), on_server(dsn, "red")) != before
    await fleet.check(yard.file)  # what was written stays known
    assert kept(yard) == applied.bots["run"].to_dict()
    undone = await fleet.undo(yard.file)
    assert (bench.bytes(), desk.dump(), on_server(dsn, "red")) == before
    assert undone.bots["state"].tolist() == ["drift"] * 3
    assert undone.bots["rows_written"].tolist() == [1, 1, 1]
    assert set(undone.drift.query("bot == 'mapped'")["unit"]) == {"!a1"}
    first, second = Journal(bench.path).runs()
    assert second.undoes == first.id and undone.bots.at["keyed", "run"] == second.id
    assert len([*yard.folder.glob(f"{bench.path.name}.*.backup")]) == 2
    assert kept(yard) == dict.fromkeys(applied.bots.index)
    assert len(await fleet.undo(yard.file)) == 0  # there is nothing any more


async def test_a_bot_of_links_is_put_back_as_well(yard: Yard) -> None:
    from tests.bench import BOT
    from tests.fleet.yard import TOKEN
    from toolkit.testing import World

    world = World(BOT)
    world.room("!one", name="Ticket #1 (Anna)")
    world.room("!two", name="Ticket #2 (Anna)")
    desk = Desk(yard.folder / "links.db", TICKETS, tickets())
    desk.sql("DELETE FROM tickets WHERE id = 3")
    async with FakeHomeserver(world.rooms, BOT, TOKEN) as server:
        yard.tables["links"] = {
            "homeserver": server.url,
            "database": "links.db",
            "access_token_file": "token",
            "shape": {"kind": "links"},
            "rows": {"link": {"table": "tickets", "id": "id", "room": "user_room_id"}},
            "evidence": [{"name": r"Ticket #{id} \(.+\)"}],
        }
        yard.write()
        before = desk.dump()
        applied = await fleet.apply(yard.file, certain=True)
        assert applied.bots["rows_written"].tolist() == [1] and desk.dump() != before
        await fleet.undo(yard.file)
    assert desk.dump() == before


async def test_what_was_written_since_stays_and_is_said(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    bench = yard.add("desk", homeserver.url, gone_rows())
    await fleet.apply(yard.file, certain=True)
    [run] = Journal(bench.path).runs()
    mine = {**bench.row(A1), "display_name": "Mine"}
    bench.put({A1: mine})
    reasons = []
    for rows in (1, 0):  # the second time, of what it wrote nothing else is left
        [line] = (await fleet.undo(yard.file)).lines
        assert line.rows_written == rows
        assert bench.row(A1) == mine and bench.row(A2) is None
        assert kept(yard) == {"desk": run.id}
        reasons.append(line.reason or "")
    assert all("!a1: the row was written again after the run" in reason for reason in reasons)
    assert "!a2: the row is already as it was before the run" in reasons[1]


async def test_what_the_last_apply_did_not_write_is_not_taken_back(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    bench = yard.add("desk", homeserver.url, adrift_rows())
    await fleet.apply(yard.file, certain=True)
    await fleet.apply(yard.file, certain=True)
    assert len(await fleet.undo(yard.file)) == 0
    assert bench.row(A1)


async def test_a_run_that_is_named_is_taken_back_at_its_bot_alone(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    bench = yard.add("desk", homeserver.url, adrift_rows())
    other = yard.add("other", homeserver.url, adrift_rows())
    await fleet.apply(yard.file, certain=True)
    [first] = Journal(bench.path).runs()
    bench.put({A2: None})
    await fleet.apply(yard.file, certain=True)
    last = Journal(bench.path).runs()[-1]
    results = await fleet.undo(yard.file, runs={"desk": first.id})
    assert [line.bot for line in results.lines] == ["desk"]
    assert bench.row(A1) is None and bench.row(A2) and other.row(A1)
    assert kept(yard)["desk"] == last.id
    results = await fleet.undo(yard.file, runs={"other": "no-such-run"}, only=["desk"])
    assert bench.row(A2) is None and other.row(A1)
    reason = {line.bot: line.reason for line in results.lines}["other"]
    assert reason and "There is no run no-such-run in the journal" in reason
    with pytest.raises(ToolkitError, match="there is no bot 'dask'"):
        await fleet.undo(yard.file, runs={"dask": first.id})


async def test_without_results_nothing_is_known_to_take_back(yard: Yard) -> None:
    yard.add("desk", "http://127.0.0.1:1")
    assert len(await fleet.undo(yard.file)) == 0
    assert not yard.results.exists()


async def test_a_bot_that_fails_is_a_line_and_can_be_undone_later(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    good = yard.add("good", homeserver.url, adrift_rows())
    locked = yard.add("locked", homeserver.url, adrift_rows())
    before = locked.bytes()
    await fleet.apply(yard.file, certain=True)
    with closing(sqlite3.connect(locked.path)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        lines = (await fleet.undo(yard.file)).lines
    assert [line.state for line in lines] == [State.DRIFT, State.FAILED]
    assert "locked" in (lines[1].reason or "")
    assert good.row(A1) is None and locked.row(A1)
    assert [line.bot for line in (await fleet.undo(yard.file)).lines] == ["locked"]
    assert locked.bytes() == before


async def test_rows_are_back_also_where_nobody_can_look_afterwards(
    yard: Yard, homeserver: FakeHomeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = yard.add("away", homeserver.url, adrift_rows())
    odd = yard.add("odd", homeserver.url, adrift_rows())
    await fleet.apply(yard.file, certain=True)
    yard.tables["away"]["homeserver"] = "http://127.0.0.1:1"
    yard.write()
    [line] = (await fleet.undo(yard.file, only=["away"])).lines
    assert away.row(A1) is None
    assert line.state is State.FAILED and line.rows_written == 1 and line.run
    assert line.reason and line.reason.startswith("How it stands after the undo isn't known: ")

    async def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("toolkit.fleet.task.judge", fail)
    [line] = (await fleet.undo(yard.file)).lines
    assert odd.row(A1) is None and line.rows_written == 1
    assert line.reason and "isn't known: Unexpected ZeroDivisionError: " in line.reason


async def test_what_would_be_written_is_not_shown_if_it_holds_the_token(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    bench = yard.add("desk", homeserver.url, adrift_rows())
    await fleet.apply(yard.file, certain=True)
    [run] = Journal(bench.path).runs()
    (yard.folder / "token").write_text(ALICE)
    [bot] = Fleet.read(yard.file).bots
    outcome = await Task(bot, Action.PLAN_UNDO, undoes=run.id).run()
    assert outcome.plan is None
    assert outcome.line.reason and "holds the bot's own access token" in outcome.line.reason


async def test_bots_in_one_file_are_undone_one_after_the_other(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    share_file(yard, homeserver.url)
    await fleet.apply(yard.file, certain=True)
    lines = (await fleet.undo(yard.file)).lines
    assert [line.reason for line in lines] == [None] * 4
    before = {key: text(row) for key, row in adrift_rows().items()}
    assert all(in_file(yard, name) == before for name in SHARED)


@pytest.mark.slow
async def test_a_cluster_undoes_as_well(yard: Yard, homeserver: FakeHomeserver) -> None:
    bench = yard.add("desk", homeserver.url, adrift_rows())
    before = bench.bytes()
    await fleet.apply(yard.file, certain=True)
    async with cluster(processes=False, n_workers=1) as found:
        one = Fleet.read(yard.file)
        where = Where(one, yard.results, scheduler=found.scheduler_address)
        [planned] = await run_fleet(where, tasks_to_undo(where, Action.PLAN_UNDO, {}))
        assert planned.plan and planned.plan.unit("!a1")
        with pytest.raises(ToolkitError, match="Over a scheduler without TLS nothing is written"):
            await run_fleet(where, tasks_to_undo(where, Action.UNDO, {}))
        told = Where(one, yard.results, scheduler=found.scheduler_address, insecure=True)
        [outcome] = await run_fleet(told, tasks_to_undo(told, Action.UNDO, {}))
    assert outcome.written and outcome.written.rows == 1
    assert bench.bytes() == before


async def test_a_file_that_is_no_result_is_written_over(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    yard.add("desk", homeserver.url)
    yard.results.mkdir()
    (yard.results / "desk.parquet").write_text("no parquet")
    await fleet.check(yard.file)
    assert kept(yard) == {"desk": None}
