"""A session: how it is opened, what it shows, and what of past runs it finds when it looks back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nio
import pandas as pd
import pytest

from tests.bench import A1, A2, BOT, C1, TOKEN, Bench, small_rows
from tests.boards import look
from tests.clients import is_one_sentence
from tests.session.votes import PENDING, votes
from toolkit import ChatManager, InMemoryStore, Session, SQLiteStore, ToolkitError
from toolkit.frames import Shelf
from toolkit.testing import FakeHomeserver


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

    async def test_sliding_sync_is_used_to_look_and_to_apply_unless_told_otherwise(
        self, bench: Bench, server: FakeHomeserver, tmp_path: Path
    ) -> None:
        server.sliding_sync = True
        for number in range(9):
            bench.world.room(f"!lobby{number}")
        (tmp_path / "matrix-drift.toml").write_text("sliding_sync = false\n")
        for wanted, slides in ((None, False), (True, True), (False, False)):
            server.requests.clear()
            session = await look(bench, server, sliding_sync=wanted)
            session.approve(session.pending().index[0])
            await session.apply()
            methods = [request.method for request in server.requests]
            assert methods.count("POST") == (2 if slides else 0)

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
            ({}, "No homeserver .* No database .* no access token: .* `matrix-drift demo`"),
            ({"access_token": "t", "homeserver": "http://127.0.0.1:9"}, "No database is named"),
            ({"database": "bot.db", "access_token": "t"}, "No homeserver is named"),
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
        for found in (session.state.remote.rooms, session.state.local.rows):
            assert [*found] == sorted(found)

    async def test_frames_are_built_once_and_anew_when_something_else_is_shown(
        self, bench: Bench, session: Session
    ) -> None:
        def shown() -> list[pd.DataFrame]:
            plan = session.plan
            of_plan = [plan.to_frame(), plan.findings(), plan.changes()]
            return [session.rooms, session.rows, session.drift, *of_plan]

        def kept() -> list[int]:
            return [id(frame) for _, frame in session._looking.shelf._built.values()]

        def fresh() -> list[pd.DataFrame]:
            session._looking.shelf = Shelf()
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
