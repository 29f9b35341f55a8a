"""Keys that end with a space, in what the writer says: quoted, so that the space is seen."""

import json
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.bench import A1, ALICE, BOT, Bench, small_rows
from tests.scenario import right_rows
from toolkit import InMemoryStore, SQLiteStore
from toolkit.database.sql import RowChange
from toolkit.decisions.decision import Decision, second_spaces, stale_decisions
from toolkit.errors import RemoteIncomplete, StoreError
from toolkit.homeserver.belonging import check_belonging
from toolkit.model import (
    Change,
    Choices,
    Code,
    Finding,
    Plan,
    Reason,
    RemoteState,
    RowWrite,
    Skip,
    Status,
    Unit,
    UnitKind,
)
from toolkit.records import Raw, chat_key, load_records, room_key, user_key
from toolkit.testing import World
from toolkit.writing.read_back import NotTaken, why_not_taken
from toolkit.writing.report import build_report
from toolkit.writing.staleness import compare_rows, why_stale
from toolkit.writing.undo import plan_undo

USER, ROOM, SPACE = "@a:hs ", "!a ", "!s "
KEY = chat_key(USER, "C1 ")
PLAN = Plan(account="@bot:hs", joined=(), spaces={SPACE: (SPACE, ROOM)})


def unit(kind: UnitKind = UnitKind.ROOM, **more: object) -> Unit:
    told = {
        "id": ROOM if kind is UnitKind.ROOM else USER,
        "status": Status.MISSING,
        "findings": (),
        "owner": USER,
        "chat_id": "C1 ",
        "space_id": SPACE,
        "room_ids": (ROOM,),
        "change": Change((RowWrite("mine ", "1", "2"),)),
    }
    return Unit(kind=kind, **(told | more))  # type: ignore[arg-type]


def row(**fields: str) -> str:
    return json.dumps({"chat_id": "C1 ", "space_id": SPACE, "surface_ref": ROOM, **fields})


def told(text: str | None, *named: str) -> None:
    """The text names these, and none of them bare."""
    assert text
    for name in named:
        assert f'"{name}"' in text
    bare = re.sub(r'"[^"]*"', "", text)
    assert not [name for name in (USER, ROOM, SPACE, *named) if name in bare]


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        (UnitKind.ROOM, "mine ", "3"),
        (UnitKind.USER, user_key(USER), "{}"),
        (UnitKind.ROOM, room_key(ROOM), row(matrix_user_id=USER)),
        (UnitKind.ROOM, room_key("!b "), row(matrix_user_id=USER)),
        (UnitKind.ROOM, room_key(SPACE), row(matrix_user_id="@b:hs", chat_id="C2")),
    ],
)
def test_why_a_unit_is_stale(kind: UnitKind, key: str, value: str) -> None:
    told(why_stale(unit(kind), PLAN, compare_rows({}, {key: value})), key)


@pytest.mark.parametrize("key", ["mine ", "audit ", KEY])
def test_why_a_foreign_unit_is_stale(key: str) -> None:
    plan = Plan(account="@bot:hs", joined=(), foreign=True)
    change = Change((RowWrite(KEY, None, row()),)) if key == KEY else unit().change
    moved = compare_rows({}, {chat_key(USER, "C2 ") if key == KEY else key: row()})
    told(why_stale(unit(change=change), plan, moved), *moved.keys)


def test_what_the_database_did_not_take() -> None:
    change = RowChange(KEY, None, "{}")
    rows: list[dict[str, Raw]] = [{KEY: "[]"}, {}, {"twin ": "{}"}]
    for now in rows:
        told(why_not_taken(NotTaken(change), now).detail, KEY, *now)
    told(why_not_taken(NotTaken(change, changed=["n"]), {}).detail, KEY)


def test_why_decisions_cannot_be_followed() -> None:
    other = unit(id="!b ", space_id="!t ", room_ids=("!b ",))
    [why] = second_spaces([unit(), other]).values()
    told(why, USER, SPACE)
    approved = Decision(change="x", choices=Choices(space_id="!x "))
    picked = {ROOM: Decision(choices=Choices(space_id="!x "))}
    told(stale_decisions(Plan(account="", joined=(), units=(unit(),)), picked)[ROOM], "!x ")
    gone = Plan(
        account="",
        joined=(),
        units=(unit(UnitKind.USER, room_ids=(SPACE,)),),
        skipped=(Skip(SPACE, Reason.SPACE),),
    )
    told(stale_decisions(gone, {SPACE: approved})[SPACE], USER)


def test_what_a_note_says_a_row_said() -> None:
    finding = Finding(
        unit=ROOM, code=Code.WRONG_SURFACE_REF, key=KEY, cause="it moved", local="!x ", remote=ROOM
    )
    lower = Finding(
        unit=ROOM, code=Code.COUNTER_TOO_HIGH, key=KEY, cause="it is", local=9, remote=2
    )
    plan = Plan(account="", joined=(), units=(unit(findings=(finding, lower)),))
    first, second = sorted(note["detail"] for note in build_report(plan, {})["notes"])
    assert (first, second) == (
        "it is (was 9, should be 2)",
        'it moved (was "!x ", should be "!a ")',
    )


def test_whose_rows_another_account_has() -> None:
    rows = [(room_key(f"!r{i}"), row(matrix_user_id=USER)) for i in range(20)]
    with pytest.raises(RemoteIncomplete, match='that "@bot:hs " is in'):
        check_belonging(load_records(rows), RemoteState("@bot:hs ", {}))


async def test_a_twin_that_the_table_takes_for_the_same_key_is_told_from_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bot.db")
    with closing(sqlite3.connect(bench.path)) as database, database:
        database.execute("CREATE TABLE kv (key TEXT PRIMARY KEY COLLATE RTRIM, value TEXT)")
    rows = small_rows()
    bench.put({key: row for key, row in rows.items() if key != A1} | {f"{A1} ": rows[A1]})
    async with SQLiteStore(bench.path) as store:
        result = await bench.run(store)
    told(result.outcomes["!a1"].detail, f"{A1} ")


async def test_a_plain_store_that_does_not_take_a_row(tmp_path: Path) -> None:
    class Deaf(InMemoryStore):
        async def set(self, key: str, value: Mapping[str, Any]) -> None:
            pass

    bench = Bench(tmp_path / "bot.db", World(BOT))
    bench.world.space("!s", owner=ALICE)
    bench.world.chat("!a1 ", "!s", "Чат 1", owner=ALICE)
    rows = right_rows(ALICE, "!s", {"C1": "!a1 "})
    del rows[room_key("!a1 ")]
    result = await bench.run(Deaf(rows))
    told(result.outcomes["!a1 "].detail, room_key("!a1 "))


async def test_an_unknown_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bot.db")
    bench.fill(small_rows())
    async with SQLiteStore(bench.path) as store:
        with pytest.raises(StoreError, match='no run "x " in'):
            await plan_undo(store, "x ")
