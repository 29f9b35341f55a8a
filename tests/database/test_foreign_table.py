"""A table that isn't the bot's table of JSON objects is refused as a whole (rules 1)."""

import asyncio
import base64
import gzip
import json
import pickle
import sqlite3
import zlib
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from tests.bench import A1, ALICE, BOT, C1, C2, CB, TOKEN, UA, UB, Bench, small_rows
from toolkit import InMemoryStore, Session, SQLiteStore
from toolkit.cli import run as run_command
from toolkit.database.foreign_table import why_no_objects
from toolkit.database.look import load_look
from toolkit.errors import StoreError
from toolkit.records import NULL, Raw
from toolkit.testing import FakeHomeserver

SECRET = "a very private name"
KV = "CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT)"
READ_ONLY = pytest.mark.parametrize("read_only", [True, False])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.db"


def run(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)


def put(path: Path, rows: Mapping[str, Raw], columns: str = "key, value") -> None:
    with closing(sqlite3.connect(path)) as database, database:
        for key, raw in rows.items():
            value = None if raw is NULL else raw
            database.execute(f"INSERT INTO kv ({columns}) VALUES (?, ?)", (key, value))


def make(path: Path, rows: Mapping[str, Raw], *statements: str) -> None:
    run(path, *(statements or (KV,)))
    put(path, rows)


def texts(rows: Mapping[str, Any]) -> dict[str, Raw]:
    return {key: json.dumps(row) for key, row in rows.items()}


async def refusal(path: Path, **options: Any) -> str:
    """What is said when the store is opened: one sentence, without a value; the file stays."""
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        async with SQLiteStore(path, **options):
            pass
    said = str(caught.value)
    assert str(path) in said and "\n" not in said and said.endswith(".")
    assert SECRET not in said
    assert path.read_bytes() == before
    return said


# Keys that aren't unique.

REPEATED_KEYS = {
    "a composite primary key": (
        (
            "CREATE TABLE kv (bot TEXT DEFAULT 'test', key TEXT, value TEXT, PRIMARY KEY (bot, key))",
        ),
        "unique only together with 'bot'",
    ),
    "one without rowid": (
        (
            "CREATE TABLE kv (bot DEFAULT 'test', key TEXT, value TEXT, PRIMARY KEY (key, bot))"
            " WITHOUT ROWID",
        ),
        "unique only together with 'bot'",
    ),
    "a composite constraint": (
        ("CREATE TABLE kv (id INTEGER PRIMARY KEY, bot, KEY TEXT, value TEXT, UNIQUE (KEY, bot))",),
        "unique only together with 'bot'",
    ),
    "a composite index": (
        (
            "CREATE TABLE kv (key TEXT, value TEXT, bot, shard)",
            "CREATE UNIQUE INDEX i ON kv (bot, key, shard)",
        ),
        "unique only together with 'bot', 'shard'",
    ),
    "an index with an expression beside": (
        (
            "CREATE TABLE kv (key TEXT, value TEXT)",
            "CREATE UNIQUE INDEX i ON kv (key, value || '')",
        ),
        "unique only together with an expression",
    ),
    "soft delete": (
        (
            "CREATE TABLE kv (key TEXT, value TEXT, deleted_at)",
            "CREATE UNIQUE INDEX active ON kv (key) WHERE deleted_at IS NULL",
        ),
        "unique only among some rows (the index 'active' is partial)",
    ),
    "an index of an expression": (
        ("CREATE TABLE kv (key TEXT, value TEXT)", "CREATE UNIQUE INDEX i ON kv (lower(key))"),
        "'key' is neither the PRIMARY KEY, nor UNIQUE",
    ),
    "an index that isn't unique": (
        ("CREATE TABLE kv (key TEXT, value TEXT)", "CREATE INDEX i ON kv (key)"),
        "'key' is neither the PRIMARY KEY, nor UNIQUE",
    ),
    "another column is unique": (
        ("CREATE TABLE kv (key TEXT, value TEXT UNIQUE)",),
        "'key' is neither the PRIMARY KEY, nor UNIQUE",
    ),
}


@READ_ONLY
@pytest.mark.parametrize("table", REPEATED_KEYS)
async def test_a_table_whose_keys_are_not_unique_is_refused(
    path: Path, table: str, read_only: bool
) -> None:
    """Also for reading: of several rows under one key, one would be taken for the row."""
    statements, words = REPEATED_KEYS[table]
    make(path, texts(small_rows()), *statements)
    said = await refusal(path, read_only=read_only)
    assert words in said
    assert "--table, --key-column" in said


@READ_ONLY
async def test_a_column_of_numbers_holds_no_keys(path: Path, read_only: bool) -> None:
    run(path, "CREATE TABLE kv (id INTEGER PRIMARY KEY, key TEXT UNIQUE, value TEXT)")
    put(path, texts(small_rows()))
    said = await refusal(path, read_only=read_only, key_column="id")
    assert "'id' is the number of the row" in said


UNIQUE_KEYS = {
    "another collation": ("CREATE TABLE kv (key TEXT PRIMARY KEY COLLATE NOCASE, value TEXT)",),
    "an index of another collation": (
        "CREATE TABLE kv (key TEXT, value TEXT)",
        "CREATE UNIQUE INDEX i ON kv (key COLLATE NOCASE)",
    ),
    "without rowid": ("CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID",),
    "a constraint": (
        "CREATE TABLE kv (id INTEGER PRIMARY KEY, key TEXT, value TEXT, UNIQUE (key))",
    ),
    "an index": (
        "CREATE TABLE kv (Key TEXT, value TEXT)",
        "CREATE UNIQUE INDEX i ON kv (KEY DESC)",
    ),
    "more than one index": (
        "CREATE TABLE kv (key TEXT UNIQUE, value TEXT, bot, UNIQUE (bot, key))",
        "CREATE UNIQUE INDEX some ON kv (key) WHERE bot IS NULL",
    ),
    "no type": ("CREATE TABLE kv (key PRIMARY KEY, value)",),
    "strict": ("CREATE TABLE kv (key TEXT PRIMARY KEY, value ANY) STRICT",),
}


@pytest.mark.parametrize("table", UNIQUE_KEYS)
async def test_however_keys_are_unique_the_table_is_read_and_written(
    path: Path, table: str
) -> None:
    make(path, texts(small_rows()), *UNIQUE_KEYS[table])
    async with SQLiteStore(path, read_only=True) as store:
        assert dict(await store.load_rows()) == texts(small_rows())
    async with SQLiteStore(path) as store:
        await store.set(C1, {"new": 1})
        await store.set("chat:x", {"new": 2})
        assert (await store.get(C1), await store.get("chat:x")) == ({"new": 1}, {"new": 2})


async def test_a_key_in_another_case_is_another_row_where_only_an_index_ignores_case(
    path: Path,
) -> None:
    make(path, {"chat:A": "{}"}, *UNIQUE_KEYS["an index of another collation"])
    async with SQLiteStore(path) as store:
        assert await store.get("chat:a") is None
        with pytest.raises(StoreError, match="a trigger or constraint of the table ignored it"):
            await store.set("chat:a", {"mine": 1})
        assert await store.load_rows() == [("chat:A", "{}")]


# Views.


async def test_a_view_of_one_bots_rows_is_read_and_not_written(path: Path) -> None:
    make(path, texts(small_rows()), REPEATED_KEYS["a composite primary key"][0][0])
    put(path, {C1: "{}"}, "bot, value")  # as another bot's
    run(path, "CREATE VIEW mine AS SELECT key, value FROM kv WHERE bot = 'test'")
    async with SQLiteStore(path, table="mine", read_only=True) as store:
        assert (await load_look(store)).rows == texts(small_rows())
    assert "it is a view; open it with read_only=True" in await refusal(path, table="mine")


async def test_a_view_in_which_a_key_stands_twice_is_refused(path: Path) -> None:
    make(path, texts(small_rows()), "CREATE TABLE kv (key TEXT, value TEXT, bot)")
    run(path, "CREATE VIEW mine AS SELECT key, value FROM kv")
    async with SQLiteStore(path, table="mine", read_only=True) as store:
        put(path, {C1: "{}"})
        with pytest.raises(StoreError, match="a key stands for several rows"):
            await load_look(store)
    assert "a key stands for several rows" in await refusal(path, table="mine", read_only=True)


# Generated columns.


@pytest.mark.parametrize("kind", ["VIRTUAL", "STORED"])
async def test_a_generated_value_is_read_and_not_written(path: Path, kind: str) -> None:
    run(
        path,
        f"""CREATE TABLE kv (key TEXT PRIMARY KEY, raw TEXT,
            value TEXT GENERATED ALWAYS AS (json_set(raw, '$.seen', 1)) {kind})""",
    )
    put(path, texts({C1: {"n": 1}}), "key, raw")
    async with SQLiteStore(path, read_only=True) as store:
        assert await store.get(C1) == {"n": 1, "seen": 1}
    said = await refusal(path)
    assert "its column 'value' is generated from others" in said
    assert "read_only=True" in said


async def test_a_generated_key_is_read_and_not_written(path: Path) -> None:
    run(
        path,
        """CREATE TABLE kv (mxid TEXT, value TEXT,
            key TEXT GENERATED ALWAYS AS ('matrix_user:' || mxid) STORED UNIQUE)""",
    )
    put(path, texts({ALICE: small_rows()[UA]}), "mxid, value")
    async with SQLiteStore(path, read_only=True) as store:
        assert await store.get(UA) == small_rows()[UA]
    assert "its column 'key' is generated from others" in await refusal(path)


async def test_other_generated_columns_are_no_matter(path: Path) -> None:
    run(
        path,
        """CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT,
            size INTEGER GENERATED ALWAYS AS (length(value)) VIRTUAL,
            owner TEXT AS (json_extract(value, '$.user_id')) STORED)""",
    )
    async with SQLiteStore(path) as store:
        await store.set(C1, {"user_id": ALICE})
        await store.set(C1, {"user_id": BOT})
        assert await store.load_rows() == [(C1, f'{{"user_id":"{BOT}"}}')]


# Keys that aren't text.


@READ_ONLY
@pytest.mark.parametrize("family", ["chat:", "matrix_room:", "matrix_user:"])
async def test_a_table_with_keys_that_are_blobs_is_refused(
    path: Path, family: str, read_only: bool
) -> None:
    """An insert of the same key as text would be a second row, which the bot never sees."""
    make(path, texts(small_rows()))
    put(path, {f"{family}x": "{}"})
    run(path, f"UPDATE kv SET key = CAST(key AS BLOB) WHERE key = '{family}x'")
    said = await refusal(path, read_only=read_only)
    assert f"it holds keys under '{family}' that are BLOBs" in said


async def test_blobs_that_are_no_keys_of_ours_are_no_matter(path: Path) -> None:
    make(path, texts(small_rows()))
    for key in (b"chat", b"chat;x", b"settings", b"\xff", b""):
        run(path, f"INSERT INTO kv VALUES (x'{key.hex()}', 'anything')")
    async with SQLiteStore(path) as store:
        assert dict(await store.load_rows()) == texts(small_rows())


async def test_keys_that_turn_into_blobs_later_are_refused_by_the_next_look(path: Path) -> None:
    make(path, texts(small_rows()))
    async with SQLiteStore(path) as store:
        look = await load_look(store)
        run(path, "UPDATE kv SET key = CAST(key AS BLOB)")
        with pytest.raises(StoreError, match="that are BLOBs"):
            await load_look(store)
        assert look.rows


# Values that aren't JSON objects.

ENCODERS: dict[str, tuple[Callable[[Any], Raw], str]] = {
    "pickle": (pickle.dumps, "pickle"),
    "an old pickle": (lambda row: pickle.dumps(row, 0), ""),
    "zlib": (lambda row: zlib.compress(json.dumps(row).encode()), "zlib"),
    "gzip": (lambda row: gzip.compress(json.dumps(row).encode()), "gzip"),
    "JSON in JSON": (lambda row: json.dumps(json.dumps(row)), "JSON in a JSON text"),
    "JSON in JSON, as BLOB": (
        lambda row: json.dumps(json.dumps(row)).encode(),
        "JSON in a JSON text",
    ),
    "JSON arrays": (lambda row: json.dumps([row]), "a JSON array"),
    "Python's repr": (repr, "Python's repr"),
    "msgpack": (msgspec.msgpack.encode, ""),
    "base64": (lambda row: base64.b64encode(json.dumps(row).encode()).decode(), ""),
    "YAML": (yaml.safe_dump, ""),
    "NULL": (lambda row: NULL, ""),
    "numbers": (len, ""),
    "nothing": (lambda row: "", ""),
}


@READ_ONLY
@pytest.mark.parametrize("encoding", ENCODERS)
async def test_a_table_that_holds_no_json_objects_is_refused(
    path: Path, encoding: str, read_only: bool
) -> None:
    encode, looks = ENCODERS[encoding]
    make(path, {key: encode(row | {"x": SECRET}) for key, row in small_rows().items()})
    said = await refusal(path, read_only=read_only)
    assert "none of its 3 rows under 'chat:' is a JSON object" in said
    assert (f"(the first looks like {looks})" in said) if looks else ("looks like" not in said)


async def test_one_family_without_json_objects_is_enough(path: Path) -> None:
    rows = texts(small_rows())
    for key in (C1, C2, CB):
        rows[key] = zlib.compress(str(rows[key]).encode())
    make(path, rows)
    assert "none of its 3 rows under 'chat:' is a JSON object" in await refusal(path)


async def test_three_rows_of_all_families_together_are_enough(path: Path) -> None:
    make(path, dict.fromkeys((UA, A1, C1), "x") | {"settings": "{}"})
    assert "none of its 3 rows is a JSON object" in await refusal(path)


@pytest.mark.parametrize("bad", [(C1, C2), (UA, UB), (C1,), (A1, C1), (UA, UB, C1, C2)])
async def test_one_or_two_unreadable_rows_are_no_more_than_that(
    path: Path, bad: tuple[str, ...]
) -> None:
    make(path, texts(small_rows()) | dict.fromkeys(bad, "x"))
    async with SQLiteStore(path) as store:
        assert (await load_look(store)).rows[bad[0]] == "x"


async def test_two_rows_and_no_other_may_both_be_unreadable(path: Path) -> None:
    make(path, {UA: NULL, C1: "["})
    async with SQLiteStore(path) as store:
        assert (await load_look(store)).rows == {UA: NULL, C1: "["}


@pytest.mark.parametrize("count", [2, 5, 300])
@pytest.mark.parametrize("place", ["first", "last"])
async def test_one_object_among_many_unreadable_rows_makes_the_table_ours(
    path: Path, count: int, place: str
) -> None:
    """They were written by one bot, and something happened to them."""
    good = f"chat:{'0' if place == 'first' else 'z'}"
    make(path, {f"chat:a{number}": "x" for number in range(count)} | {good: "{}"})
    async with SQLiteStore(path) as store:
        assert len((await load_look(store)).rows) == count + 1


@pytest.mark.parametrize("object_", ["{}", '{"other": 1}', '{"surface_ref": 7}', b'{"a": 1}'])
async def test_objects_that_lack_what_is_needed_are_objects(path: Path, object_: Raw) -> None:
    make(path, dict.fromkeys(small_rows(), object_))
    async with SQLiteStore(path) as store:
        assert len((await load_look(store)).rows) == len(small_rows())


async def test_rows_of_no_family_are_not_looked_at(path: Path) -> None:
    make(path, {f"cache:{number}": pickle.dumps(number) for number in range(9)})
    async with SQLiteStore(path) as store:
        await store.set(C1, {})
        assert await store.load_rows() == [(C1, "{}")]


async def test_what_is_pickled_after_the_opening_is_refused_by_the_next_look_and_by_the_writer(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path / "bot.db")
    bench.fill({key: row for key, row in small_rows().items() if key not in (A1, C1)})

    def pickled() -> None:
        bench.put({key: pickle.dumps(row) for key, row in small_rows().items() if key != A1})

    async with SQLiteStore(bench.path) as store:
        with pytest.raises(StoreError, match="the first looks like pickle"):
            await bench.run(store, meanwhile=pickled)
        with pytest.raises(StoreError, match="the first looks like pickle"):
            await load_look(store)
    assert bench.sql(f"SELECT count(*) FROM kv WHERE key = '{A1}'") == [(0,)]
    assert not bench.backups() and not bench.journal.exists()


class Pickling(InMemoryStore):
    """A plain store that hands out what it can't decode as its ValueError, or as text."""

    async def get(self, key: str) -> Any:
        if key.startswith("chat:"):
            return SECRET
        if key.startswith("matrix_room:"):
            raise ValueError(SECRET)
        return await super().get(key)


async def test_a_plain_store_without_json_objects_is_refused(tmp_path: Path) -> None:
    store = Pickling(small_rows())
    with pytest.raises(StoreError) as caught:
        await load_look(store)
    said = str(caught.value)
    assert "Can't use the bot's store: none of its 3 rows under 'chat:' is a JSON object" in said
    assert SECRET not in said and "--table" not in said
    two = Pickling(
        {key: row for key, row in small_rows().items() if key not in (C2, "matrix_room:!a2")}
    )
    assert len((await load_look(two)).rows) == len(small_rows()) - 2


def test_no_more_is_decoded_than_up_to_the_first_object(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        (f"{family}{number}", "{}") for family in ("chat:", "matrix_room:") for number in range(9)
    ]
    decoded: list[Raw] = []

    def decode(raw: Raw) -> dict[str, Any]:
        decoded.append(raw)
        return {}

    monkeypatch.setattr("toolkit.database.foreign_table.decode_object", decode)
    assert why_no_objects(rows) is None
    assert len(decoded) == 2


# Whoever opens it.


async def test_bot_session_and_command_line_all_refuse_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(tmp_path / "bot.db")
    make(bench.path, texts(small_rows()), REPEATED_KEYS["a composite primary key"][0][0])
    words = "unique only together with 'bot'"
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        for read_only in (False, True):
            with pytest.raises(StoreError, match=words):
                async with SQLiteStore(bench.path, read_only=read_only):
                    pass
        with pytest.raises(StoreError, match=words):
            await Session.open(homeserver=server.url, access_token=TOKEN, database=bench.path)
        monkeypatch.setenv("MATRIX_ACCESS_TOKEN", TOKEN)
        monkeypatch.chdir(tmp_path)
        for command in (["check"], ["plan"], ["apply", "--approve-certain"], ["history"]):
            sides = ["--database", str(bench.path)]
            if command != ["history"]:
                sides += ["--homeserver", server.url]
            assert await asyncio.to_thread(run_command, [*command, *sides]) == 1
            assert words in capsys.readouterr().err
