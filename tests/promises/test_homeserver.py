"""Whatever the homeserver does: the promised outcome, in time, and nothing false is said or written.

The law behind all of these: what a run in trouble writes or calls orphaned, a run on the healthy server
writes or calls so too. Both run through a real nio client, over HTTP, on a database file.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.bench import BOT, Bench
from tests.clients import TOKEN, is_one_sentence, nio_client
from tests.scenario import right_rows
from toolkit import (
    ChatManager,
    HomeserverError,
    RemoteIncomplete,
    SQLiteStore,
    ToolkitError,
    reconcile_matrix_state,
)
from toolkit.homeserver import retries as patience
from toolkit.homeserver import server as matrix
from toolkit.records import chat_key, room_key, user_key
from toolkit.testing import (
    Cut,
    Drip,
    FakeHomeserver,
    Fault,
    Garbage,
    Hang,
    Hook,
    Reset,
    Status,
    World,
)
from toolkit.testing.faults import Answer, Kind
from toolkit.writing.report import Report

USERS = [f"@user{n}:hs" for n in range(10)]
LONG, SHORT = 20.0, 0.3  # deadlines: one that is never met, one for servers that keep one waiting
JOINED, WHOAMI, STATE = "/joined_rooms$", "/whoami$", "/state$"
ONE, TENTH = "!c03/state$", "!c.3/state$"  # one chat; one chat in ten
LIMITED = {"errcode": "M_LIMIT_EXCEEDED", "error": "Too Many Requests"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_WAIT", 0.002)
    monkeypatch.setattr(patience, "LONGEST_WAIT", 0.01)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Ten users with five chats each; drift of every kind, and rows of a room that is really left."""
    bench = Bench(tmp_path / "bot.db", World(BOT))
    rows: dict[str, Any] = {}
    for number, user in enumerate(USERS):
        space, chats = f"!s{number}", {f"C{n + 1}": f"!c{number}{n}" for n in range(5)}
        bench.world.space(space, owner=user)
        for chat_id, room_id in chats.items():
            bench.world.chat(room_id, space, f"Чат {chat_id[1:]}", owner=user)
        rows |= right_rows(user, space, chats)
    for number in range(0, 10, 2):
        del rows[room_key(f"!c{number}3")]
        rows[chat_key(USERS[number], "C2")]["surface_ref"] = "!gone"
        del rows[user_key(USERS[number + 1])]
    rows |= {room_key("!gone"): {**rows[room_key("!c00")], "chat_id": "C9"}}
    bench.fill(rows)
    return bench


@dataclass
class End:
    """How a run ended."""

    report: Report | None
    error: Exception | None
    late: float
    before: dict[str, Any]
    after: dict[str, Any]
    left: list[str]

    @property
    def written(self) -> dict[str, Any]:
        return {k: v for k, v in self.after.items() if self.before.get(k) != v}


async def run(
    bench: Bench,
    server: FakeHomeserver,
    *faults: Fault,
    synced: bool = False,
    deadline: float = LONG,
) -> End:
    """A bot's start-up on an ill server, its client synced before or not."""
    before = bench.bytes()
    async with nio_client(server.url, BOT) as client, SQLiteStore(bench.path) as store:
        if synced:
            await client.sync(full_state=True)
        server.fault(*faults)
        report, error = None, None
        started = time.monotonic()
        try:
            report = await reconcile_matrix_state(
                client, store, ChatManager(store), deadline=deadline
            )
        except ToolkitError as caught:
            error = caught
        late = time.monotonic() - started - deadline
    left = sorted(path.name for path in bench.path.parent.iterdir())
    return End(report, error, late, before, bench.bytes(), left)


async def healthy(bench: Bench, folder: Path) -> End:
    """The same bot on a healthy server, on a copy of its database."""
    other = Bench(folder / "healthy.db", bench.world)
    other.path.write_bytes(bench.path.read_bytes())
    async with FakeHomeserver(dict(bench.world.rooms), BOT, TOKEN) as server:
        return await run(other, server)


def conflicts(report: Report) -> set[tuple[str, str]]:
    return {(c["code"], c.get("room_id") or c["key"]) for c in report["conflicts"]}


def check_law(end: End, truth: End) -> None:
    """Nothing false is said, nothing is written that the healthy run wouldn't write, and in time."""
    assert end.late < 0.5
    if end.error is not None:
        assert end.written == {} and end.after.keys() == end.before.keys()
        assert end.left == ["bot.db"]
        assert is_one_sentence(str(end.error)), end.error
        return
    assert end.report and truth.report
    assert end.written.items() <= truth.written.items()
    assert end.after.keys() >= end.before.keys()
    assert set(end.report["orphaned_rows"]) <= set(truth.report["orphaned_rows"])
    strange = conflicts(end.report) - conflicts(truth.report)
    assert {code for code, _ in strange} <= {"room_unreadable"}
    assert json.dumps(end.report)


TROUBLE: Mapping[str, Kind] = {
    "429 that says when": Status(429, {**LIMITED, "retry_after_ms": 20}),
    "429 with a header": Status(429, LIMITED, {"Retry-After": "0"}),
    "429 without a hint": Status(429, LIMITED),
    "429 without a body": Status(429),
    "500 json": Status(500, {"errcode": "M_UNKNOWN", "error": TOKEN}),
    "502 html": Status(502, "<html>Bad Gateway</html>"),
    "503 empty": Status(503),
    "hang": Hang(),
    "drip": Drip(30),
    "reset": Reset(),
    "cut": Cut(),
    "garbage": Garbage(),
    "200 with an error": Status(200, {"errcode": "M_UNKNOWN", "error": "no"}),
    "200 with nothing": Garbage(b""),
    "dead token": Status(401, {"errcode": "M_UNKNOWN_TOKEN", "error": TOKEN}),
    "soft logout": Status(401, {"errcode": "M_UNKNOWN_TOKEN", "soft_logout": True}),
    "deactivated": Status(403, {"errcode": "M_USER_DEACTIVATED", "error": "no"}),
    "not found": Status(404, "<html>Not Found</html>"),
}
FINAL = {"dead token", "soft logout", "deactivated", "not found"}
WAITS = {"hang", "drip"} | {name for name in TROUBLE if name.startswith("429")}


@pytest.mark.parametrize("trouble", TROUBLE)
@pytest.mark.parametrize("path", [JOINED, WHOAMI, STATE])
async def test_trouble_for_ever_decides_nothing(bench: Bench, trouble: str, path: str) -> None:
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        end = await run(
            bench,
            server,
            Fault(path, TROUBLE[trouble]),
            deadline=SHORT if trouble in WAITS else LONG,
        )
    kind = RemoteIncomplete if trouble in WAITS or path == STATE else HomeserverError
    assert isinstance(end.error, kind), end.error
    check_law(end, end)


@pytest.mark.parametrize(
    ("trouble", "path", "synced"),
    [
        *[(trouble, path, False) for trouble in TROUBLE for path in (ONE, TENTH)],
        *[(trouble, TENTH, True) for trouble in sorted(TROUBLE.keys() - WAITS)],
    ],
)
async def test_rooms_that_cannot_be_read_are_unknown_and_never_missing(
    bench: Bench, tmp_path: Path, trouble: str, path: str, synced: bool
) -> None:
    truth = await healthy(bench, beside(tmp_path))
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        end = await run(
            bench,
            server,
            Fault(path, TROUBLE[trouble]),
            synced=synced,
            deadline=SHORT if trouble in WAITS else LONG,
        )
    check_law(end, truth)
    if trouble in WAITS | {"dead token", "soft logout"}:
        assert isinstance(end.error, RemoteIncomplete), end.error
        return
    assert end.report
    ill = {"!c03"} if path == ONE else {f"!c{number}3" for number in range(10)}
    read = {r.path.split("/")[-2] for r in server.requests if r.path.endswith("/state")}
    told = {
        room for code, room in conflicts(end.report) if code == "room_unreadable" and room[0] == "!"
    }
    assert told == ill & read
    assert told if path == TENTH else told <= ill
    written = {*end.report["restored_room_meta"], *end.report["repaired_room_meta"]}
    assert not written & told
    if path == ONE:  # of others, everything is repaired
        assert len(end.written) > len(truth.written) / 2


@pytest.mark.parametrize(
    ("trouble", "path"),
    [
        (trouble, path)
        for trouble in sorted(TROUBLE.keys() - FINAL - {"hang", "drip"})
        for path in (JOINED, WHOAMI, TENTH)
        # An object without the list is no homeserver's answer, and isn't asked for again.
        if (trouble, path) not in [("200 with an error", JOINED), ("200 with an error", WHOAMI)]
    ],
)
async def test_trouble_that_passes_costs_nothing_but_time(
    bench: Bench, tmp_path: Path, trouble: str, path: str
) -> None:
    truth = await healthy(bench, beside(tmp_path))
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        end = await run(bench, server, Fault(path, TROUBLE[trouble], times=2))
    assert end.written == truth.written
    assert end.report == truth.report


async def test_no_rooms_at_all_decides_nothing(bench: Bench) -> None:
    async with FakeHomeserver({}, BOT, TOKEN) as server:
        end = await run(bench, server)
    assert isinstance(end.error, RemoteIncomplete)
    check_law(end, end)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "https://", "http://[::1", "nowhere"])
async def test_a_wrong_address_is_one_sentence_in_time(bench: Bench, url: str) -> None:
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        server.url = server.url.replace("http:", "https:") if url == "https://" else url
        end = await run(bench, server)
    assert isinstance(end.error, HomeserverError)
    check_law(end, end)


# -- answers that are well-formed and not whole ---------------------------------------------------


def without_members(world: World, room_id: str, *users: str) -> bytes:
    """The room's state, its member list cut short."""
    events = [e for e in world.rooms[room_id] if e["type"] != "m.room.member"]
    kept = [e for e in world.rooms[room_id] if e["type"] == "m.room.member"]
    return json.dumps(events + [e for e in kept if e["state_key"] not in users]).encode()


@pytest.mark.parametrize("room_id", ["!s0", "!c03", "!c01"])
async def test_a_member_list_cut_short_is_no_whole_state(
    bench: Bench, tmp_path: Path, room_id: str
) -> None:
    """Who is joined stands in the list, so a list without the account itself isn't whole."""
    truth = await healthy(bench, beside(tmp_path))
    body = without_members(bench.world, room_id, BOT, USERS[0])
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        end = await run(bench, server, Fault(f"{room_id}/state$", Garbage(body)))
    check_law(end, truth)
    assert end.report
    assert ("room_unreadable", room_id) in conflicts(end.report)


@pytest.mark.parametrize("room_id", ["!s0", "!c03"])
async def test_an_owner_who_is_missing_from_a_list_is_replaced_by_nobody(
    bench: Bench, tmp_path: Path, room_id: str
) -> None:
    truth = await healthy(bench, beside(tmp_path))
    body = without_members(bench.world, room_id, USERS[0])
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        end = await run(bench, server, Fault(f"{room_id}/state$", Garbage(body)))
    check_law(end, truth)


@pytest.mark.parametrize("listed", [False, True], ids=["gone from the list", "still listed"])
async def test_a_room_that_was_left_while_loading_gets_no_rows(bench: Bench, listed: bool) -> None:
    """A homeserver still gives the state of a room that was left, as of then."""
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        before = dict(bench.world.rooms)
        bench.world.member("!c03", BOT, "leave")
        rooms = [room for room in before if listed or room != "!c03"]
        server.fault(Fault(JOINED, Garbage(json.dumps({"joined_rooms": rooms}).encode()), after=1))
        end = await run(bench, server)
    assert end.report
    assert room_key("!c03") not in end.after
    assert ("!c03" in end.report["joined_rooms"]) is listed
    assert (("room_unreadable", "!c03") in conflicts(end.report)) is listed
    assert set(end.report["orphaned_rows"]) <= {room_key("!gone"), chat_key(USERS[0], "C4")}


async def test_a_room_that_is_joined_while_loading_is_left_for_the_next_run(
    bench: Bench, tmp_path: Path
) -> None:
    truth = await healthy(bench, beside(tmp_path))

    def join() -> None:
        bench.world.chat("!new", "!s0", "Чат 6", owner=USERS[0])
        bench.put({room_key("!new"): {"chat_id": "C6", "matrix_user_id": USERS[0], "space_id": ""}})

    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        end = await run(bench, server, Fault("!c94/state$", Hook(join), times=1))
    assert end.report and truth.report
    assert end.report["orphaned_rows"] == truth.report["orphaned_rows"]
    assert "!new" not in end.report["joined_rooms"]
    assert end.written.items() - {(room_key("!new"), end.after[room_key("!new")])} <= (
        truth.written.items()
    )


# -- more than a memory holds ---------------------------------------------------------------------


class Endless(Kind):
    """Answer 200 and never stop sending; `sent` counts the bytes."""

    def __init__(self, part: bytes) -> None:
        self.part, self.sent = part, 0

    async def show(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for _ in range(10_000):
            await response.write(self.part)
            self.sent += len(self.part)
        return response


@pytest.mark.parametrize("path", [JOINED, WHOAMI, ONE, "!c03/state"])
@pytest.mark.parametrize("part", [b" " * 100_000, b"[" * 100_000], ids=["blanks", "brackets"])
async def test_an_answer_without_end_is_not_kept(
    bench: Bench, tmp_path: Path, path: str, part: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BIG_ROOM_BYTES", "WHOLE_ROOM_BYTES", "ANSWER_BYTES"):
        monkeypatch.setattr(matrix, name, getattr(matrix, name) // 64)
    truth = await healthy(bench, beside(tmp_path))
    endless = Endless(part)
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        end = await run(bench, server, Fault(path, endless))
    check_law(end, truth)
    if path in (JOINED, WHOAMI):
        assert isinstance(end.error, HomeserverError)
    else:
        assert end.report and ("room_unreadable", "!c03") in conflicts(end.report)
    assert endless.sent < 30_000_000  # what was on the way when it was given up, and tried again


# -- the token goes nowhere else ------------------------------------------------------------------


async def test_a_redirect_does_not_take_the_token_to_another_server(bench: Bench) -> None:
    heard: list[str | None] = []

    async def listen(request: web.BaseRequest) -> web.Response:
        heard.append(request.headers.get("Authorization"))
        return web.json_response({"user_id": BOT, "joined_rooms": []})

    runner = web.ServerRunner(web.Server(listen))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    elsewhere = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
            server.fault(Fault("/v3/", Status(302, "", {"Location": elsewhere})))
            end = await run(bench, server)
    finally:
        await runner.cleanup()
    assert end.error and heard
    assert set(heard) == {None}


async def test_cancelled_in_the_middle_of_reading_nothing_is_written(bench: Bench) -> None:
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        begun = asyncio.Event()
        server.fault(Fault("!c5", Hook(begun.set)), Fault("!c5", Hang()))
        task = asyncio.create_task(run(bench, server))
        await begun.wait()
        before = bench.bytes()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert bench.bytes() == before
    assert [path.name for path in bench.path.parent.iterdir()] == ["bot.db"]


def beside(folder: Path) -> Path:
    """A folder beside the bot's, whose files are counted."""
    found = folder.with_name(f"{folder.name}-healthy")
    found.mkdir(exist_ok=True)
    return found
