"""The command line: results on stdout, words on stderr, exit codes that a script can trust."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest

from tests.bench import ALICE, BOB, Bench, small_rows
from tests.cli.command import Md, mend
from toolkit.records import chat_key, room_key, user_key
from toolkit.testing import FakeHomeserver, Fault, Hang, Hook

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
    assert md("apply", "!a1", "!nope").said("Error: There is no unit '!nope'")
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
