"""The command line: results on stdout, words on stderr, exit codes that a script can trust."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import toolkit.cli
import toolkit.cli.commands
import toolkit.homeserver.server
from tests.bench import ALICE, BOB, BOT, Bench, small_rows
from toolkit.cli.options import Where
from toolkit.records import chat_key, room_key, user_key
from toolkit.sources.snapshot import load_snapshot
from toolkit.testing import Cut, FakeHomeserver, Fault, Hang, Hook, Status, Synapse

TOKEN = "syt_very_secret"
ROOT = Path(__file__).parent.parent.parent
Md = Callable[..., "Done"]


class Done:
    """How a command ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def said(self, *words: str) -> bool:
        return all(word in self.err for word in words)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Alice's user row and one room row are gone, Bob's room row is poisoned; a renamed room."""
    found = Bench(tmp_path / "bot.db")
    rows = small_rows()
    del rows[user_key(ALICE)], rows[room_key("!a1")]
    rows[room_key("!b1")] = "{"
    found.world.name("!a2", "Отпуск")
    found.fill(rows)
    return found


@pytest.fixture
def server(bench: Bench) -> Iterator[FakeHomeserver]:
    """The fake homeserver on a loop of its own: commands run their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    fake = FakeHomeserver(bench.world.rooms, user_id=BOT, access_token=TOKEN)

    def wait_for(work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(10)

    wait_for(fake.__aenter__())
    yield fake
    wait_for(fake.__aexit__(None, None, None))
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def environment(
    bench: Bench, server: FakeHomeserver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MATRIX_HOMESERVER", server.url)
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv("BOT_DATABASE", str(bench.path))
    monkeypatch.delenv("MATRIX_ACCESS_TOKEN_FILE", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(sys, "stdin", None)


@pytest.fixture
def md(environment: None, capsys: pytest.CaptureFixture[str]) -> Md:
    """Run a command; whatever it says, it never says the token."""

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        code = toolkit.cli.run(arguments)
        captured = capsys.readouterr()
        assert TOKEN not in captured.out + captured.err
        return Done(code, captured.out, captured.err)

    return run


def mend(bench: Bench) -> None:
    bench.world.name("!a2", "Чат 2")
    bench.put(small_rows())


# check


def test_check_tells_drift_and_ends_with_2(md: Md, bench: Bench) -> None:
    before = bench.bytes()
    done = md("check")
    assert (done.code, done.err) == (2, "")
    assert "Chats:      1 missing, 1 mismatched, 1 conflict" in done.out
    assert "!b1  C1 of @bob:hs" in done.out
    assert bench.bytes() == before
    assert not bench.journal.exists()
    assert bench.backups() == []


def test_check_in_sync_ends_with_0(md: Md, bench: Bench) -> None:
    mend(bench)
    assert (md("check").code, md("check", "--strict").code) == (0, 0)
    assert "In sync" in md("check").out


def test_orphans_and_skipped_rooms_alone_are_no_drift_unless_strict(md: Md, bench: Bench) -> None:
    mend(bench)
    bench.put({chat_key("@zoe:hs", "C1"): {"surface_ref": "!gone"}})
    done = md("check")
    assert done.code == 0
    assert chat_key("@zoe:hs", "C1") in done.out
    assert md("check", "--strict").code == 2
    bench.put({chat_key("@zoe:hs", "C1"): None})
    bench.world.room("!foreign", creator="@x:hs", name="Чат 1")
    done = md("check")
    assert done.code == 0
    assert "1 not_created_by_bot" in done.out
    assert md("check", "--strict").code == 2


def test_json_goes_to_stdout_alone_and_is_ascii(md: Md, bench: Bench) -> None:
    bench.world.name("!a2", "\u202e\x1b[31m")
    for command in ("check", "plan"):
        done = md(command, "--json")
        assert (done.code, done.err) == (2, "")
        assert done.out.isascii()
        assert {unit["unit"] for unit in done.json["units"]} == {ALICE, "!a1", "!a2", "!b1"}


def test_hostile_names_act_on_no_terminal(md: Md, bench: Bench) -> None:
    bench.world.name("!a2", "[red]x[/red]\x1b[2J\u202e\u200b\u2066")
    bench.put({chat_key("@\x1b[31m\u202e:hs", "C1"): {"surface_ref": "!\x1b\u202e"}})
    for arguments in (("check",), ("plan",), ("apply", "--approve-certain"), ("history",)):
        done = md(*arguments)
        assert not set(done.out + done.err) & set("\x1b\u202e\u200b\u2066"), arguments
    assert md("apply", "!\x1b[31m\u202e").said("\\u{1b}[31m\\u{202e}")


# plan, apply, undo


def test_a_key_with_a_space_at_its_end_is_told_from_the_right_one(md: Md, bench: Bench) -> None:
    mend(bench)
    key = chat_key(ALICE, "C1")
    bench.put(
        {f"{key} ": small_rows()[key], f"{key}  x": small_rows()[key], "chat:@zoe:hs:C1 ": {}}
    )
    out = md("check").out
    for told in (f"{key}\\u{{20}}", f"{key} \\u{{20}}x"):
        assert f"{told}: a further chat row points at this room" in out
    assert f"{key} :" not in out
    assert "Conflict: chat:@zoe:hs:C1\\u{20}: " in out


def test_plan_shows_fields_and_writes_nothing(md: Md, bench: Bench) -> None:
    before = bench.bytes()
    done = md("plan")
    assert done.code == 2
    assert '    display_name  "Чат 2" → "Отпуск"' in done.out.splitlines()
    assert bench.bytes() == before


def test_apply_without_anybody_to_ask_writes_nothing(md: Md, bench: Bench) -> None:
    before = bench.bytes()
    done = md("apply")
    assert done.code == 1
    assert done.said("Error: Nobody is there to be asked", "--approve-certain", "--decisions")
    assert bench.bytes() == before


def test_apply_writes_what_is_certain_and_says_how_to_go_back(md: Md, bench: Bench) -> None:
    before = bench.bytes()
    done = md("apply", "--approve-certain")
    assert done.code == 2  # Bob's row is left to decide
    assert "Written: 1 user row restored, 1 room row restored, 1 room row repaired." in done.out
    assert "let it reload them, or restart it" in done.out
    [backup] = bench.backups()
    assert f"Backup: {backup}" in done.out
    [run] = md("history", "--json").json
    assert f"matrix-drift undo {run['run']}" in done.out
    assert {unit["outcome"] for unit in run["units"]} == {"applied"}
    assert all(unit["by"] for unit in run["units"])
    assert "1 applied" not in md("history").out
    assert md("check", "--json").json["units"][0]["unit"] == "!b1"

    assert md("undo", run["run"]).said("give --yes")
    done = md("undo", run["run"], "--yes")
    assert done.code == 0
    assert f"delete user row {user_key(ALICE)}" in done.out
    assert "Written back: 3 units." in done.out
    assert bench.bytes() == before
    assert md("undo", run["run"], "--yes").code == 2  # nothing of it is left to take back
    assert len(md("history", "--json").json) == 2


def test_apply_of_named_units_asks_nobody_and_takes_the_user_row_along(
    md: Md, bench: Bench
) -> None:
    done = md("apply", "!a1", "--json")
    assert done.code == 0
    assert set(done.json["units"]) == {"!a1", ALICE}
    assert done.json["report"]["restored_room_meta"] == ["!a1"]
    assert done.json["run"] in done.json["backup"]
    assert bench.row(user_key(ALICE))["next_chat_index"] == 3
    assert bench.row(room_key("!a2"))["display_name"] == "Чат 2"
    done = md("apply", "!a1")
    assert done.code == 0
    assert done.said("!a1 is in sync.", "There is nothing to write.")


def test_a_conflict_needs_its_choice(md: Md, bench: Bench) -> None:
    done = md("apply", "!b1")
    assert done.code == 2
    assert "Not written: !b1:" in done.out
    assert "--overwrite" in done.out
    assert not bench.journal.exists()
    done = md("apply", "!b1", "--overwrite")
    assert done.code == 0
    assert bench.row(room_key("!b1"))["chat_id"] == "C1"


def test_an_owner_can_be_given_for_a_space_that_has_none(md: Md, bench: Bench) -> None:
    bench.world.space("!two", members=["@p:hs", "@q:hs"])
    bench.world.chat("!t1", "!two", "Чат 1")
    assert "candidates: @p:hs, @q:hs" in md("check").out
    assert md("apply", "!two", "--owner", "@p:hs").code == 0
    assert bench.row(user_key("@p:hs"))["space_id"] == "!two"
    assert "never a member" in md("apply", "!two", "--owner", "@z:hs").out


def test_a_chat_id_can_be_given(md: Md, bench: Bench) -> None:
    bench.world.chat("!new", "!bob", "Holiday", owner=BOB)
    assert md("apply", "!new", "--chat-id", "C9").code == 0
    assert bench.row(room_key("!new"))["chat_id"] == "C9"
    assert bench.row(user_key(BOB))["next_chat_index"] == 10


@pytest.mark.parametrize("chat_id", ["foo", "", "C0", "c4", "C04"])
def test_an_ill_formed_chat_id_is_wrong_usage_and_a_free_one_is_named(
    md: Md, bench: Bench, chat_id: str
) -> None:
    bench.world.chat("!new", "!bob", "Holiday", owner=BOB)
    done = md("apply", "!new", "--chat-id", chat_id)
    assert (done.code, done.out) == (1, "")
    assert done.said(f"Error: --chat-id {chat_id!r} is no chat id", "such as C3, which is free")
    assert not bench.journal.exists()
    assert md("apply", "!new", "--chat-id", "C3").code == 0


def test_a_space_can_be_picked(md: Md, bench: Bench) -> None:
    bench.world.space("!bob2", owner=BOB)
    bench.world.chat("!b2", "!bob2", "Чат 2", owner=BOB)
    bench.put({user_key(BOB): None, room_key("!b1"): None})
    assert md("apply", BOB).code == 2
    assert md("apply", BOB, "--space", "!bob2").code == 0
    assert bench.row(user_key(BOB))["space_id"] == "!bob2"


def test_counters_are_lowered_only_when_asked_to(md: Md, bench: Bench) -> None:
    mend(bench)
    bench.put({user_key(BOB): {"space_id": "!bob", "next_chat_index": 9}})
    assert "--lower-counters" in md("check").out
    assert md("apply", "--approve-certain").code == 2
    assert bench.row(user_key(BOB))["next_chat_index"] == 9
    assert md("apply", "--approve-certain", "--lower-counters").code == 0
    assert bench.row(user_key(BOB))["next_chat_index"] == 2


def test_an_unknown_or_skipped_unit_is_an_error_and_nothing_is_written(
    md: Md, bench: Bench
) -> None:
    bench.world.room("!foreign", creator="@x:hs")
    assert md("apply", "!a1", "!nope").said("Error: The plan has no unit !nope")
    assert md("apply", "!foreign").said("Error: !foreign: it is skipped (not_created_by_bot)")
    assert not bench.journal.exists()


def test_what_moves_while_we_look_again_is_not_written(
    md: Md, bench: Bench, server: FakeHomeserver
) -> None:
    def rename() -> None:
        bench.world.name("!a2", "Работа")

    server.fault(Fault("whoami", Hook(rename), times=1, after=1))
    done = md("apply", "!a2", "!a1")
    assert done.code == 2
    assert "Not written: !a2: the change is no longer the one" in done.out
    assert bench.row(room_key("!a1"))
    assert bench.row(room_key("!a2"))["display_name"] == "Чат 2"


def test_backups_go_where_they_are_wanted(md: Md, bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "safe").mkdir()
    assert md("apply", "!a1", "--backup-dir", str(tmp_path / "safe")).code == 0
    assert bench.backups() == []
    assert len(list((tmp_path / "safe").glob("*.backup"))) == 1


def test_a_choice_that_says_nothing_of_its_unit_is_refused_and_nothing_written(
    md: Md, bench: Bench
) -> None:
    before = bench.bytes()
    for words, why in (
        ((ALICE, "--chat-id", "C4"), "--chat-id says nothing of it: it is a user row"),
        (("!a1", "--overwrite"), "--overwrite says nothing of it: all its rows can be read"),
    ):
        done = md("apply", *words)
        assert done.code == 2 and why in done.out
    assert bench.bytes() == before


# decisions


def test_a_plan_written_down_names_the_proposals_in_it(
    md: Md, bench: Bench, tmp_path: Path
) -> None:
    for room in ("!bob", "!b1"):
        bench.world.member(room, BOB, "leave")
    bench.put({room_key("!b1"): None, user_key(BOB): None, chat_key(BOB, "C1"): None})
    done = md("plan", "--out", str(tmp_path / "d.json"))
    assert done.said("Among them are proposals, which want a look") and done.said("!b1")


def test_a_plan_written_down_can_be_trimmed_and_applied(
    md: Md, bench: Bench, tmp_path: Path
) -> None:
    path = tmp_path / "d.json"
    assert md("plan", "--out", str(path)).said(f"3 decisions stand in {path}")
    assert md("plan", "--out", str(path)).said("is there already and stays")
    lines = path.read_text().splitlines()
    [last] = [line for line in lines if '"!a2"' in line]
    path.write_text("\n".join(line for line in lines if line != last))  # leaves a comma behind
    assert md("apply", "--decisions", str(path)).code == 0
    assert bench.row(room_key("!a1"))
    assert bench.row(room_key("!a2"))["display_name"] == "Чат 2"
    again = md("apply", "--decisions", str(path))
    assert again.code == 0
    assert again.said("!a1 is in sync.")


def test_a_decision_that_no_longer_fits_is_named_and_the_others_are_applied(
    md: Md, bench: Bench, tmp_path: Path
) -> None:
    path = tmp_path / "d.json"
    md("plan", "--out", str(path))
    bench.world.name("!a2", "Работа")
    value = json.loads(path.read_text())
    value["decisions"] |= {"!gone": {"change": "0"}, "!b1": {"change": "1"}}
    path.write_text(json.dumps(value))
    done = md("apply", "--decisions", str(path))
    assert done.code == 2
    for unit, why in (
        ("!a2", "no longer"),
        ("!gone", "no longer in the plan"),
        ("!b1", "no longer"),
    ):
        assert f"Not written: {unit}: " in done.out
        assert why in done.out
    assert bench.row(room_key("!a1"))


def test_decisions_may_carry_choices(md: Md, bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text('{"version": 1, "decisions": {"!b1": {"choices": {"overwrite": true}}}}')
    assert md("apply", "--decisions", str(path)).code == 0
    assert bench.row(room_key("!b1"))["chat_id"] == "C1"


def test_a_decision_with_a_space_that_fits_nothing_is_named(
    md: Md, bench: Bench, tmp_path: Path
) -> None:
    path = tmp_path / "d.json"
    path.write_text('{"version": 1, "decisions": {"!a1": {"choices": {"space_id": "!other"}}}}')
    done = md("apply", "--decisions", str(path))
    assert done.code == 2
    assert "Not written: !a1: the picked Space !other is not one" in done.out
    assert bench.row(room_key("!a1")) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "Can't read the decisions"),
        (b"\xff", "it is not UTF-8"),
        (b"{", "it is no JSON (line 1"),
        (b"[" * 100_000, "it is no JSON"),
        (b"[]", "holds no decisions"),
        (b'{"version": 2, "decisions": {}}', "version 2"),
        (b'{"version": 1, "decisions": {"!a": {"change": 3}}}', "Expected `str | null`"),
    ],
)
def test_a_bad_file_of_decisions_is_one_sentence(
    md: Md, tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "d.json"
    if content is not None:
        path.write_bytes(content)
    done = md("apply", "--decisions", str(path))
    assert done.code == 1
    assert done.said("Error: ", words)
    assert len(done.err.splitlines()) == 1


# snapshot


def test_a_snapshot_gives_the_same_answers_offline(
    md: Md, bench: Bench, server: FakeHomeserver, tmp_path: Path
) -> None:
    live = md("check").out
    path = str(tmp_path / "s.jsonl")
    assert md("snapshot", path).code == 0
    asked = len(server.requests)
    bench.put({room_key("!a2"): None})
    assert md("check", "--snapshot", path).out == live
    assert md("plan", "--snapshot", path).code == 2
    assert len(server.requests) == asked
    assert md("snapshot", str(bench.path)).said("exists and is no snapshot")
    assert md("check", "--snapshot", path, "--database", "x").said("leave out --database")
    assert md("check", "--snapshot", str(bench.path)).said("is no snapshot")


def test_a_snapshot_remembers_how_the_bot_names_its_chats(
    md: Md, bench: Bench, tmp_path: Path
) -> None:
    mend(bench)
    path = str(tmp_path / "s.jsonl")
    md("snapshot", path, "--platform", "telegram")
    assert md("check", "--snapshot", path).code == 2
    assert md("check", "--snapshot", path, "--platform", "matrix").code == 0


# settings


def test_former_accounts_are_given_one_by_one_or_in_the_file_and_a_snapshot_remembers_them(
    md: Md, tmp_path: Path
) -> None:
    file, given = tmp_path / "bot.snapshot", ["@old:hs", "@older:hs"]
    options = [word for user in given for word in ("--former-account", user)]
    assert md("snapshot", *options, str(file)).code == 0
    assert Where.of({"snapshot": file}).sides().convention.former_accounts == tuple(given)
    (tmp_path / "matrix-drift.toml").write_text('former_accounts = ["@other:hs"]\n')
    assert md("snapshot", str(file)).code == 0
    assert list(load_snapshot(file).settings["former_accounts"]) == ["@other:hs"]
    assert md("snapshot", *options, str(file)).code == 0
    assert list(load_snapshot(file).settings["former_accounts"]) == given


def test_an_option_wins_over_the_environment_and_that_over_the_file(
    md: Md, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "matrix-drift.toml"
    mend(bench)
    settings.write_text('database = "no.db"\nplatform = "telegram"\n')
    assert md("check").code == 2  # the platform of the file, the database of the environment
    assert md("check", "--platform", "matrix").code == 0
    monkeypatch.delenv("BOT_DATABASE")
    assert md("check").said("no.db: there is no such file")
    assert md("history", "--database", str(bench.path)).code == 0
    settings.write_text('room_name_patterns = ["Room {n}"]\nhelper_accounts = ["@alice:hs"]')
    assert md("check", "--database", str(bench.path)).code == 2


def test_the_file_may_lie_above_and_its_paths_are_from_there(
    md: Md, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = tmp_path / "bot" / "src"
    below.mkdir(parents=True)
    (tmp_path / "matrix-drift.toml").write_text(f'database = "{bench.path.name}"\n')
    monkeypatch.delenv("BOT_DATABASE")
    monkeypatch.chdir(below)
    assert md("history").code == 0
    assert md("check").code == 2
    monkeypatch.chdir(tmp_path)
    assert md("check").code == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("x = 1", "there is no setting 'x'; known: homeserver, database, table"),
        (f'access_token = "{TOKEN}"', "must hold no token"),
        (f'homeserver_password = "{TOKEN}"', "must hold no token or password"),
        (f'access_token = "{TOKEN}', "it is no TOML"),
        ("homeserver = 3", "homeserver must be a text"),
        ("deadline = true", "deadline must be a number"),
        ("helper_accounts = 'a'", "helper_accounts must be a list of texts"),
        ("former_accounts = [1]", "former_accounts must be a list of texts"),
        ('room_name_patterns = ["x"]', "has no number in it"),
    ],
)
def test_a_bad_settings_file_is_one_sentence(
    md: Md, tmp_path: Path, content: str, words: str
) -> None:
    (tmp_path / "matrix-drift.toml").write_text(content)
    done = md("check")
    assert done.code == 1
    assert done.said("Error: ", words)
    assert len(done.err.splitlines()) == 1
    assert md("check", "--help").code == 0


def test_the_token_comes_from_a_file_as_well(
    md: Md, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MATRIX_ACCESS_TOKEN")
    assert md("check").said("There is no access token", "MATRIX_ACCESS_TOKEN_FILE")
    path = tmp_path / "token"
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN_FILE", str(path))
    assert md("check").said("Can't read the access token from")
    path.write_text("\n")
    assert md("check").said("is empty")
    path.write_text(f"{TOKEN}\n")
    assert md("check").code == 2


def test_no_option_takes_a_token() -> None:
    commands = toolkit.cli.commands.matrix_drift.commands
    names = {name for command in commands.values() for p in command.params for name in p.opts}
    assert not [name for name in names if "token" in name or "password" in name]
    looking, writing = {"check", "plan", "snapshot"}, {"apply", "history", "undo"}
    assert set(commands) == looking | writing | {"demo", "explain", "notebook"}


# errors


def test_wrong_usage_ends_with_1(md: Md) -> None:
    for arguments in (
        (),
        ("bogus",),
        ("check", "--bogus"),
        ("check", "--deadline", "0"),
        ("undo",),
        ("apply", "!a", "--approve-certain"),
        ("apply", "--owner", "@a:hs"),
        ("apply", "!a", "!b", "--overwrite"),
    ):
        done = md(*arguments)
        assert (done.code, done.out) == (1, ""), arguments
        assert done.err.startswith("Error: ")
        assert "--help` says more" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("check", "--homeserver", "foo"), "is no address of a homeserver"),
        (("check", "--database", "none.db"), "there is no such file"),
        (("check", "--table", "other"), "has no table 'other'"),
        (("undo", "run-1", "--yes"), "There is no run run-1"),
        (("apply", "!a1", "--backup-dir", "nowhere"), "there is no folder nowhere"),
        (("check", "--room-name-pattern", "("), "is no pattern"),
    ],
)
def test_an_error_is_one_sentence_and_1(md: Md, arguments: tuple[str, ...], words: str) -> None:
    done = md(*arguments)
    assert done.code == 1
    assert done.said("Error: ", words)
    assert "Traceback" not in done.err


def test_missing_settings_are_named(md: Md, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MATRIX_HOMESERVER")
    assert md("check").said("No homeserver is named", "MATRIX_HOMESERVER")
    monkeypatch.delenv("BOT_DATABASE")
    assert md("check").said("No database is named", "BOT_DATABASE")
    assert md("history").said("No database is named")


def test_a_dead_token_and_a_broken_server_are_one_sentence_each(
    md: Md, server: FakeHomeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolkit.homeserver.server, "ATTEMPTS", 1, raising=False)
    server.fault(Fault("whoami", Status(401, {"errcode": "M_UNKNOWN_TOKEN"}), times=1))
    assert md("check").said("doesn't accept the access token")
    server.fault(Fault("joined_rooms", Cut()))
    assert md("check", "--deadline", "0.5").code == 1
    server.clear_faults()
    server.fault(Fault("/state$", Hang()))
    done = md("check", "--deadline", "0.3")
    assert done.code == 1
    assert done.said("The deadline of 0.3 s passed")


def test_waiting_for_a_busy_server_is_told(md: Md, server: FakeHomeserver) -> None:
    body = {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1_000}
    server.fault(Fault("joined_rooms", Status(429, body), times=1))
    done = md("check")
    assert done.code == 2
    assert done.said("too many requests; asking again in 1 s")


def test_a_bug_is_one_sentence_and_a_traceback_only_when_asked(
    md: Md, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kw: object) -> None:
        raise RuntimeError(f"the header was Bearer {TOKEN}")

    monkeypatch.setattr("toolkit.repairs.plan_repairs", fail)
    done = md("check")
    assert done.code == 1
    assert done.err == (
        "Error: unexpected RuntimeError, which is a bug in matrix-drift. With --debug you see where.\n"
    )
    done = md("check", "--debug")
    assert done.said("Traceback", "Bearer ***")
    assert md("--debug", "check").said("Traceback")


def test_an_empty_homeserver_beside_rows_decides_nothing(md: Md, bench: Bench) -> None:
    bench.world.rooms.clear()
    assert md("check").said("in no room at all")
    done = md("check", "--allow-empty")
    assert done.code == 2  # nothing was compared, so that nothing is in sync
    assert "6 rows orphaned" in done.out
    assert "probably another account than the rows are of" in " ".join(done.out.split())


# at a terminal


@pytest.mark.parametrize(("answer", "code", "wrote"), [(True, 2, True), (False, 1, False)])
def test_a_person_is_asked_before_anything_is_written(
    md: Md, bench: Bench, monkeypatch: pytest.MonkeyPatch, answer: bool, code: int, wrote: bool
) -> None:
    asked: list[str] = []

    def agree(question: str) -> bool:
        assert not bench.journal.exists()
        asked.append(question)
        return answer

    monkeypatch.setattr("toolkit.cli.write.someone_there", lambda: True)
    monkeypatch.setattr("toolkit.cli.write.agree", agree)
    done = md("apply")
    assert (done.code, bench.journal.exists()) == (code, wrote)
    assert asked == [f"Write these 3 units to {bench.path}?"]
    assert wrote or done.said("Cancelled; nothing was written.")
    assert md("apply", "--yes").code == 2


def test_ctrl_c_while_reading_says_that_nothing_was_written(
    md: Md, server: FakeHomeserver, bench: Bench
) -> None:
    server.fault(Fault("/state$", Hang()))
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    done = md("apply", "--approve-certain")
    assert done.code == 1
    assert done.said("Cancelled; nothing was written.")
    assert not bench.journal.exists()


def test_ctrl_c_while_writing_says_where_to_look(md: Md, server: FakeHomeserver) -> None:
    server.fault(Fault("/state$", Hang(), after=5))
    threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
    done = md("apply", "--approve-certain")
    assert done.code == 1
    assert done.said("Cancelled; what was finished by then is written", "history")


# as a process


def start(*arguments: str, **options: Any) -> "subprocess.Popen[str]":
    code = "from toolkit.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} | options.pop("env", {})
    return subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, env=environment, **options
    )


@pytest.mark.parametrize("arguments", [("--help",), ("apply", "--help"), ("check", "-h")])
def test_help_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    heavy = "{'pandas', 'nio', 'ipywidgets', 'aiohttp', 'rich', 'aiosqlite', 'msgspec', 'asyncio'}"
    code = (
        "import sys; from toolkit.cli import run; "
        f"assert run({arguments!r}) == 0; print('loaded', sorted({heavy} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "loaded []"


@pytest.mark.usefixtures("environment")
def test_a_pipe_gets_no_colours_and_its_end_no_complaint(tmp_path: Path) -> None:
    with start("check", cwd=tmp_path, env={"FORCE_COLOR": "1"}) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (2, "")
    assert "\x1b" not in out
    with start("check", "--json", cwd=tmp_path) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 1


@pytest.mark.usefixtures("environment")
def test_an_old_encoding_is_no_error(tmp_path: Path) -> None:
    with start("plan", cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"}) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (2, "")
    assert "\\u041e\\u0442\\u043f\\u0443\\u0441\\u043a" in out


# demo


@pytest.mark.synapse
@pytest.mark.slow
def test_the_demo_shows_drift_and_leaves_nothing(tmp_path: Path) -> None:
    if not Synapse.available():
        pytest.skip("matrix-synapse is not installed")
    with start("demo", "--check", env={"TMPDIR": str(tmp_path)}) as process:
        out, err = process.communicate(timeout=170)
    assert process.returncode == 2, err
    assert "Chats:      1 in sync, 4 missing, 4 mismatched, 4 conflict" in out
    assert not set(out + err) & set("\x1b\u202e\u200b")
    assert os.listdir(tmp_path) == []
    assert synapses(tmp_path) == []


@pytest.mark.synapse
@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_cleans_up_when_it_is_ended(tmp_path: Path, ending: signal.Signals) -> None:
    if not Synapse.available():
        pytest.skip("matrix-synapse is not installed")
    with start("demo", env={"TMPDIR": str(tmp_path)}) as process:
        assert process.stderr
        for line in process.stderr:
            if line.startswith("Making"):
                break
        time.sleep(0.5)
        process.send_signal(ending)
        process.send_signal(ending)  # impatience changes nothing
        assert "Cancelled; the demo's Synapse and its files are gone." in process.stderr.read()
        assert process.wait(30) == 1
    assert os.listdir(tmp_path) == []
    assert synapses(tmp_path) == []


def synapses(directory: Path) -> list[str]:
    """Command lines of processes whose files lie in this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(directory) in line:
            found.append(line)
    return found
