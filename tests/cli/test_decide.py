"""Deciding on the command line: what is ignored, rejected or deferred, and who else sees it."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.bench import A1, ALICE, B1, BOB, UA, Bench, small_rows
from tests.cli.command import TOKEN, Md, mend
from toolkit import Session
from toolkit.board.review_model import ReviewModel
from toolkit.records import chat_key, room_key
from toolkit.testing import FakeHomeserver

WHY = ("--reason", "a test room")


def file_of(bench: Bench) -> Path:
    return bench.path.with_name("bot.db.decisions.json")


def opened(bench: Bench, server: FakeHomeserver) -> Session:
    named = {"homeserver": server.url, "access_token": TOKEN, "database": bench.path}
    return asyncio.run(Session.open(**named))  # type: ignore[arg-type]


def decisions(md: Md) -> dict[str, Any]:
    return {unit["unit"]: unit["decision"] for unit in md("check", "--json").json["units"]}


class TestIgnoring:
    def test_a_check_is_green_again_and_says_what_is_ignored(self, md: Md, bench: Bench) -> None:
        before = bench.bytes()
        done = md("ignore", "!b1", *WHY, "--until", "2999-12-31")
        assert done.code == 0 and "Ignored: 1 unit." in done.out
        assert done.said(str(file_of(bench)), "nothing is written to the database")
        assert md("check").code == 2
        assert md("apply", "--approve-certain").code == 0
        green = md("check")
        assert green.code == 0
        assert "Chats:      2 in sync, 1 ignored" in green.out
        assert "!b1 (C1 of @bob:hs): conflict, by " in green.out
        assert "until 2999-12-31: a test room" in green.out
        last = green.out.splitlines()[-1]
        assert (
            last
            == "In sync but for 1 unit ignored: every other chat has its rows, and they are right."
        )
        assert bench.bytes()[B1] == before[B1]

    def test_strict_counts_it(self, md: Md) -> None:
        md("ignore", ALICE, "!a1", "!a2", "!b1", *WHY)
        assert md("check").code == md("plan").code == 0
        assert md("check", "--strict").code == 2
        assert md("check").out.count("4 ignored") == md("plan").out.count("!a2 (C2 of") == 1

    def test_without_any_other_chat_it_does_not_speak_of_them(self, md: Md, bench: Bench) -> None:
        bench.put(dict.fromkeys(small_rows()))
        md("ignore", ALICE, BOB, "!a1", "!a2", "!b1", *WHY)
        assert md("check").out.splitlines()[-1] == (
            "Nothing else to do: 5 units ignored; there are no other chats."
        )

    def test_rows_of_no_unit_stay_drift_and_are_named(self, md: Md, bench: Bench) -> None:
        mend(bench)
        bench.put({chat_key("@zoe:hs", "C1"): "{", A1: "{", room_key("!gone"): small_rows()[A1]})
        md("ignore", "!a1", *WHY)
        assert md("check").code == 2
        loose = md("ignore", chat_key("@zoe:hs", "C1"), *WHY)
        assert loose.code == 1 and loose.said("a row of none: mend or delete it by hand")
        orphan = md("ignore", room_key("!gone"), *WHY)
        assert orphan.code == 1 and orphan.said("an orphaned row, which is no drift")

    def test_another_change_comes_back_and_says_so(self, md: Md, bench: Bench) -> None:
        md("ignore", "!a1", "!b1", *WHY)
        bench.put({chat_key(ALICE, "C1"): None, B1: None})
        done = md("check")
        assert done.code == 2 and "ignored" not in done.out.split("STATUS")[0]
        for unit in ("!a1", "!b1"):
            told = f"No longer ignored: {unit}: it is another change or conflict than was ignored."
            assert told in done.out
        assert set(md("check", "--json").json["no_longer_ignored"]) == {"!a1", "!b1"}

    def test_a_day_that_has_passed_brings_it_back(
        self, md: Md, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        md("ignore", "!b1", *WHY, "--until", "2999-12-31")
        monkeypatch.setattr("toolkit.looked.today", lambda: date(2999, 12, 31))
        assert decisions(md)["!b1"] == "ignored"
        monkeypatch.setattr("toolkit.looked.today", lambda: date(3000, 1, 1))
        assert decisions(md)["!b1"] == "pending"
        assert "No longer ignored: !b1: it was ignored until 2999-12-31." in md("check").out

    def test_many_are_counted_and_the_first_are_named(self, md: Md, bench: Bench) -> None:
        rooms = [f"!m{number}" for number in range(2, 27)]
        for number, room in enumerate(rooms, 2):
            bench.world.chat(room, "!bob", f"Чат {number}", owner=BOB)
        assert md("ignore", *rooms, *WHY).out.splitlines()[0] == "Ignored: 25 units."
        assert "… and 5 more; --json has them all" in md("check").out
        assert "… and 5 more" in md("apply", "--approve-certain").out

    @pytest.mark.parametrize(
        ("more", "why"),
        [
            ((), "Missing option '--reason'"),
            (("--reason", " "), "say why"),
            ((*WHY, "--until", "2001-01-01"), "2001-01-01 has passed: today is "),
            ((*WHY, "--until", "soon"), "'soon' is no day: write it as "),
        ],
    )
    def test_what_is_wrong_is_said_in_a_sentence_before_anything_is_read(
        self, md: Md, server: FakeHomeserver, more: tuple[str, ...], why: str
    ) -> None:
        done = md("ignore", "!b1", *more)
        assert (done.code, done.out) == (1, "") and done.said(why)
        assert not server.requests

    def test_what_is_in_sync_is_not_ignored(self, md: Md, bench: Bench) -> None:
        mend(bench)
        done = md("ignore", "!a1", *WHY)
        assert done.code == 2 and done.said("!a1: it is in sync")
        assert not json.loads(file_of(bench).read_text()).get("ignored")

    def test_a_reason_is_shown_as_text(self, md: Md) -> None:
        md("ignore", "!b1", "--reason", "\x1b[2J [red]x[/red] \u202e")
        assert "\x1b" not in md("check").out and "[red]x[/red]" in md("check").out
        assert md("check", "--json").json["units"][-1]["ignored"]["reason"].startswith("\x1b")

    def test_a_snapshot_has_decisions_of_its_own(self, md: Md, bench: Bench) -> None:
        md("snapshot", "out.snapshot")
        assert md("ignore", "!b1", *WHY, "--snapshot", "out.snapshot").code == 0
        assert bench.path.with_name("out.snapshot.decisions.json").exists()
        units = md("check", "--json", "--snapshot", "out.snapshot").json["units"]
        assert [u["unit"] for u in units if u["decision"] == "ignored"] == ["!b1"]
        assert not file_of(bench).exists()


class TestApplying:
    def test_what_is_certain_is_left_alone_where_it_was_decided_so(
        self, md: Md, bench: Bench
    ) -> None:
        md("ignore", "!a1", *WHY), md("reject", ALICE), md("defer", "!a2")
        done = md("apply", "--approve-certain")
        assert done.code == 2 and done.said("There is nothing to write.")
        assert "Left alone: !a1: ignored by " in done.out and "a test room" in done.out
        assert f"Left alone: {ALICE}: rejected" in done.out and "!a2: deferred" in done.out
        assert bench.row(A1) is bench.row(UA) is None

    def test_a_check_says_how_many_were_rejected_or_deferred(self, md: Md) -> None:
        md("reject", ALICE), md("defer", "!a2", "!b1")
        out = md("check").out
        assert "Decided:    1 rejected, 2 deferred" in out
        assert "conflict, deferred" in out and "missing, rejected" in out
        assert "1 unit can be repaired" in out and "need a decision" not in out
        assert "3 units rejected or deferred: `apply` writes such a one only by its name" in out

    def test_to_name_a_unit_overrules_and_ends_the_decision(self, md: Md, bench: Bench) -> None:
        md("ignore", "!a1", *WHY), md("reject", ALICE)
        done = md("apply", "!a1")
        assert done.code == 0 and done.said(
            "!a1 was ignored by", "It is named now, so it is written"
        )
        assert bench.row(A1) and bench.row(UA) is None  # it doesn't go along
        assert json.loads(file_of(bench).read_text()).keys() == {"version", "decisions", "rejected"}
        assert md("apply", ALICE).said(f"{ALICE} was rejected.")
        assert bench.row(UA)

    def test_a_file_of_decisions_leaves_out_what_was_decided_so(self, md: Md, bench: Bench) -> None:
        md("reject", ALICE)
        assert md("plan", "--out", "d.json").said(
            "2 decisions stand in d.json", "deferred or ignored isn't among them: 1 unit."
        )
        assert md("apply", "--decisions", "d.json").code == 0
        assert bench.row(A1) and bench.row(UA) is None

    def test_json_tells_what_was_left_alone(self, md: Md) -> None:
        md("reject", ALICE, "!a1", "!a2")
        assert md("apply", "--approve-certain", "--json").json["left_alone"] == {
            ALICE: "rejected",
            "!a1": "rejected",
            "!a2": "rejected",
        }


class TestOneFile:
    def test_the_command_line_a_session_and_the_board_see_the_same(
        self, md: Md, bench: Bench, server: FakeHomeserver
    ) -> None:
        session = opened(bench, server)
        board = ReviewModel(session)
        session.ignore("!b1", reason="a test room")
        session.reject(ALICE)
        board.decide("!a2", "defer")
        assert decisions(md) == {
            ALICE: "rejected",
            "!a1": "pending",
            "!a2": "deferred",
            "!b1": "ignored",
        }
        assert md("withdraw", "!b1", ALICE, "--json").json == {
            "decision": "pending",
            "units": ["!b1", ALICE],
            "not_decided": {},
            "file": str(file_of(bench)),
        }
        assert md("ignore", "!a1", *WHY).said(f"The decision stands in {file_of(bench)}")
        assert md("withdraw", ALICE).said(f"The decision is no longer in {file_of(bench)}")
        asyncio.run(session.reload())
        frame = session.plan.to_frame()["decision"]
        assert dict(frame) == {
            ALICE: "pending",
            "!a1": "ignored",
            "!a2": "deferred",
            "!b1": "pending",
        }
        assert board.counts().by_vote["ignored"] == 1  # type: ignore[index]

    def test_an_approval_with_a_pick_is_told_too(
        self, md: Md, bench: Bench, server: FakeHomeserver
    ) -> None:
        bench.world.chat("!a9", "!alice", "Разговор", owner=ALICE)
        session = opened(bench, server)
        session.approve("!a9", chat_id="C4")
        assert decisions(md)["!a9"] == "approved"

    def test_a_file_that_cannot_be_read_is_an_error(self, md: Md, bench: Bench) -> None:
        file_of(bench).write_text('{"version": 1, "decisions": {}, "ignored": {"!b1": {"why": 1}}}')
        done = md("check")
        assert done.code == 1 and done.said("Can't read the decisions", "unknown field `why`")

    def test_a_name_that_is_near_offers_the_unit(self, md: Md) -> None:
        for command in (("reject",), ("apply",), ("ignore", *WHY)):
            done = md(command[0], "alice", *command[1:])
            assert done.code == 1
            assert done.said("There is no unit 'alice'. Did you mean '@alice:hs'?")


class TestTwins:
    """Two rooms claim to be one chat, and a person gives it to one of them."""

    @pytest.fixture
    def twins(self, bench: Bench) -> Bench:
        bench.put(small_rows())
        bench.world.chat("!a3", "!alice", "Чат 3", owner=ALICE)
        bench.world.chat("!a4", "!alice", "Чат 3", owner=ALICE)
        return bench

    def test_the_other_says_which_has_it_by_whose_decision_and_when(
        self, md: Md, twins: Bench, server: FakeHomeserver
    ) -> None:
        assert "2 rooms claim to be C3" in md("check", "--room", "!a4").out
        assert md("apply", "!a3", "--chat-id", "C3").code == 0
        run = md("history", "--json").json[0]
        [unit] = md("check", "--json", "--room", "!a4").json["units"]
        by, day = run["units"][-1]["by"], run["time"][:10]
        [cause] = [f["cause"] for f in unit["findings"] if f["code"] == "duplicate_chat_id"]
        assert cause == (
            f"C3 is !a3 by the decision of {by} on {day}; this room claims it too, and gets no rows "
            "unless another id is picked for it"
        )
        session = opened(twins, server)
        assert cause in set(session.drift["cause"])
        session.ignore("!a4", reason="the older twin")
        assert decisions(md)["!a4"] == "ignored"

    def test_what_was_taken_back_is_no_decision(self, md: Md, twins: Bench) -> None:
        md("apply", "!a3", "--chat-id", "C3")
        md("undo", "--yes", md("history", "--json").json[0]["run"])
        assert "2 rooms claim to be C3" in md("check", "--room", "!a4").out

    def test_another_room_of_a_run_has_nothing_to_do_with_it(self, md: Md, twins: Bench) -> None:
        twins.put({room_key("!a2"): None})
        md("apply", "!a2")
        assert "2 rooms claim to be C3" in md("check", "--room", "!a4").out
        md("apply", "!a3", "--chat-id", "C5")
        assert "by the decision" not in md("check").out
