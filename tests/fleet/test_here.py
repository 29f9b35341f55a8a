"""A fleet in one process: good bots beside bad ones, and what is kept of each."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from tests.bench import A1, ALICE, B1, BOT, small_rows, small_world
from tests.fleet.yard import TOKEN, Yard, adrift_rows
from tests.tables import TICKETS, Desk, tickets
from toolkit import ToolkitError, fleet
from toolkit.database.journal import Journal
from toolkit.decisions.ledger import Ledger, Vote
from toolkit.errors import SnapshotError
from toolkit.fleet.dataset import load_outcomes
from toolkit.fleet.outcome import Line, Outcome, State, failure
from toolkit.fleet.run import load_decisions
from toolkit.fleet.settings import Fleet
from toolkit.fleet.task import Action, Task
from toolkit.records import chat_key
from toolkit.testing import FakeHomeserver, Fault, Hang, Status


class Heard:
    """How many bots ran at once, and in which order they ended."""

    def __init__(self) -> None:
        self.running: set[str] = set()
        self.most = 0
        self.ends: list[str] = []
        self.rooms: dict[str, int] = {}

    def begun(self, bot: str) -> None:
        self.running.add(bot)
        self.most = max(self.most, len(self.running))

    def told(self, bot: str, done: int, total: int, word: str) -> None:
        assert bot in self.running
        self.rooms[bot] = total

    async def ended(self, outcome: Outcome) -> None:
        self.running.remove(outcome.line.bot)
        self.ends.append(outcome.line.bot)


async def test_a_bot_that_fails_is_a_line_with_its_reason_and_the_others_go_on(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    async with FakeHomeserver(small_world().rooms, BOT, TOKEN) as hung:
        hung.fault(Fault("/state", Hang()))
        (yard.folder / "dead").write_text("syt_revoked_long_ago")
        yard.add("good", homeserver.url)
        yard.add("adrift", homeserver.url, adrift_rows())
        yard.add("dead", homeserver.url, access_token_file="dead")
        yard.add("hung", hung.url, deadline=1)
        locked = yard.add("locked", homeserver.url)
        with closing(sqlite3.connect(locked.path)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            results = await fleet.check(yard.file)
    bots = results.bots
    assert dict(zip(bots.index, bots["state"], strict=True)) == {
        "adrift": "drift",
        "good": "in_sync",
        **dict.fromkeys(("dead", "hung", "locked"), "failed"),
    }
    reasons = {line.bot: line.reason or "" for line in results.lines}
    assert "doesn't accept the access token" in reasons["dead"]
    assert "The deadline of 1 s passed" in reasons["hung"]
    assert "locked" in reasons["locked"]
    assert not any("syt_" in reason for reason in reasons.values())
    assert [bots.at["adrift", name] for name in ("units", "ready", "to_decide")] == [2, 1, 1]
    assert {bots.at["dead", name] for name in ("units", "account")} == {pd.NA}
    assert set(results.drift["bot"]) == {"adrift"}
    causes = results.causes
    assert [*causes] == ["missing_row", "unreadable_row"]
    assert [causes.at[bot, "missing_row"] for bot in ("adrift", "good")] == [1, 0]
    assert causes.at["hung", "missing_row"] is pd.NA  # nobody knows
    assert repr(results).startswith("5 bots: 1 in sync, 1 adrift, 3 failed.\n  adrift: 2 units")


async def test_so_many_run_at_a_time_and_each_result_is_kept_as_it_comes(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    names = [f"bot-{number}" for number in range(7)]
    for name in names:
        yard.add(name, homeserver.url, adrift_rows())
    heard = Heard()
    results = await fleet.check(yard.file, at_once=3, watcher=heard)
    assert heard.most == 3
    assert sorted(heard.ends) == names
    assert set(heard.rooms.values()) == {5}
    assert sorted(path.name for path in yard.results.iterdir()) == [f"{n}.parquet" for n in names]
    assert len(results) == 7
    assert len(results.drift) == 14


async def test_none_at_a_time_is_refused_and_not_waited_for(yard: Yard) -> None:
    yard.add("desk", "http://127.0.0.1:1")
    with pytest.raises(ToolkitError, match="at_once below 1"):
        await fleet.check(yard.file, at_once=0)


async def test_the_dataset_is_one_for_whatever_reads_parquet(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    yard.add("adrift", homeserver.url, adrift_rows())
    yard.add("good", homeserver.url)
    results = await fleet.check(yard.file)
    read = pd.read_parquet(yard.results)
    assert read["bot"].tolist() == ["adrift", "adrift"]
    assert read.columns.tolist() == results.drift.columns.tolist()
    assert read["unit"].tolist() == results.drift["unit"].tolist() == ["!a1", "!b1"]
    assert {path.stat().st_mode & 0o777 for path in yard.results.iterdir()} == {0o600}


async def test_what_is_no_utf8_is_kept_as_escapes(yard: Yard, homeserver: FakeHomeserver) -> None:
    yard.add("odd", homeserver.url, {**small_rows(), B1: "\udcff{"})
    results = await fleet.check(yard.file)
    [local] = results.drift["local"]
    assert "udcff" in local


async def test_hostile_names_stay_plain_where_they_are_shown(yard: Yard) -> None:
    world = small_world()
    world.name("!b1", "\x1b[2J\u202e<script>$x$")
    async with FakeHomeserver(world.rooms, BOT, TOKEN) as server:
        yard.add("desk", server.url, {**small_rows(), B1: "{\x1b[2J\u202e<script>"})
        results = await fleet.check(yard.file)
    assert "\x1b" in results.drift["local"].iloc[0] + results.drift["facts"].iloc[0]
    markup = str(results.drift._repr_html_())
    shown = [repr(results), results.drift.to_string(), markup]
    assert not any(sign in text for text in shown for sign in ("\x1b", "\u202e"))
    assert "&lt;script" in markup and "<script" not in markup


# Writing


async def test_what_is_certain_is_written_to_each_bot_with_a_journal_and_a_backup_of_its_own(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    benches = [yard.add(name, homeserver.url, adrift_rows()) for name in ("one", "two")]
    results = await fleet.apply(yard.file, certain=True)
    for bench in benches:
        assert bench.row(A1)["chat_id"] == "C1"
        [run] = Journal(bench.path).runs()
        assert [entry.unit for entry in run.applied] == ["!a1"]
        assert len([*yard.folder.glob(f"{bench.path.name}.*.backup")]) == 1
        assert results.bots.loc[bench.path.stem, "run"] == run.id
    assert results.bots["rows_written"].tolist() == [1, 1]
    assert set(results.drift["unit"]) == {"!b1"}  # what is left
    again = await fleet.apply(yard.file, certain=True)
    assert again.bots["rows_written"].tolist() == [0, 0]
    assert again.bots["run"].isna().all()


async def planned(yard: Yard, name: str, **more: object) -> Outcome:
    [bot] = Fleet.read(yard.file).only([name]).bots
    return await Task(bot, Action.PLAN).run()


def decide(yard: Yard, folder: Path, outcome: Outcome, *units: str) -> None:
    """A file for a bot that agrees to these units."""
    from toolkit.decisions.agreement import save_decisions

    assert outcome.plan
    others = [unit.id for unit in outcome.plan.units if unit.id not in units]
    folder.mkdir(exist_ok=True)
    save_decisions(folder / f"{outcome.line.bot}.decisions.json", outcome.plan, others, lower=False)


async def test_a_folder_of_decisions_is_for_the_bots_that_it_names(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    one = yard.add("one", homeserver.url, adrift_rows())
    two = yard.add("two", homeserver.url, adrift_rows())
    decide(yard, yard.folder / "agreed", await planned(yard, "one"), "!a1")
    results = await fleet.apply(yard.file, decisions=yard.folder / "agreed")
    assert [line.bot for line in results.lines] == ["one"]
    assert one.row(A1) and two.row(A1) is None
    file = yard.folder / "agreed" / "one.decisions.json"
    with pytest.raises(ToolkitError, match="is one file, and there are 2 bots"):
        await fleet.apply(yard.file, decisions=file)
    await fleet.apply(yard.file, decisions=file, only=["two"])
    assert two.row(A1)
    (yard.folder / "none").mkdir()
    with pytest.raises(ToolkitError, match=r"holds no NAME\.decisions\.json"):
        await fleet.apply(yard.file, decisions=yard.folder / "none")
    with pytest.raises(ToolkitError, match="Say what is to be written"):
        await fleet.apply(yard.file)


async def test_what_moved_since_it_was_agreed_to_is_left_alone_and_named(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    bench = yard.add("one", homeserver.url, adrift_rows())
    outcome = await planned(yard, "one")
    decide(yard, yard.folder / "agreed", outcome, "!a1")
    bench.put({chat_key(ALICE, "C1"): {**small_rows()[chat_key(ALICE, "C1")], "name": "Other"}})
    bench.put({A1: {"room_type": "chat", "chat_id": "C1"}})
    results = await fleet.apply(yard.file, decisions=yard.folder / "agreed")
    [line] = results.lines
    assert line.reason and line.reason.startswith("!a1: ")
    assert line.rows_written == 0


def _refuse(*_: object) -> None:
    raise SnapshotError("the disk is full")


async def test_a_rejected_unit_is_not_certain_and_a_file_goes_before_that(
    yard: Yard, homeserver: FakeHomeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit.decisions import ledger_file
    from toolkit.decisions.decision import Decision
    from toolkit.decisions.ledger_file import dump_ledger, file_beside

    bench = yard.add("one", homeserver.url, adrift_rows())
    outcome = await planned(yard, "one")
    assert outcome.plan
    unit = outcome.plan.unit("!a1")
    assert unit and unit.change
    no = Decision(change=unit.change.fingerprint, agreed=False)
    ledger = Ledger().decide(Vote.REJECTED, {"!a1": no})
    file_beside(bench.path).write_text(dump_ledger(ledger, outcome.plan))
    await fleet.apply(yard.file, certain=True)
    assert bench.row(A1) is None
    decide(yard, yard.folder / "agreed", outcome, "!a1")
    with monkeypatch.context() as full:
        full.setattr(ledger_file, "save_ledger", _refuse)
        read = Fleet.read(yard.file)
        agreed = load_decisions(read, yard.folder / "agreed")
        done = await Task(read.bots[0], Action.APPLY, agreed["one"]).run()
    assert bench.row(A1) and done.written and done.written.units == ("!a1",)
    assert done.written.warning == "The rows are written, but: the disk is full"
    bench.put({A1: None})
    await fleet.apply(yard.file, decisions=yard.folder / "agreed", certain=True)
    assert bench.row(A1)
    assert "!a1" not in json.loads(file_beside(bench.path).read_text()).get("rejected", {})


async def test_more_rows_than_allowed_are_refused_for_the_bot_that_has_them(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    one = yard.add("few", homeserver.url, adrift_rows())
    two = yard.add("many", homeserver.url, {})
    results = await fleet.apply(yard.file, certain=True, max_changes=1)
    states = {line.bot: line.state for line in results.lines}
    assert states == {"few": State.DRIFT, "many": State.FAILED}
    assert one.row(A1) and two.row(A1) is None


async def test_a_counter_is_lowered_where_the_settings_say_so(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    from tests.bench import UA

    rows = small_rows()
    rows[UA] = {**rows[UA], "next_chat_index": 9}
    lowering = yard.add("lowering", homeserver.url, rows, lower_counters=True)
    leaving = yard.add("leaving", homeserver.url, rows)
    await fleet.apply(yard.file, certain=True)
    assert lowering.row(UA)["next_chat_index"] == 3
    assert leaving.row(UA)["next_chat_index"] == 9


# What never leaves


async def test_a_token_that_a_homeserver_quotes_is_not_told(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    homeserver.fault(
        Fault("/joined_rooms", Status(403, {"errcode": "M_X", "error": f"no {TOKEN}"}))
    )
    yard.add("desk", homeserver.url)
    results = await fleet.check(yard.file)
    [line] = results.lines
    assert line.state is State.FAILED
    assert TOKEN not in str(line.reason)


async def test_rows_that_hold_the_token_are_not_shown(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    bench = yard.add("desk", homeserver.url, {**small_rows(), B1: f"{{{TOKEN}"})
    for call in (fleet.check(yard.file), fleet.apply(yard.file, certain=True)):
        [line] = (await call).lines
        assert line.reason and "holds the bot's own access token" in line.reason
    assert TOKEN.encode() not in b"".join(p.read_bytes() for p in yard.results.iterdir())
    assert not bench.backups()


async def test_of_an_unexpected_error_only_the_class_is_told(
    yard: Yard, homeserver: FakeHomeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise ZeroDivisionError(TOKEN)

    monkeypatch.setattr("toolkit.fleet.task.judge", fail)
    yard.add("desk", homeserver.url)
    [line] = (await fleet.check(yard.file)).lines
    assert line.reason and line.reason.startswith("Unexpected ZeroDivisionError: ")


async def test_a_word_about_waiting_has_no_token_either(
    yard: Yard, homeserver: FakeHomeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit.progress import Progress
    from toolkit.sources.sides import Sides

    gather = Sides.gather

    async def slow(sides: Sides, progress: Progress) -> object:
        progress(1, 5, f"waiting: {TOKEN}")
        return await gather(sides, progress)

    monkeypatch.setattr(Sides, "gather", slow)
    yard.add("desk", homeserver.url)
    [bot] = Fleet.read(yard.file).bots
    words: list[str] = []
    assert not (await Task(bot).run(lambda done, total, word: words.append(word))).failed
    assert words[0] == "waiting: ***"
    assert not (await Task(bot).run()).failed  # nobody hears it


async def test_a_cancelled_run_is_cancelled(yard: Yard, homeserver: FakeHomeserver) -> None:
    homeserver.fault(Fault("/state", Hang()))
    yard.add("desk", homeserver.url)
    run = asyncio.ensure_future(fleet.check(yard.file))
    await asyncio.sleep(0.3)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert not yard.results.exists()


# The folder


async def test_a_result_that_cannot_be_written_says_where(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    yard.add("desk", homeserver.url)
    yard.results.write_text("a file")
    with pytest.raises(ToolkitError, match="Can't write the results"):
        await fleet.check(yard.file)


def test_a_folder_that_holds_something_else_is_said(tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match="There are no results"):
        fleet.load(tmp_path / "none")
    (tmp_path / "x.parquet").write_text("no parquet")
    with pytest.raises(ToolkitError, match=r"x\.parquet is no result of a fleet"):
        fleet.load(tmp_path)
    (tmp_path / "x.parquet").unlink()
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "y.parquet")
    with pytest.raises(ToolkitError, match=r"y\.parquet is no result of a fleet"):
        fleet.load(tmp_path)


def test_a_result_that_is_damaged_or_another_bots_hides_no_other(tmp_path: Path) -> None:
    from toolkit.fleet.dataset import save_outcome

    for name in ("cut", "good", "sync"):
        save_outcome(tmp_path, Outcome(Line(name, State.IN_SYNC)))
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(cut.read_bytes()[:300])
    (tmp_path / "sync.parquet").rename(tmp_path / "copy.parquet")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    results = fleet.load(tmp_path)
    states = {line.bot: line.state.value for line in results.lines}
    assert states == dict.fromkeys(("copy", "cut", "other"), "failed") | {"good": "in_sync"}
    assert f"cut: failed: {cut} is no result of a fleet" in repr(results)
    assert len(results.drift) == 0 and results.causes.index.tolist() == list(states)


def test_no_result_is_left_half_written(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    from toolkit.fleet import dataset

    dataset.save_outcome(yard.results, failure("desk", "first"))

    def full(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ToolkitError, match="No space left"):
        dataset.save_outcome(yard.results, failure("desk", "second"))
    [kept] = load_outcomes(yard.results)
    assert kept.line == Line("desk", State.FAILED, "first")
    assert [path.name for path in yard.results.iterdir()] == ["desk.parquet"]


def test_results_are_told_in_few_lines(tmp_path: Path) -> None:
    from toolkit.fleet.dataset import save_outcome

    for number in range(12):
        save_outcome(tmp_path, failure(f"bot-{number}", "no\x1bway"))
    written = Line("late", State.DRIFT, "!a1: it moved", units=1, ready=1, to_decide=0)
    save_outcome(tmp_path, Outcome(written))
    results = fleet.load(tmp_path)
    told = repr(results).splitlines()
    assert told[0] == "13 bots: 1 adrift, 12 failed."
    assert told[3] == "  bot-2: failed: no\\u{1b}way"
    assert told[-1] == "  … and 3 more"
    late = results.part({"late"})
    assert repr(late).endswith("late: 1 unit adrift, not written: !a1: it moved")


def test_an_empty_fleet_has_frames_too(tmp_path: Path) -> None:
    results = fleet.load(tmp_path)
    assert (len(results.bots), len(results.drift), len(results.causes)) == (0, 0, 0)
    assert repr(results) == "0 bots."
    assert results.plot().words == "0 bots: all in sync."


# What stands beside the units


async def test_a_row_of_no_unit_is_a_cause_as_well(yard: Yard, homeserver: FakeHomeserver) -> None:
    yard.add("desk", homeserver.url, {**small_rows(), chat_key("@gone:hs", "C1"): "{"})
    results = await fleet.check(yard.file)
    assert results.causes.to_dict("index") == {"desk": {"unreadable_row": 1}}
    [line] = results.lines
    assert (line.state, line.units, line.to_decide, line.reason) == ("drift", 0, 1, None)
    assert repr(results).endswith("desk: 0 units adrift, 1 to decide")
    assert results.plot().words.startswith("1 bot: 1 adrift. desk: a row can't be read 1")


async def test_a_bot_of_which_nothing_could_be_compared_says_so_and_is_drawn(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    yard.add("desk", homeserver.url)
    desk = Desk(yard.folder / "tickets.db", TICKETS, tickets())
    yard.tables["desk"]["database"] = desk.path.name
    yard.write()
    with yard.file.open("a") as file:
        file.write('[bots.desk.shape]\nkind = "links"\n[bots.desk.rows.link]\n')
        file.write('table = "tickets"\nid = "id"\nroom = "user_room_id"\n')
    results = await fleet.check(yard.file)
    why = "Rows of tickets name rooms that nothing could be compared with, so this isn't called in sync"
    assert str(results.bots["reason"]["desk"]).startswith(why)
    assert f"desk: {why}" in repr(results) and len(results.causes.columns) == 0
    assert results.plot().words.startswith("1 bot: 1 adrift. desk: Rows of tickets")
