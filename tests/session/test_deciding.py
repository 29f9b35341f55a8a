"""What a person decides in a session: what it names, who hears of it, and what is kept."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.bench import A1, A2, ALICE, B1, BOB, BOT, C1, CB, UA, UB, Bench, small_rows
from tests.boards import look
from tests.clients import is_one_sentence
from tests.session.votes import PENDING, votes
from toolkit import Session, ToolkitError
from toolkit import repairs as road
from toolkit.decisions.ledger_file import load_ledger
from toolkit.records import Raw, encode_row, room_key
from toolkit.sources.snapshot import Snapshot, save_snapshot
from toolkit.testing import FakeHomeserver

NOW = datetime(2026, 11, 24, tzinfo=UTC)


class TestDeciding:
    async def test_an_id_several_and_a_mask_name_units(self, session: Session) -> None:
        session.approve("!a1")
        session.approve(["!a2", BOB])
        assert set(votes(session).values()) == {"approved"}
        session.withdraw(session.plan.to_frame().index)
        assert votes(session) == PENDING
        drift = session.drift
        session.approve(drift["owner"] == ALICE)
        assert votes(session) == PENDING | {"!a1": "approved", "!a2": "approved"}
        session.withdraw(status="missing")
        session.reject(session.rooms["name"] == "Чат 2")
        session.defer(drift[drift["code"] == "missing_row"])
        assert votes(session) == dict.fromkeys(PENDING, "deferred")

    async def test_what_a_frame_has_and_the_plan_not_is_passed_over(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        bench.put({room_key("!gone"): small_rows()[A1]})
        session = await look(bench, server)
        assert len(session.approve(session.drift["status"] != "conflict").units) == 3
        assert len(session.approve(session.rooms["kind"] == "chat").units) == 2

    async def test_a_whole_frame_names_its_units_and_passes_over_lines_of_none(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        bench.put({room_key("!gone"): small_rows()[A1]})  # its line of the drift is about no unit
        session = await look(bench, server)
        for frame in (session.drift, session.drift["unit"], session.plan.changes()):
            assert {unit.id for unit in session.approve(frame).units} == set(PENDING)
            session.withdraw(frame)
        assert [unit.id for unit in session.approve(session.rows).units] == ["!a2"]

    async def test_a_mask_overrules_no_decision_about_one_unit(self, session: Session) -> None:
        session.reject("!a1")
        session.defer("!a2")
        decided = session.approve(session.drift["status"] == "missing")
        assert votes(session) == {"!a1": "rejected", "!a2": "deferred", BOB: "approved"}
        assert "it is rejected: approve it by its id" in decided.refused["!a1"]
        assert "it is deferred" in decided.refused["!a2"]
        session.approve(["!a1", "!a2"])
        assert set(votes(session).values()) == {"approved"}

    async def test_a_mask_leaves_a_conflict_that_is_settled_as_it_is(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        bench.world.chat("!a9", "!alice", "Разговор", owner=ALICE)
        session = await look(bench, server)
        session.approve("!a9", chat_id="C9")
        assert not session.approve(session.drift["owner"] == ALICE).refused
        found = session.plan.to_frame()
        assert (found["decision"]["!a9"], found["chat_id"]["!a9"]) == ("approved", "C9")

    async def test_a_choice_that_says_nothing_of_its_unit_is_refused(
        self, session: Session
    ) -> None:
        idle: list[tuple[str, dict[str, Any], str]] = [
            (BOB, {"chat_id": "C4"}, "chat_id= says nothing of it: it is a user row"),
            ("!a1", {"overwrite": True}, "all its rows can be read"),
            ("!a1", {"lower_counter": True}, "it is a room"),
        ]
        for unit, choice, why in idle:
            assert why in session.approve(unit, **choice).refused[unit]
        assert votes(session) == PENDING

    async def test_what_goes_along_is_not_said_to_be_pending(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        bench.put({UA: None})
        session = await look(bench, server)
        session.approve("!a1")
        decided = session.withdraw(ALICE)
        assert votes(session)[ALICE] == "approved" and not decided.units
        assert "it goes along with an approved room" in decided.refused[ALICE]

    async def test_a_status_is_a_selection(self, session: Session) -> None:
        assert {unit.id for unit in session.approve(status="missing").units} == set(PENDING)

    @pytest.mark.parametrize("unit", ["!nobody", ["!a1", "!nobody"], 5, [5], None])
    async def test_what_names_no_unit_is_refused(self, session: Session, unit: Any) -> None:
        with pytest.raises(ToolkitError) as caught:
            session.approve(unit)
        assert is_one_sentence(str(caught.value)) and votes(session) == PENDING

    async def test_a_mask_without_an_index_and_a_wrong_status_are_refused(
        self, session: Session
    ) -> None:
        with pytest.raises(ToolkitError, match="no index"):
            session.approve((session.drift["status"] == "missing").to_numpy())
        with pytest.raises(ToolkitError, match="yes and no"):
            session.approve([True, False])
        with pytest.raises(ToolkitError, match="without reset_index"):
            session.approve(session.drift.reset_index()["status"] == "missing")
        with pytest.raises(ToolkitError, match="no status 'lost'"):
            session.approve(status="lost")

    async def test_a_unit_in_sync_is_nothing_to_approve(self, session: Session) -> None:
        decided = session.approve("!b1")
        assert not decided.units and "in sync" in decided.refused["!b1"]
        assert "skipped (space)" in session.approve("!alice").refused["!alice"]

    async def test_deciding_writes_no_row_and_asks_no_server(
        self, session: Session, bench: Bench, server: FakeHomeserver
    ) -> None:
        before, asked = bench.bytes(), len(server.requests)
        session.approve(status="missing")
        session.reject("!a1")
        assert bench.bytes() == before and len(server.requests) == asked

    async def test_a_room_goes_without_its_user_row_if_that_was_rejected(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        bench.put({UA: None})
        session = await look(bench, server)
        session.approve("!a1")
        assert votes(session)[ALICE] == "approved"
        session.reject(ALICE)
        done = await session.apply()
        assert bench.row(A1) == small_rows()[A1] and bench.row(UA) is None and not done.stale

    async def test_what_goes_along_with_a_room_is_said(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        bench.put({UA: None})
        decided = (await look(bench, server)).approve("!a1")
        assert [unit.id for unit in decided.along] == [ALICE]
        assert "Goes along: 1 row." in repr(decided)

    async def test_a_choice_settles_a_conflict(self, bench: Bench, server: FakeHomeserver) -> None:
        bench.world.chat("!a9", "!alice", "Разговор", owner=ALICE)
        session = await look(bench, server)
        assert "pick a chat id" in session.approve("!a9").refused["!a9"]
        decided = session.approve("!a9", chat_id="C9")
        assert [unit.chat_id for unit in decided.units] == ["C9"]
        await session.apply()
        assert bench.row(room_key("!a9"))["chat_id"] == "C9"

    async def test_a_taken_or_ill_formed_id_is_refused_and_nothing_kept(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        bench.world.chat("!a9", "!alice", "Разговор", owner=ALICE)
        session = await look(bench, server)
        for chat_id in ("C2", "C01", "foo", ""):
            refused = session.approve("!a9", chat_id=chat_id).refused
            assert refused.get("!a9"), chat_id
        assert not session.decisions_file or not session.decisions_file.exists()

    @pytest.mark.parametrize(
        "wrong", [{"overwrite": "yes"}, {"lower_counter": 1}, {"chat_id": 4}, {"owner": []}]
    )
    async def test_a_choice_of_a_wrong_type_is_refused_and_nothing_kept(
        self, session: Session, wrong: dict[str, Any]
    ) -> None:
        with pytest.raises(ToolkitError, match="wrong type"):
            session.approve("!a1", **wrong)
        assert not session.decisions_file or not session.decisions_file.exists()

    @pytest.mark.parametrize("name", ["bot.db/x.json", "x" * 300, "nul\0"])
    async def test_a_path_that_can_be_no_file_of_decisions_is_one_sentence(
        self, bench: Bench, server: FakeHomeserver, name: str
    ) -> None:
        with pytest.raises(ToolkitError, match="decisions") as caught:
            (await look(bench, server, decisions=name)).approve("!a1")
        assert is_one_sentence(str(caught.value).replace("\0", ""))

    async def test_a_mask_of_several_columns_is_refused(self, session: Session) -> None:
        plan = session.plan.to_frame()
        for mask in (plan[["status"]] == "conflict", session.drift == "conflict"):
            with pytest.raises(ToolkitError, match="of one column"):
                session.approve(mask)

    async def test_a_mask_on_the_rows_names_their_units(self, session: Session) -> None:
        rows = session.rows
        assert [u.id for u in session.approve(rows["unit"] == "!a2").units] == ["!a2"]

    async def test_a_choice_is_for_one_unit(self, session: Session) -> None:
        with pytest.raises(ToolkitError, match="one unit"):
            session.approve(["!a1", "!a2"], chat_id="C9")

    async def test_a_conflict_with_a_proposal_is_approved_by_its_id_alone(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        for room in ("!bob", "!b1"):
            bench.world.member(room, BOB, "leave")
        bench.put({UB: None, B1: None, CB: None})
        session = await look(bench, server)
        frame = session.plan.to_frame()
        asked = frame.index[frame["needs_human"]]
        assert len(asked) == 2
        assert set(session.approve(frame["needs_human"]).refused) == set(asked)
        for unit in asked:
            assert session.approve(unit).units
        assert set(votes(session).values()) == {"approved", "pending"}

    async def test_settling_one_room_never_silently_changes_another_approval(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        bench.world.chat("!a9", "!alice", "Разговор", owner=ALICE)
        bench.put({UA: None})
        session = await look(bench, server)
        session.approve(ALICE)
        decided = session.approve("!a9", chat_id="C9")
        # Alice's counter has to be higher than C9: what was approved is no longer what is planned.
        assert decided.reopened == (ALICE,) and "Pending again" in repr(decided)


class TestWatching:
    async def test_who_watches_hears_of_each_change_and_of_none_after_the_end(
        self, session: Session
    ) -> None:
        heard: list[dict[str, str]] = []
        end = session.subscribe(lambda: heard.append(votes(session)))
        session.approve("!a1")
        await session.reload()
        assert heard == [PENDING | {"!a1": "approved"}] * 2
        end()
        session.withdraw("!a1")
        assert len(heard) == 2

    async def test_deciding_without_a_choice_plans_nothing_anew(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(road, "plan_repairs", None)
        session.approve(["!a1", "!a2"])
        session.approve(BOB)
        session.reject("!a1")
        assert votes(session) == {"!a1": "rejected", "!a2": "approved", BOB: "approved"}


class TestKeeping:
    async def test_decisions_survive_a_restart(
        self, session: Session, bench: Bench, server: FakeHomeserver
    ) -> None:
        session.approve("!a1")
        session.reject("!a2")
        again = await look(bench, server)
        assert votes(again) == {"!a1": "approved", "!a2": "rejected", BOB: "pending"}
        assert again.pending().index.tolist() == [BOB]

    async def test_a_change_that_differs_after_a_reload_is_pending_again(
        self, session: Session, bench: Bench
    ) -> None:
        session.approve("!a1")
        bench.put({C1: small_rows()[C1]})
        await session.reload()
        assert votes(session)["!a1"] == "pending"
        await session.apply()
        assert bench.row(A1) is None

    async def test_an_approval_of_what_was_certain_is_none_of_a_guess_with_the_same_rows(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        bench.put({B1: None, CB: None})
        session = await look(bench, server)
        session.approve(status="missing")
        for room in ("!bob", "!b1"):
            bench.world.member(room, BOB, "leave")
        await session.reload()
        plan = session.plan.to_frame()
        left = plan[plan["codes"].str.contains("owner_left")]
        assert sorted(left["decision"]) == ["pending", "pending"]
        await session.apply()
        assert bench.row(B1) is None and bench.row(UB) is None and bench.row(A1) is not None

    async def test_what_somebody_else_has_picked_meanwhile_is_not_agreed_to_unseen(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        bench.put({UA: None})
        bench.world.chat("!a9", "!alice", "Разговор", owner=ALICE)
        session, other = await look(bench, server), await look(bench, server)
        other.approve("!a9", chat_id="C9")  # the counter follows
        for unit in (ALICE, [ALICE]):
            decided = session.approve(unit)
            assert not decided.units or unit == [ALICE]
            if not decided.units:
                assert "than was shown" in decided.refused[ALICE]
        assert session.plan.rows(ALICE)[UA]["after"]["next_chat_index"] == 10

    async def test_a_frame_kept_over_a_reload_agrees_to_what_it_shows_only(
        self, session: Session, bench: Bench
    ) -> None:
        shown = session.plan.to_frame()
        bench.put({C1: small_rows()[C1]})
        await session.reload()
        decided = session.approve(shown)
        assert "than was shown" in decided.refused["!a1"]
        assert {unit.id for unit in decided.units} == {"!a2", BOB}
        assert session.approve(session.plan.to_frame().loc[["!a1"]]).units

    async def test_a_frame_kept_from_when_nothing_could_be_written_agrees_to_nothing(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        bench.world.chat("!a9", "!alice", "Разговор", owner=ALICE)
        session = await look(bench, server)
        shown = session.plan.to_frame().loc[["!a9"]]
        bench.world.name("!a9", "Чат 9")
        await session.reload()
        assert session.plan.to_frame().loc["!a9", "approvable"]
        assert "than was shown" in session.approve(shown).refused["!a9"]

    async def test_apply_writes_nothing_that_was_rejected_elsewhere_meanwhile(
        self, session: Session, bench: Bench, server: FakeHomeserver
    ) -> None:
        session.approve(["!a1", "!a2"])
        other = await look(bench, server)
        other.reject("!a1")
        before = bench.bytes()
        with pytest.raises(ToolkitError, match="changed elsewhere"):
            await session.apply()
        assert bench.bytes() == before and votes(session)["!a1"] == "rejected"
        assert (await session.apply()).rows == 1 and bench.row(A1) is None

    async def test_apply_writes_what_is_approved_here_and_leaves_others_theirs(
        self, session: Session, bench: Bench, server: FakeHomeserver
    ) -> None:
        session.approve("!a1")
        other = await look(bench, server)
        other.approve("!a2")
        assert (await session.apply()).rows == 2
        assert bench.row(A1) is not None and bench.row(A2) is None
        await other.reload()
        assert votes(other)["!a2"] == "approved"

    async def test_what_is_a_no_here_is_not_written_for_somebody_elses_yes(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        bench.put({UA: None})
        session, other = await look(bench, server), await look(bench, server)
        session.reject(["!a1", ALICE])
        session.approve("!a2")
        other.approve(["!a1", ALICE])
        assert (await session.apply()).rows == 1
        assert bench.row(A2) and bench.row(A1) is None and bench.row(UA) is None

    async def test_what_was_picked_once_stands_in_no_later_approvals_way(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        bench.put({A1: "not json"})
        session = await look(bench, server)
        assert session.approve("!a1", overwrite=True).units
        bench.put({A1: None})
        await session.reload()
        assert votes(session)["!a1"] == "pending" and session.approve("!a1").units

    async def test_a_proposal_that_is_certain_by_now_stays_approved(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        bench.put({B1: None, CB: None})
        for room in ("!bob", "!b1"):
            bench.world.member(room, BOB, "leave")
        session = await look(bench, server)
        assert session.approve(["!b1"]).units
        bench.put({UB: small_rows()[UB]})  # which names the owner
        await session.reload()
        assert votes(session)["!b1"] == "approved" and "conflict" not in set(
            session.drift["status"]
        )
        assert (await session.apply()).rows == 2

    async def test_two_sessions_on_one_database_agree_after_a_reload(
        self, session: Session, bench: Bench, server: FakeHomeserver
    ) -> None:
        other = await look(bench, server)
        other.approve("!a1")
        session.approve("!a2")
        await other.reload()
        assert votes(other) == votes(session) == PENDING | {"!a1": "approved", "!a2": "approved"}

    async def test_decisions_made_on_a_snapshot_are_applied_elsewhere(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        rows: dict[str, Raw] = {}
        rows |= {key: encode_row(json.loads(value)) for key, (_, value) in bench.bytes().items()}
        rooms = {room_id: bench.world.state(room_id) for room_id in bench.world.rooms}
        save_snapshot(Path("taken"), Snapshot(BOT, rooms, {}, rows), NOW)
        offline = await Session.open(snapshot="taken")
        offline.approve(["!a1", BOB])
        assert offline.decisions_file == Path("taken.decisions.json")
        with pytest.raises(ToolkitError, match="apply --decisions"):
            await offline.apply()
        with pytest.raises(ToolkitError, match="could be taken back"):
            await offline.undo()
        here = await look(bench, server, decisions="taken.decisions.json")
        assert votes(here) == PENDING | {"!a1": "approved", BOB: "approved"}
        assert load_ledger(Path("taken.decisions.json")).approved.keys() == {"!a1", BOB}


class TestIgnoring:
    async def test_a_session_ignores_until_a_day_and_says_so(self, session: Session) -> None:
        decided = session.ignore("!a1", reason="a test room", until="2999-12-31")
        assert repr(decided).startswith("Ignored: 1 unit.\n  !a1")
        assert votes(session) == PENDING | {"!a1": "ignored"}
        assert "Decided: 1 ignored." in repr(session)
        assert "!a1" not in session.pending().index
        refused = session.approve(status="missing")
        assert "ignored: approve it by its id" in refused.refused["!a1"]
        session.approve("!a1")
        assert votes(session)["!a1"] == "approved"
        session.ignore("!a1", reason="after all")
        session.withdraw(["!a1", "!a2", BOB])
        assert votes(session) == PENDING

    async def test_nothing_is_left_to_do_where_all_else_is_right(self, session: Session) -> None:
        session.ignore(["!a1", "!a2", BOB], reason="test rooms")
        assert "Next: Nothing: 3 units ignored, and every other chat has its rows." in repr(session)
        report = await session.apply()
        assert report.rows == 0
        session.defer("!a1")
        assert "Next: Nothing: everything is decided." in repr(session)

    async def test_a_day_that_passes_while_it_is_open_brings_it_back(
        self, bench: Bench, server: FakeHomeserver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        day = date(2027, 5, 1)
        monkeypatch.setattr("toolkit.session.deciding.today", lambda: day)
        session = await look(bench, server)
        session.ignore(status="missing", reason="a test", until=day)
        assert votes(session)["!a1"] == "ignored"
        with pytest.raises(ToolkitError, match="2027-04-30 has passed"):
            session.ignore("!a2", reason="a test", until="2027-04-30")
        day = date(2027, 5, 2)
        monkeypatch.setattr("toolkit.session.deciding.today", lambda: day)
        assert votes(await look(bench, server))["!a1"] == "pending"
        assert session.decisions_file and "2027-05-01" in session.decisions_file.read_text()

    @pytest.mark.parametrize("named", ["alice", "C1", "!a", "nobody"])
    async def test_an_unknown_name_is_refused_with_what_was_meant(
        self, session: Session, named: str
    ) -> None:
        for decide in (session.reject, session.plan.rows):
            with pytest.raises(ToolkitError, match=f"There is no unit '{named}'") as caught:
                decide(named)
            assert ("Did you mean" in str(caught.value)) == (named != "nobody")

    async def test_a_name_that_is_hostile_is_made_visible(self, session: Session) -> None:
        for decide in (session.reject, session.plan.rows):
            with pytest.raises(ToolkitError, match=r"\\u\{1b\}\[2J") as caught:
                decide("\x1b[2J")
            assert "\x1b" not in str(caught.value)
