"""The two functions on a real Synapse with a real nio client; a proxy in front sees what they ask."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import nio
import pytest

from tests.clients import any_client
from tests.homes import (
    SLIDING,
    STARTS,
    VERSIONS,
    Home,
    Rows,
    Start,
    event_ids,
    measured,
    never_synced,
    read_database,
    run,
    settle,
    sync,
    synced,
    write_database,
    wrote_nothing,
)
from toolkit.convention import Convention
from toolkit.database.chat_manager import ChatManager
from toolkit.database.store import SQLiteStore
from toolkit.demo.world import DemoWorld
from toolkit.homeserver import server as matrix
from toolkit.homeserver.reading import load_remote, load_unsettled
from toolkit.model import Plan, Reason, RemoteState, Status
from toolkit.planning.plan import plan_repairs
from toolkit.reconcile import reconcile_single_room
from toolkit.records import FAMILIES, chat_key, load_records, new_chat_row, room_key, user_key
from toolkit.testing import ApiUser, Synapse

PLAIN = Convention()


@pytest.fixture(scope="module")
def home(synapse: Synapse) -> Home:
    """Every hard case of reading that needs no change while it is read."""
    home = settle(synapse, "bot-real", "anna", "ben", "cleo", "dora", "eve")
    _build_anna(home)
    _build_ben(home)
    _build_guests(home)
    return home


def _build_anna(home: Home) -> None:
    bot, space = home.bot, home.space("anna")
    home.people["anna"].join(home.chat("anna", 1, "10"))
    home.chat("anna", 2)
    home.rooms["anna/3 old"] = home.chat("anna", 3, "10")
    home.rooms["anna/3"] = bot.upgrade(home.rooms["anna/3 old"])
    named = bot.put_state(home.chat("anna", 4), "m.room.name", {"name": "Чат 44"})
    bot.redact(home.rooms["anna/4"], named)
    removals: dict[int, dict[str, Any]] = {5: {}, 6: {"via": []}}
    for number, removed in removals.items():
        room = home.chat("anna", number)
        bot.put_state(space, "m.space.child", removed, room)
        bot.put_state(room, "m.space.parent", removed, space)
    stranger = home.people["eve"]
    parent = {"type": "m.space.parent", "state_key": space, "content": home.via}
    group = stranger.create_room(
        name="Чат 2", invite=[home.user("anna"), bot.user_id], initial_state=[parent]
    )
    bot.join(group)
    home.people["anna"].join(group)
    home.rooms["eve/group"] = group


def _build_ben(home: Home) -> None:
    """A Space of version 10, upgraded to 12: nio loses its create event."""
    home.rooms["ben/space old"] = home.space("ben", "10")
    home.chat("ben", 1, "10")
    home.rooms["ben/space"] = home.bot.upgrade(home.rooms["ben/space old"])
    home.chat("ben", 2)


def _build_guests(home: Home) -> None:
    """Cleo has left everything, Dora never accepted an invite."""
    cleo, space = home.people["cleo"], home.space("cleo")
    chat = home.chat("cleo", 1)
    for room in (chat, space):
        if room == chat:
            cleo.join(chat)
        cleo.leave(room)
    home.space("dora", join=False)
    home.chat("dora", 1)


def surviving_rows(home: Home) -> Rows:
    """All that a reset left over."""
    anna, cleo, met = home.user("anna"), home.user("cleo"), home.rooms["anna/1"]
    placeholder = f"unregistered:{met}"
    return {
        "bot:settings": {"greeting": "Привет!"},
        room_key(home.rooms["anna/4"]): home.room_row("anna", 4),
        user_key(cleo): {"space_id": home.rooms["cleo/space"], "next_chat_index": 2},
        chat_key(anna, placeholder): new_chat_row(anna, placeholder, "matrix", met, placeholder),
    }


def right_rows(home: Home) -> Rows:
    """What the rows must be in the end."""
    rows: Rows = {}
    for name, numbers in {"anna": (1, 2, 3, 4), "ben": (1, 2), "cleo": (1,), "dora": (1,)}.items():
        rows |= home.rows(name, *numbers)
    return surviving_rows(home) | rows


MISSING = {
    *("anna", "anna/1", "anna/2", "anna/3", "anna/4"),
    *("ben", "ben/1", "ben/2", "cleo/1", "dora", "dora/1"),
}
SKIPPED = {
    Reason.SPACE: {"anna/space", "ben/space", "cleo/space", "dora/space"},
    Reason.TOMBSTONED: {"anna/3 old", "ben/space old"},
    Reason.NO_SPACE: {"anna/5", "anna/6"},
    Reason.NOT_CREATED_BY_BOT: {"eve/group"},
}


def plan_of(path: Path) -> Callable[[RemoteState], Plan]:
    rows = [row for row in read_database(path).items() if row[0].startswith(FAMILIES)]
    return lambda remote: plan_repairs(remote, load_records(rows), PLAIN)


# -- reading --------------------------------------------------------------------------------------


@STARTS
async def test_every_room_is_told_right_by_both_roads(
    home: Home, tmp_path: Path, start: Start
) -> None:
    planned = plan_of(write_database(tmp_path / "bot.db", surviving_rows(home)))
    async with measured(home.bot, start, home.rooms["anna/1"]) as seen:
        truth = planned(await load_remote(seen.client, PLAIN, local_rows=True))
        assert seen.paths == ["/account/whoami", "/joined_rooms", VERSIONS, SLIDING]
        unsettled = (await load_unsettled(seen.client, PLAIN, planned, local_rows=True))[0]
        plan = planned(unsettled)
        assert seen.paths
    assert home.labels(unit.id for unit in truth.units) == MISSING
    assert {unit.status for unit in truth.units} == {Status.MISSING}
    assert not any(unit.needs_human for unit in truth.units)
    skipped = {
        reason: home.labels(skip.room_id for skip in truth.skipped if skip.reason is reason)
        for reason in SKIPPED
    }
    assert skipped == SKIPPED
    assert home.labels(truth.in_sync_users) == {"cleo"}
    assert plan == truth


async def test_a_user_who_left_and_has_no_row_is_a_question(home: Home, tmp_path: Path) -> None:
    planned = plan_of(write_database(tmp_path / "bot.db", {}))
    async with measured(home.bot, never_synced, "") as seen:
        plan = planned(await load_remote(seen.client, PLAIN, local_rows=False))
    asked = {unit.id for unit in plan.units if unit.status is Status.CONFLICT}
    assert home.labels(asked) == {"cleo/space", "cleo/1", "anna/4"}


@pytest.mark.usefixtures("transport")
async def test_a_crowded_room_of_a_stranger_is_known_by_its_create_event_alone(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "BIG_ROOM_BYTES", 100)
    async with any_client(home.hs.url, home.bot.user_id, home.bot.account.access_token) as client:
        remote = await load_remote(client, PLAIN, local_rows=True)
    group = remote.rooms[home.rooms["eve/group"]]
    assert (group.creator, group.name, group.members) == (home.user("eve"), "Чат 2", ())
    assert remote.rooms[home.rooms["anna/space"]].members


# -- writing --------------------------------------------------------------------------------------


@STARTS
async def test_lost_rows_come_back_and_the_homeserver_stays_as_it_is(
    home: Home, tmp_path: Path, start: Start
) -> None:
    path = write_database(tmp_path / "bot.db", surviving_rows(home))
    untouched = read_database(path)
    before = event_ids(home.bot, home.rooms)
    async with measured(home.bot, start, home.rooms["anna/1"]) as seen:
        report = await run(seen, path)
        after = read_database(path)
        again = await run(seen, path)
        assert seen.paths
    assert {key: json.loads(value) for key, value in after.items()} == right_rows(home)
    assert after.items() >= untouched.items()  # right rows stay byte-identical
    assert read_database(path) == after
    assert home.labels(report["restored_user_meta"]) == {"anna", "ben", "dora"}
    assert len(report["restored_chat_rows"]) == 8 and not report["conflicts"]
    assert wrote_nothing(again) and not again["conflicts"]
    assert home.labels(again["unchanged_rooms"]) == {u for u in MISSING if "/" in u}
    assert event_ids(home.bot, home.rooms) == before


async def test_rooms_that_linger_in_memory_are_not_joined(synapse: Synapse, tmp_path: Path) -> None:
    home = settle(synapse, "bot-lingering", "flora")
    home.space("flora")
    for number in (1, 2, 3):
        powers = {"users": {home.bot.user_id: 50, home.user("flora"): 100}}
        home.bot.put_state(home.chat("flora", number, "10"), "m.room.power_levels", powers)
    left, kicked = home.rooms["flora/2"], home.rooms["flora/3"]
    home.people["flora"].join(kicked)
    rows = {room_key(home.rooms[f"flora/{n}"]): home.room_row("flora", n) for n in (1, 2, 3)}
    path = write_database(tmp_path / "bot.db", rows)
    async with measured(home.bot, synced, left) as seen:
        home.bot.leave(left)
        home.people["flora"].kick(kicked, home.bot.user_id)
        await sync(seen.client)
        assert {left, kicked} <= seen.client.rooms.keys()
        state = await seen.client.room_get_state(kicked)
        assert isinstance(state, nio.RoomGetStateResponse)  # as of leaving
        seen.proxy.requests.clear()
        report = await run(seen, path)
        assert seen.paths
        async with SQLiteStore(path) as store:
            single = await reconcile_single_room(
                seen.client, store, ChatManager(store), kicked, home.user("flora")
            )
    assert report["orphaned_rows"] == sorted(room_key(room) for room in (left, kicked))
    assert not {left, kicked} & {*report["joined_rooms"], *report["unchanged_rooms"]}
    assert report["restored_chat_rows"] == [
        {"user_id": home.user("flora"), "chat_id": "C1", "room_id": home.rooms["flora/1"]}
    ]
    # The numbers of rooms that are gone are never given again.
    counter = json.loads(read_database(path)[user_key(home.user("flora"))])
    assert counter["next_chat_index"] == 4
    assert single["skipped_rooms"] == [{"room_id": kicked, "reason": "not_joined"}]


async def test_a_bot_in_sync_pays_exactly_one_request(synapse: Synapse, tmp_path: Path) -> None:
    home = settle(synapse, "bot-in-sync", "gina", "hugo")
    for name, version in (("gina", "12"), ("hugo", "10")):
        home.space(name, version)
        home.chat(name, 1, version)
    home.chat("gina", 2)
    path = write_database(tmp_path / "bot.db", {})
    async with measured(home.bot, synced, home.rooms["gina/1"]) as seen:
        first = await run(seen, path)
        assert len(first["restored_room_meta"]) == 3
        seen.proxy.requests.clear()
        again = await run(seen, path)
        assert seen.paths == ["/joined_rooms"]
        assert len(again["unchanged_rooms"]) == 3 and wrote_nothing(again)

        seen.proxy.requests.clear()
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("DELETE FROM kv WHERE key = ?", [room_key(home.rooms["hugo/1"])])
        repaired = await run(seen, path)
        assert repaired["restored_room_meta"] == [home.rooms["hugo/1"]]
        read = [path for path in seen.paths if path.endswith("/state")]
        expected = [f"/rooms/{home.rooms[label]}/state" for label in ("hugo/1", "hugo/space")]
        assert sorted(read) == sorted(expected)


@pytest.fixture(scope="module")
def crowd(synapse: Synapse) -> Home:
    """Users below a root Space, and rooms that are nobody's chat."""
    names = [f"user{number}" for number in range(8)]
    home = settle(synapse, "bot-crowd", *names)
    root = home.rooms["root"] = home.bot.create_room(creation_content={"type": "m.space"})
    for name in names:
        space = home.space(name)
        home.bot.put_state(root, "m.space.child", home.via, space)
        home.bot.put_state(space, "m.space.parent", home.via, root)
        for number in (1, 2):
            home.chat(name, number, "10")
    home.rooms["user3/2 new"] = home.bot.upgrade(home.rooms["user3/2"])
    home.rooms["lobby"] = home.people["user0"].create_room(invite=[home.bot.user_id])
    home.bot.join(home.rooms["lobby"])
    home.rooms["adrift"] = home.bot.create_room(name="Чат 9")
    return home


@STARTS
@pytest.mark.parametrize("rows", ["no rows", "all but its own"])
async def test_a_room_that_is_met_costs_its_owners_rooms(
    crowd: Home, tmp_path: Path, start: Start, rows: str
) -> None:
    kept: Rows = {}
    if rows != "no rows":
        for name in crowd.people:
            kept |= crowd.rows(name, 1, 2)
        del kept[room_key(crowd.rooms["user3/1"])]
    path = write_database(tmp_path / "bot.db", kept)
    async with (
        measured(crowd.bot, start, crowd.rooms["user3/1"]) as seen,
        SQLiteStore(path) as store,
    ):
        report = await reconcile_single_room(
            seen.client, store, ChatManager(store), crowd.rooms["user3/1"], crowd.user("user3")
        )
        owners = [label for label in crowd.rooms if label.startswith("user3/")]
        assert len(seen.paths) <= 10 + len(owners) < len(crowd.rooms)
    assert report["restored_room_meta"] == [crowd.rooms["user3/1"]] and not report["conflicts"]


@STARTS
@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("lobby", Reason.NOT_CREATED_BY_BOT),
        ("user3/space", Reason.SPACE),
        ("root", Reason.SPACE),
        ("adrift", Reason.NO_SPACE),
    ],
)
async def test_a_room_that_is_no_chat_is_asked_about_once(
    crowd: Home, tmp_path: Path, start: Start, label: str, reason: Reason
) -> None:
    path = write_database(tmp_path / "bot.db", crowd.rows("user3", 1, 2))
    async with (
        measured(crowd.bot, start, crowd.rooms["user3/1"]) as seen,
        SQLiteStore(path) as store,
    ):
        for again in (False, True):
            seen.proxy.requests.clear()
            report = await reconcile_single_room(
                seen.client, store, ChatManager(store), crowd.rooms[label], crowd.user("user3")
            )
            assert report["skipped_rooms"] == [{"room_id": crowd.rooms[label], "reason": reason}]
            assert bool(seen.paths) != again
        seen.proxy.requests.clear()
        elsewhere = await reconcile_single_room(
            seen.client, store, ChatManager(store), "!elsewhere", crowd.user("user3")
        )
        assert seen.paths == ["/joined_rooms"]
        assert elsewhere["skipped_rooms"] == [{"room_id": "!elsewhere", "reason": "not_joined"}]


# -- the demo's world -----------------------------------------------------------------------------


def told(plan: Plan) -> dict[str, tuple[Status, frozenset[str]]]:
    """Status and codes of every user row and chat."""
    units = {u.id: (u.status, frozenset(str(f.code) for f in u.findings)) for u in plan.units}
    in_sync = (*plan.in_sync_rooms, *plan.in_sync_users)
    return units | {unit: (Status.IN_SYNC, frozenset()) for unit in in_sync}


@STARTS
async def test_the_demo_is_told_as_expected(demo: DemoWorld, start: Start) -> None:
    bot = ApiUser(demo.url, demo.account)
    planned = plan_of(demo.database)
    async with measured(bot, start, demo.rooms["dave/1"]) as seen:
        truth = planned(await load_remote(seen.client, PLAIN, local_rows=True))
        plan = planned((await load_unsettled(seen.client, PLAIN, planned, local_rows=True))[0])
        assert seen.paths
    assert told(truth) == demo.expected
    assert {skip.room_id: skip.reason for skip in truth.skipped} == demo.skipped
    assert truth.orphans == demo.orphans
    assert plan == truth


async def test_the_demo_is_repaired_once_and_for_all(demo: DemoWorld) -> None:
    bot = ApiUser(demo.url, demo.account)
    state = event_ids(bot, demo.rooms)
    async with measured(bot, synced, demo.rooms["dave/1"]) as seen:
        report = await run(seen, demo.database)
        after = read_database(demo.database)
        again = await run(seen, demo.database)
        assert seen.paths
    assert report["repaired_chat_rows"] and report["restored_room_meta"]
    assert wrote_nothing(again)
    assert again["conflicts"] == report["conflicts"] != []
    assert read_database(demo.database) == after
    assert event_ids(bot, demo.rooms) == state


@STARTS
async def test_an_unregistered_room_is_repaired_on_demand(demo: DemoWorld, start: Start) -> None:
    bot, bob = ApiUser(demo.url, demo.account), demo.users["bob"].user_id
    room, before = demo.rooms["bob/1"], read_database(demo.database)
    assert chat_key(bob, f"unregistered:{room}") in before and room_key(room) not in before
    async with (
        measured(bot, start, demo.rooms["dave/1"]) as seen,
        SQLiteStore(demo.database) as store,
    ):
        manager = ChatManager(store)
        wrong = await reconcile_single_room(
            seen.client, store, manager, room, demo.users["alice"].user_id
        )
        assert [c["code"] for c in wrong["conflicts"]] == ["owner_mismatch"]
        assert read_database(demo.database) == before
        report = await reconcile_single_room(seen.client, store, manager, room, bob)
        again = await reconcile_single_room(seen.client, store, manager, room, bob)
        assert seen.paths
    assert report["restored_room_meta"] == [room]
    assert {*again["unchanged_rooms"]} == {room} and wrote_nothing(again)
    after = read_database(demo.database)
    changed = {key for key in after if after[key] != before.get(key)}
    assert changed == {room_key(room), chat_key(bob, "C1"), user_key(bob)}
    assert before.keys() <= after.keys()
    assert json.loads(after[chat_key(bob, "C1")])["surface_ref"] == room
