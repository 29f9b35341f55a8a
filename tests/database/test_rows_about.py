"""Rows of a few rooms and users: all that concern them, and hardly any other."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bench import Bench
from tests.worlds import USERS, Sides, worlds
from toolkit.database.look import MANY_NAMES, load_look
from toolkit.database.store import InMemoryStore, SQLiteStore
from toolkit.records import (
    NULL,
    ChatRow,
    LocalState,
    Names,
    RoomRow,
    UserRow,
    chat_key,
    load_records,
    parse_key,
    room_key,
    user_key,
)

ALICE, BOB = "@alice:hs", "@bob:hs"


def names(rooms: tuple[str, ...] = (), users: tuple[str, ...] = ()) -> Names:
    return Names(frozenset(rooms), frozenset(users))


def concerned(local: LocalState, about: Names) -> set[str]:
    """The keys of the rows that concern these names, as reading all of them tells."""
    return {key for key in local.rows if _concerns(key, local, about)}


def _concerns(key: str, local: LocalState, about: Names) -> bool:
    name = parse_key(key)
    row = local.row(name)
    if isinstance(row, RoomRow) and row.matrix_user_id in about.users:
        return True
    named = row.surface_ref if isinstance(row, ChatRow) else ""
    named = row.space_id if isinstance(row, UserRow) else named
    return name.user in about.users or not about.rooms.isdisjoint((name.room_id, named))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(), st.data())
async def test_every_row_that_concerns_them_is_found(sides: Sides, data: st.DataObject) -> None:
    rooms = data.draw(st.lists(st.sampled_from([*sides.rooms, "!ghost"]), max_size=3))
    about = names(tuple(rooms), tuple(data.draw(st.lists(st.sampled_from(USERS), max_size=2))))
    rows = {key: raw for key, raw in sides.rows.items() if raw is not NULL}
    with TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / "bot.db")
        bench.fill({**rows, "bot:own": {"x": 1}})
        async with SQLiteStore(bench.path) as store:
            whole, some = load_records(await store.load_rows()), await store.load_rows(about)
    local = load_records(some)
    assert len(dict(some)) == len(some)
    assert local.rows.items() <= whole.rows.items()
    assert concerned(whole, about) <= local.rows.keys()
    assert local.blobs == whole.blobs  # new rows are stored alike


@pytest.mark.parametrize(
    "user",
    [
        "@a_b:hs",
        "@a%b:hs",
        "@жора:hs",
        "@a/b=c+d&e:hs",
        "@quote\"s\\'back:hs",
        "@A:hs",
        "@\udcff:hs",
    ],
)
@pytest.mark.parametrize("escaped", [True, False])
async def test_an_id_is_found_however_it_is_escaped(
    tmp_path: Path, user: str, escaped: bool
) -> None:
    row = json.dumps({"matrix_user_id": user, "chat_id": "C1"}, ensure_ascii=escaped)
    slashed = row.replace("/", "\\/").replace("=", "\\u003D").replace("&", "\\u0026")
    bench = Bench(tmp_path / "bot.db")
    bench.fill({room_key("!a"): row, room_key("!b"): slashed, room_key("!other"): {"x": BOB}})
    bench.put({room_key("!c"): row.encode("utf-8", "surrogateescape")})
    async with SQLiteStore(bench.path) as store:
        found = dict(await store.load_rows(names(users=(user,))))
    assert {room_key(room) for room in ("!a", "!b", "!c")} <= found.keys()


async def test_hardly_any_other_row_comes_along(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bot.db")
    rows: dict[str, Any] = {
        user_key(ALICE): {"space_id": "!s"},
        user_key(BOB): {"space_id": "!t"},
        room_key("!a"): {"matrix_user_id": ALICE},
        room_key("!b"): {"matrix_user_id": BOB},
        chat_key(ALICE, "C1"): {"surface_ref": "!a"},
        chat_key(BOB, "C1"): {"surface_ref": "!b"},
        chat_key(BOB, "C2"): {"surface_ref": "!a"},
        "other:row": {"surface_ref": "!a"},
    }
    bench.fill(dict(sorted(rows.items())))
    samples = {chat_key(ALICE, "C1"), room_key("!a"), user_key(ALICE)}
    async with SQLiteStore(bench.path) as store:

        async def found(*about: tuple[str, ...]) -> set[str]:
            return {key for key, _ in await store.load_rows(names(*about))} - samples

        assert await found() == set()
        assert await found(("!a",)) == {chat_key(BOB, "C2")}
        assert await found(("!t",)) == {user_key(BOB)}
        assert await found((), (BOB,)) == rows.keys() - samples - {"other:row"}


async def test_of_very_many_names_and_in_a_store_that_cannot_tell_all_rows_are_read(
    bench: Bench,
) -> None:
    few, many = (names(tuple(f"!r{n}" for n in range(count))) for count in (1, MANY_NAMES + 1))
    async with SQLiteStore(bench.path) as store:
        whole = await load_look(store)
        assert whole.about is None and whole.covers(many) and whole.covers(None)
        look = await load_look(store, few)
        assert look.about == few and look.covers(few) and look.covers(names())
        assert not look.covers(many) and not look.covers(None)
        assert await load_look(store, many) == whole
    plain = InMemoryStore({key: {"x": 1} for key in ("chat:a", "chat:b")})
    assert (await load_look(plain, few)).covers(None)


async def test_a_token_of_one_connection_is_none_of_another(bench: Bench) -> None:
    store = SQLiteStore(bench.path)
    tokens = []
    for _ in range(2):
        async with store:
            tokens.append(await store.version())
    assert tokens[0] != tokens[1]
