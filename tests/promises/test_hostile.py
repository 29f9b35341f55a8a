"""What strangers write: names, ids, rows and room state that were made to do harm, on their whole way."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import resource
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

import toolkit.cli
from tests.attacks import ATTACKS, MALLORY, Attack, Attacked, attacks
from tests.bench import ALICE, BOT, Bench, small_rows
from tests.clients import TOKEN, nio_client
from tests.planning.test_attacks import victims
from tests.worlds import BOT as WORLDS_BOT
from toolkit import ChatManager, Session, SQLiteStore, reconcile_matrix_state
from toolkit.convention import Convention
from toolkit.homeserver.room_state import UnreadableState, decode_room
from toolkit.model import RemoteState
from toolkit.planning.plan import plan_repairs
from toolkit.records import chat_key, load_records, room_key, user_key
from toolkit.testing import FakeHomeserver

TEXTS = {
    "escape sequences": "\x1b[2J\x1b]0;owned\x07\x9b31m",
    "right to left": "\u202eteseR\u2066\u200f",
    "invisible": "a\u200bb\u2060c\ufeffd\u00ade\U000e0041",
    "a line of its own": "x\r\nError: all is well\x0b\x85\u2028",
    "a null": "Чат\x00 1",
    "markup": "<script>alert(1)</script>[red]x[/red]$\\LaTeX$",
    "a formula": "=cmd|' /C calc'!A1",
    "marks": "Z" + "\u0301" * 500,
    "length": "Я" * 20_000,
    "half a character": "\ud800 and \udcff",
}


def hostile_bench(path: Path, text: str) -> Bench:
    """The text as a room's name, a display name, a chat's name, in a key and in an id."""
    bench = Bench(path)
    bench.world.name("!a2", text)
    room = f"!{text[:100]}"
    bench.world.chat(room, "!alice", text, owner=ALICE)
    rows = {k: v for k, v in small_rows().items() if k not in (room_key("!a1"), user_key(ALICE))}
    bench.fill(rows)
    whole = text.encode(errors="ignore").decode()  # no key can hold half a character
    for key in (chat_key(f"@{whole[:50]}:hs", "C1"), room_key(f"!{whole[:50]}")):
        bench.put({key: json.dumps({"surface_ref": text, "name": text})})
    return bench


def is_plain(text: str) -> bool:
    """Nothing acts on a terminal: line breaks alone are there, and what can be seen."""
    bad = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    return not [c for c in text if c != "\n" and unicodedata.category(c) in bad]


@pytest.mark.parametrize("kind", TEXTS)
async def test_no_byte_that_strangers_chose_acts_on_a_terminal(
    tmp_path: Path,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    bench = hostile_bench(tmp_path / "bot.db", TEXTS[kind])
    if kind == "half a character":  # JSON can hold it, UTF-8 can't
        rooms: Any = {room: json.dumps(state).encode() for room, state in bench.world.rooms.items()}
        rooms = {room: state for room, state in rooms.items() if "\ud800" not in room}
    else:
        rooms = bench.world.rooms
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv("BOT_DATABASE", str(bench.path))
    async with FakeHomeserver(rooms, BOT, TOKEN) as server:
        monkeypatch.setenv("MATRIX_HOMESERVER", server.url)
        for words in (
            ["check"],
            ["plan", "--out", "decisions"],
            ["check", "--json"],
            ["apply", "--approve-certain", "--yes"],
            ["history"],
            ["apply", f"!{TEXTS[kind]}"],
        ):
            code = await asyncio.to_thread(toolkit.cli.run, words)
            out, err = capfdbinary.readouterr()
            assert code in ((0, 2) if words[-1][0] != "!" else (0, 1, 2)), (words, err)
            assert is_plain(out.decode()) and is_plain(err.decode()), words
            assert max(map(len, err.decode().splitlines() or [""])) < 20_000
    assert bench.row(room_key("!a1")) == small_rows()[room_key("!a1")]


async def test_a_frame_is_data_and_a_csv_of_it_holds_what_was_stored(tmp_path: Path) -> None:
    """SECURITY.md says so: nothing is put before a formula, or a filter on the column would miss it."""
    bench = hostile_bench(tmp_path / "bot.db", TEXTS["a formula"])
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        session = await Session.open(homeserver=server.url, access_token=TOKEN, database=bench.path)
    names = {row["name"] for row in csv.DictReader(io.StringIO(session.rooms.to_csv()))}
    assert TEXTS["a formula"] in names
    assert "to_csv" in (Path(__file__).parent.parent.parent / "SECURITY.md").read_text(
        encoding="utf-8"
    )


# -- bombs ----------------------------------------------------------------------------------------

DEEP = 200_000
BOMBS = {
    "deep lists": "[" * DEEP,
    "closed deep lists": "[" * DEEP + "]" * DEEP,
    "deep objects": '{"a":' * DEEP + "1" + "}" * DEEP,
    "a deep field": '{"chat_id":' + "[" * DEEP + "]" * DEEP + "}",
    "a long number": '{"chat_id": ' + "9" * 1_000_000 + "}",
    "a long exponent": '{"next_chat_index": 1e999999999}',
    "a long text": '{"chat_id": "' + "C" * 5_000_000 + '"}',
    "many fields": "{" + ",".join(f'"f{n}":1' for n in range(200_000)) + "}",
    "one field often": "{" + ",".join('"chat_id":"C1"' for _ in range(200_000)) + "}",
    "escapes": '{"chat_id": "' + "\\ud800" * 200_000 + '"}',
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_row_that_is_a_bomb_harms_no_other(tmp_path: Path, bomb: str) -> None:
    bench = Bench(tmp_path / "bot.db")
    rows = {k: v for k, v in small_rows().items() if k != room_key("!a1")}
    bombs = (room_key("!b1"), chat_key(ALICE, "C9"), user_key("@eve:hs"))
    bench.fill(rows | dict.fromkeys(bombs, BOMBS[bomb]))
    before, high = bench.bytes(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    async with (
        FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server,
        nio_client(server.url, BOT) as client,
        SQLiteStore(bench.path) as store,
    ):
        report = await reconcile_matrix_state(client, store, ChatManager(store))
    assert time.monotonic() - started < 10
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - high) / 1024 < 300  # MB
    assert report["restored_room_meta"] == ["!a1"]
    assert {key: bench.bytes()[key] for key in bombs} == {key: before[key] for key in bombs}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("place", ["content", "a field", "a key", "beside"])
def test_state_that_is_a_bomb_harms_no_other_event(bomb: str, place: str) -> None:
    """Where a part of it can be used, it is; else the room is unreadable. Nothing else happens."""
    event = {
        "content": '{"type":"m.room.topic","state_key":"","sender":"@m:hs","content":%s}',
        "a field": '{"type":"m.room.name","state_key":"","sender":"@m:hs","content":{"name":%s}}',
        "a key": '{"type":"m.room.name","state_key":%s,"sender":"@m:hs","content":{}}',
        "beside": "%s",
    }[place]
    create = '{"type":"m.room.create","state_key":"","sender":"@bot:hs","content":{}}'
    body = f"[{create},{event % BOMBS[bomb]}]".encode()
    started = time.monotonic()
    told = creator_or_refusal(body)
    assert told == BOT or len(told) < 300
    assert time.monotonic() - started < 5


def creator_or_refusal(body: bytes) -> str:
    try:
        return decode_room("!r", body, None).creator or ""
    except UnreadableState as error:
        return f"refused: {error}"


# -- attackers were really there ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ATTACKS)
def test_every_attack_reaches_what_it_is_about(kind: str) -> None:
    """Each step changes the world, and the planner reads that change: else its law would prove nothing."""
    attack = Attack(victims())
    ready = {"kick_victim": "lure_victim", "send_helper_away": "be_kicked"}
    own = "!evil-chat1"
    if kind in ready:
        attack.step(ready[kind], own, "!space", ALICE)
    before = sides(attack)
    attack.step(kind, own, "!space", ALICE)
    assert sides(attack) != before, "the toolkit reads nothing of it"
    assert kind in attack.done().kinds


def sides(attack: Attack) -> tuple[RemoteState, dict[str, Any]]:
    """What the toolkit reads of the attacked world."""
    after = attack.done().after
    convention = Convention(state_event_type="org.example.chat")
    rooms = {
        room_id: decode_room(room_id, json.dumps(events).encode(), convention.state_event_type)
        for room_id, events in after.rooms.items()
    }
    plan_repairs(RemoteState(WORLDS_BOT, rooms), load_records(after.rows.items()), convention)
    return RemoteState(WORLDS_BOT, rooms), dict(after.rows)


reached: set[str] = set()
effects = 0


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(attacks())
def attack_at_random(attacked: Attacked) -> None:
    global effects
    reached.update(attacked.kinds)
    plan = plan_repairs(attacked.after.remote(), attacked.after.local(), Convention())
    effects += any(MALLORY in (unit.owner, *unit.candidates) for unit in plan.units)


def test_the_law_about_attackers_meets_every_attack_and_some_have_effect() -> None:
    attack_at_random()
    assert reached == set(ATTACKS)
    assert effects > 20
