"""Rows in the database after a repair: the fields that were wrong, and else the bytes of before."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.bench import A1, ALICE, C1, UA, Bench, SyncManager, small_rows, states
from toolkit import ChatManager, SQLiteStore
from toolkit.database.chat_manager import ChatContext
from toolkit.database.look import load_look
from toolkit.records import chat_key, new_chat_row
from toolkit.writing.undo import undo

ODD = {
    UA: '{ "\\u0441": 1.0, "x":1e5,"x": 2, "space_id": "!gone",\n"next_chat_index" : 1}',
    A1: (
        '{"room_type": "chat", "chat_id": "C1","display_name":"\\u0427", "mood":"\\ud83d",'
        '"matrix_user_id": "@alice:hs", "space_id": "!x", "space_id": "!y", "n": NaN }\n'
    ),
    C1: (
        '{"user_id":"@alice:hs","chat_id":"C1", "surface_ref": "!gone","platform":"matrix",'
        '"paid" : [ 1.50 ],"name":"\\u0427\\u0430\\u0442"}'
    ),
}
RIGHT = {
    UA: '{ "\\u0441": 1.0, "x":1e5,"x": 2, "space_id": "!alice",\n"next_chat_index" : 3}',
    A1: (
        '{"room_type": "chat", "chat_id": "C1","display_name":"Чат 1", "mood":"\\ud83d",'
        '"matrix_user_id": "@alice:hs", "space_id": "!alice", "space_id": "!alice", "n": NaN }\n'
    ),
    C1: ODD[C1].replace("!gone", "!a1"),
}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "bot.db")


@pytest.mark.parametrize("mark", [None, b"", b"\xef\xbb\xbf"], ids=["text", "blob", "marked blob"])
async def test_a_repair_shows_and_writes_the_same_and_keeps_the_rest_to_the_byte(
    bench: Bench, mark: bytes | None
) -> None:
    def stored(rows: dict[str, str]) -> dict[str, Any]:
        return {key: row if mark is None else mark + row.encode() for key, row in rows.items()}

    bench.fill(small_rows() | stored(ODD))
    before = bench.bytes()
    async with SQLiteStore(bench.path) as store:
        plan = bench.plan(await load_look(store))
        planned = {w.key: w.after for unit in plan.units if unit.change for w in unit.change.writes}
        assert planned == stored(RIGHT)
        result = await bench.run(store)
        kind = "text" if mark is None else "blob"
        now = {key: (kind, (mark or b"") + row.encode()) for key, row in RIGHT.items()}
        assert bench.bytes() == before | now
        await undo(store, result.run or "")
    assert bench.bytes() == before


class Spaced(SyncManager):
    """A manager that writes its rows in a way of its own, and the platform otherwise than planned."""

    def get_or_create(
        self, user_id: str, chat_id: str, platform: str, surface_ref: str, name: str | None = None
    ) -> None:
        with closing(sqlite3.connect(self.path, timeout=1)) as database, database:
            database.execute(
                "INSERT INTO kv VALUES (?, ?)", (chat_key(user_id, chat_id), spaced("telegram"))
            )


class Joined(ChatManager):
    """The same through the store's own connection."""

    async def get_or_create(self, *args: Any, **named: Any) -> ChatContext:
        context = await super().get_or_create(*args, **named)
        assert isinstance(self.store, SQLiteStore)
        async with self.store.transaction() as transaction:
            statement = "UPDATE kv SET value = ? WHERE key = ?"
            await transaction.connection().run(statement, (spaced("telegram"), C1))
        return context


def spaced(platform: str) -> str:
    row = new_chat_row(ALICE, "C1", platform, "!a1", "Ж")
    return json.dumps({"\u0441": 1.0, **row}, separators=(" , ", " : "))


@pytest.mark.parametrize("joined", [False, True])
async def test_what_a_manager_wrote_otherwise_is_put_right_and_the_rest_of_its_row_stays(
    bench: Bench, joined: bool
) -> None:
    rows = small_rows()
    del rows[C1]
    bench.fill(rows)
    before = bench.bytes()
    async with SQLiteStore(bench.path) as store:
        result = await bench.run(store, Joined(store) if joined else Spaced(bench.path))
        assert states(result) == {"!a1": "applied"}
        assert bench.bytes()[C1] == ("text", spaced("matrix").encode())
        await undo(store, result.run or "")
    assert bench.bytes() == before


async def test_a_database_that_keeps_a_managers_row_from_being_put_right_fails_its_unit(
    bench: Bench,
) -> None:
    rows = small_rows()
    del rows[C1]
    bench.fill(rows)
    bench.sql("CREATE TRIGGER stays BEFORE UPDATE ON kv BEGIN SELECT RAISE(IGNORE); END")
    async with SQLiteStore(bench.path) as store:
        result = await bench.run(store, Spaced(bench.path))
    assert states(result) == {"!a1": "failed"}
    assert "ignored the write" in result.outcomes["!a1"].detail
    assert bench.bytes()[C1] == ("text", spaced("telegram").encode())
