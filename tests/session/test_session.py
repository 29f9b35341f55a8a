"""A session: look, decide, apply through the bot's own function, take back."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nio
import pandas as pd
import pytest

from tests.bench import (
    A1,
    A2,
    ALICE,
    B1,
    BOB,
    BOT,
    C1,
    CB,
    TOKEN,
    UA,
    UB,
    Bench,
    small_rows,
)
from tests.boards import look
from tests.clients import is_one_sentence
from toolkit import (
    ChatManager,
    InMemoryStore,
    Session,
    SQLiteStore,
    ToolkitError,
    reconcile_matrix_state,
)
from toolkit import repairs as road
from toolkit.decisions.ledger import load_ledger
from toolkit.frames import Shelf
from toolkit.reconcile import Options, reconcile
from toolkit.records import Raw, encode_row, room_key
from toolkit.sources.snapshot import Snapshot, save_snapshot
from toolkit.testing import FakeHomeserver, Fault, Hook, Status

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but those of the test."""
    monkeypatch.chdir(tmp_path)
    for name in ("MATRIX_HOMESERVER", "MATRIX_ACCESS_TOKEN", "BOT_DATABASE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def session(bench: Bench, server: FakeHomeserver) -> Session:
    return await look(bench, server)


def votes(session: Session) -> dict[str, str]:
    frame = session.plan.to_frame()
    return dict(zip(frame.index, frame["decision"], strict=True))


PENDING = {"!a1": "pending", "!a2": "pending", BOB: "pending"}


class TestOpening:
    async def test_it_takes_urls_and_paths(self, session: Session) -> None:
        assert session.account == BOT and votes(session) == PENDING

    async def test_it_takes_the_environment(
        self, bench: Bench, server: FakeHomeserver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MATRIX_HOMESERVER", server.url)
        monkeypatch.setenv("MATRIX_ACCESS_TOKEN", TOKEN)
        monkeypatch.setenv("BOT_DATABASE", str(bench.path))
        assert votes(await Session.open()) == PENDING

    async def test_it_takes_settings_from_a_file_here_or_above(
        self,
        bench: Bench,
        server: FakeHomeserver,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        (tmp_path / "matrix-drift.toml").write_text(
            f'homeserver = "{server.url}"\ndatabase = "bot.db"\nbackup_dir = "kept"\n'
            'default_room_name = "Chat {n}"\nhelper_accounts = ["@helper:hs"]\n'
        )
        monkeypatch.setenv("MATRIX_ACCESS_TOKEN", TOKEN)
        (tmp_path / "notebooks").mkdir()
        (tmp_path / "kept").mkdir()
        monkeypatch.chdir(tmp_path / "notebooks")
        session = await Session.open()
        session.approve("!a1")
        done = await session.apply()
        assert done.backup and done.backup.parent == tmp_path / "kept"

    async def test_it_takes_the_bots_own_objects_and_leaves_them_open(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        made: list[str] = []

        class Manager(ChatManager):
            async def get_or_create(self, *args: Any, **more: Any) -> Any:
                made.append(args[1])
                return await super().get_or_create(*args, **more)

        client = nio.AsyncClient(server.url, BOT)
        client.restore_login(BOT, "D", TOKEN)
        async with SQLiteStore(bench.path) as store:
            session = await Session.open(client=client, store=store, chat_mgr=Manager(store))
            session.approve("!a1")
            await session.apply()
            assert made == ["C1"] and await store.get(A1) == small_rows()[A1]
        assert client.access_token == TOKEN
        await client.close()

    async def test_a_store_without_transactions_will_do(self, server: FakeHomeserver) -> None:
        store = InMemoryStore({k: r for k, r in small_rows().items() if k != A1})
        session = await Session.open(homeserver=server.url, access_token=TOKEN, store=store)
        session.approve("!a1")
        done = await session.apply()
        assert done["restored_room_meta"] == ["!a1"] and "Written: 1 row" in repr(done)
        assert await store.get(A1) == small_rows()[A1] and session.history().empty

    async def test_it_is_a_context_too(self, bench: Bench, server: FakeHomeserver) -> None:
        async with await look(bench, server) as session:
            assert votes(session) == PENDING

    async def test_it_only_reads(self, bench: Bench, server: FakeHomeserver) -> None:
        before, files = bench.bytes(), sorted(bench.path.parent.iterdir())
        session = await look(bench, server)
        await session.reload()
        assert bench.bytes() == before and sorted(bench.path.parent.iterdir()) == files
        assert {request.method for request in server.requests} == {"GET"}

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({}, "No database is named"),
            ({"database": "bot.db"}, "No homeserver is named"),
            ({"database": "bot.db", "homeserver": "http://127.0.0.1:9"}, "no access token"),
            ({"snapshot": "s", "database": "bot.db"}, "not both"),
            ({"snapshot": "s", "homeserver": "http://127.0.0.1:9"}, "not both"),
            ({"snapshot": "none"}, "Can't read the snapshot"),
        ],
    )
    async def test_a_side_that_is_missing_or_named_twice_is_one_sentence(
        self, bench: Bench, given: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(ToolkitError, match=words) as caught:
            await Session.open(**given)
        assert is_one_sentence(str(caught.value))

    async def test_the_token_shows_nowhere(self, session: Session) -> None:
        session.approve("!a1")
        done = await session.apply()
        shown = [repr(session), repr(vars(session)), repr(done), session._repr_html_()]
        assert TOKEN not in "".join(shown)
        kept = [path.read_bytes() for path in Path().iterdir() if path.is_file()]
        assert not any(TOKEN.encode() in data for data in kept)


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


class TestApplying:
    async def test_it_awaits_the_bots_own_function_with_decisions(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Options] = []

        async def spy(client: Any, store: Any, chat_mgr: Any, options: Options) -> Any:
            seen.append(options)
            return await reconcile(client, store, chat_mgr, options)

        monkeypatch.setattr(road, "reconcile", spy)
        session.approve("!a1")
        shown = session.plan.value.unit("!a1")
        await session.apply()
        [options] = seen
        assert shown and shown.change
        assert options.decisions and {u: d.change for u, d in options.decisions.items()} == {
            "!a1": shown.change.fingerprint
        }

    async def test_only_what_was_approved_is_written(self, session: Session, bench: Bench) -> None:
        before = bench.bytes()
        session.approve("!a1")
        done = await session.apply()
        assert bench.bytes().keys() - before.keys() == {A1, C1}
        assert {key: bench.bytes()[key] for key in before} == before
        assert done["restored_room_meta"] == ["!a1"] and done.rows == 2
        assert votes(session) == {"!a2": "pending", BOB: "pending"}

    async def test_nothing_approved_is_nothing_written(
        self, session: Session, bench: Bench
    ) -> None:
        session.reject(status="missing")
        before = bench.bytes()
        done = await session.apply()
        assert bench.bytes() == before and done.run is None and done.rows == 0
        assert "Written: 0 rows" in repr(done) and "reload" not in repr(done)

    async def test_approving_everything_ends_where_the_bots_start_up_ends(
        self, session: Session, bench: Bench, server: FakeHomeserver, tmp_path: Path
    ) -> None:
        other = Bench(tmp_path / "other.db", bench.world)
        other.fill({key: json.loads(value) for key, (_, value) in bench.bytes().items()})
        client = nio.AsyncClient(server.url, BOT)
        client.restore_login(BOT, "D", TOKEN)
        async with SQLiteStore(other.path) as store:
            await reconcile_matrix_state(client, store, ChatManager(store))
        await client.close()
        session.approve(status="missing")
        await session.apply()
        assert bench.bytes() == other.bytes() and session.plan.to_frame().empty

    async def test_what_moved_since_it_was_shown_is_left_alone_and_pending(
        self, session: Session, bench: Bench
    ) -> None:
        session.approve(["!a1", "!a2"])
        bench.put({C1: small_rows()[C1] | {"name": "mine"}})
        done = await session.apply()
        assert done.stale.keys() == {"!a1"} and "Left alone: !a1" in repr(done)
        assert bench.row(A2) == small_rows()[A2] and bench.row(A1) is None
        assert votes(session)["!a1"] == "pending"

    async def test_it_tells_how_far_it_is(self, session: Session) -> None:
        told: list[tuple[int, int, str]] = []
        session.approve(status="missing")
        await session.apply(progress=lambda *word: told.append(word))
        assert told[-1] == (3, 3, "") and len(told) > 3

    async def test_it_never_runs_twice_at_once(
        self, session: Session, bench: Bench, server: FakeHomeserver
    ) -> None:
        other = await look(bench, server)
        session.approve("!a1")
        other.approve("!a2")
        done = asyncio.Event()
        server.fault(Fault("/joined_rooms$", Hook(done.wait), times=1))
        first = asyncio.create_task(session.apply())
        await asyncio.sleep(0)
        for again in (session, other):
            with pytest.raises(ToolkitError, match="already writing"):
                await again.apply()
        done.set()
        await first
        await other.reload()
        assert (await other.apply()).rows == 1

    async def test_cancelled_before_the_first_write_it_has_written_nothing(
        self, session: Session, bench: Bench, server: FakeHomeserver
    ) -> None:
        before = bench.bytes()
        session.approve(status="missing")
        server.fault(Fault("/joined_rooms$", Hook(session.cancel)))
        done = await session.apply()
        assert done.cancelled and bench.bytes() == before and "Cancelled." in repr(done)
        assert set(votes(session).values()) == {"approved"}

    async def test_leaving_the_context_ends_a_run(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        async with await look(bench, server) as session:
            session.approve("!a1")
            task = asyncio.create_task(session.apply())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        done = await task
        assert done.cancelled and bench.row(A1) is None

    async def test_a_server_that_is_down_writes_nothing_and_keeps_the_decisions(
        self, session: Session, bench: Bench, server: FakeHomeserver
    ) -> None:
        session.approve("!a1")
        before = bench.bytes()
        server.fault(Fault("/joined_rooms$", Status(403, {"errcode": "M_FORBIDDEN"})))
        with pytest.raises(ToolkitError):
            await session.apply()
        assert bench.bytes() == before and votes(session)["!a1"] == "approved"


class TestAfterARun:
    """It is over: what goes wrong then takes nothing of its report away."""

    async def test_a_file_of_decisions_that_is_damaged_meanwhile(
        self, session: Session, bench: Bench, server: FakeHomeserver
    ) -> None:
        session.approve("!a1")
        file = session.decisions_file
        assert file
        server.fault(Fault("/joined_rooms$", Hook(lambda: file.write_text("{damaged")), times=1))
        done = await session.apply()
        assert (done.rows, bench.row(A1)) == (2, small_rows()[A1]) and done.run and done.backup
        assert "of before: Can't read the decisions" in repr(done)

    async def test_a_homeserver_that_is_gone_when_what_is_stale_is_looked_at_again(
        self, session: Session, bench: Bench, server: FakeHomeserver
    ) -> None:
        session.approve(["!a1", "!a2"])
        bench.put({C1: small_rows()[C1]})  # the first one is stale
        server.fault(Fault("/joined_rooms$", Status(403), after=1))
        done = await session.apply()
        assert done.rows == 1 and "!a1" in done.stale and bench.row(A2) is not None
        assert "of before" in done.warning

    async def test_both_displays_say_how_was_decided(self, session: Session) -> None:
        session.approve("!a1")
        assert "missing, approved" in repr(session)
        assert "missing, approved" in str(session._repr_html_())


class TestLookingBack:
    async def test_a_plan_of_taking_back_a_named_run_names_one(self, session: Session) -> None:
        session.approve("!a1")
        done = await session.apply()
        assert "await session.undo() does" in repr(session.plan_undo())
        assert "await session.undo(run) does" in repr(session.plan_undo(done.run))

    async def test_the_last_run_is_taken_back(self, session: Session, bench: Bench) -> None:
        before = bench.bytes()
        session.approve("!a1")
        done = await session.apply()
        assert session.history().index.tolist() == [done.run]
        shown = session.plan_undo()
        assert {k: row["after"] for k, row in shown.rows("!a1").items()} == {A1: None, C1: None}
        assert "would write 2 rows of 1 unit" in repr(shown) and "<pre" in shown._repr_html_()
        undone = await session.undo()
        assert bench.bytes() == before and undone.rows == 2
        assert "takes this back" in repr(done) and "takes this back" not in repr(undone)
        assert session.history()["undoes"].dropna().tolist() == [done.run]
        assert votes(session) == PENDING

    async def test_taking_back_twice_takes_back_the_run_before(self, session: Session) -> None:
        session.approve("!a1")
        await session.apply()
        session.approve("!a2")
        await session.apply()
        await session.undo()
        await session.undo()
        assert votes(session) == PENDING
        with pytest.raises(ToolkitError, match="no run that could"):
            await session.undo()

    async def test_a_run_is_taken_back_by_its_name(self, session: Session, bench: Bench) -> None:
        session.approve("!a1")
        first = await session.apply()
        session.approve("!a2")
        await session.apply()
        await session.undo(first.run)
        assert bench.row(A1) is None and bench.row(A2) is not None
        with pytest.raises(ToolkitError, match="no run 'never'"):
            await session.undo("never")

    async def test_what_the_bot_wrote_since_stays(self, session: Session, bench: Bench) -> None:
        session.approve("!a1")
        await session.apply()
        bench.put({C1: small_rows()[C1] | {"name": "mine"}})
        undone = await session.undo()
        assert "!a1" in undone.stale and bench.row(C1)["name"] == "mine"
        assert bench.row(A1) == small_rows()[A1]


class TestShowing:
    async def test_the_rows_of_a_unit_before_and_after_are_one_call_away(
        self, session: Session
    ) -> None:
        assert session.plan.rows("!a2") == {A2: {"before": None, "after": small_rows()[A2]}}
        with pytest.raises(ToolkitError, match="no unit"):
            session.plan.rows("!nobody")

    async def test_frames_are_copies(self, session: Session) -> None:
        for name in ("rooms", "rows", "drift"):
            frame = getattr(session, name)
            frame["mine"] = 1
            frame["key" if name == "drift" else "owner" if name == "rooms" else "user"].array[0] = (
                "x"
            )
            again = getattr(session, name)
            assert "mine" not in again.columns and not again.isin(["x"]).any(axis=None)

    async def test_a_look_gives_both_sides_in_order_which_frames_are_quickest_with(
        self, session: Session
    ) -> None:
        for found in (session._remote.rooms, session._local.rows):
            assert [*found] == sorted(found)

    async def test_frames_are_built_once_and_anew_when_something_else_is_shown(
        self, bench: Bench, session: Session
    ) -> None:
        def shown() -> list[pd.DataFrame]:
            plan = session.plan
            of_plan = [plan.to_frame(), plan.findings(), plan.changes()]
            return [session.rooms, session.rows, session.drift, *of_plan]

        def kept() -> list[int]:
            return [id(frame) for _, frame in session._shelf._built.values()]

        def fresh() -> list[pd.DataFrame]:
            session._shelf = Shelf()
            return shown()

        first, built = shown(), kept()
        assert len(built) == 5 and kept() == built
        for again, frame in zip(shown(), first, strict=True):
            pd.testing.assert_frame_equal(again, frame)
        assert kept() == built

        moves: list[Callable[[], object]] = [
            lambda: session.approve("!a2"),
            lambda: session.approve("!a1", chat_id="C7"),
            lambda: session.withdraw("!a1"),
        ]
        for move in moves:
            move()
            for found, frame in zip(shown(), fresh(), strict=True):
                pd.testing.assert_frame_equal(found, frame)
        assert not session.plan.to_frame().equals(first[3])

        bench.put({A2: small_rows()[A2]})
        await session.reload()
        assert not session.rows.equals(first[1]) and "!a2" not in session.drift["unit"].tolist()

    async def test_it_draws_a_map(self, session: Session) -> None:
        assert session.plot()._repr_png_().startswith(b"\x89PNG")

    async def test_map_and_summary_count_alike(self, session: Session) -> None:
        assert "3 × a row is missing" in repr(session)
        assert "a row is missing 3" in repr(session.plot())
