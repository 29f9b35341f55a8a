"""Spaces in Spaces, Spaces that the bot isn't in, and a bot that moved, on a real Synapse."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.homes import (
    STARTS,
    Home,
    Rows,
    Start,
    check,
    conflicts,
    event_ids,
    measured,
    never_synced,
    read_database,
    reconcile,
    restarted,
    rows_in,
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
from toolkit.reconcile import reconcile_single_room
from toolkit.records import CHAT, ROOM, room_key, user_key
from toolkit.testing import ApiUser, Synapse

# -- Spaces in Spaces -----------------------------------------------------------------------------

CHATS = {"anna": (1, 2, 3), "vera": (1, 2, 3), "ben": (1,), "cora": (1,)}
"""Of each user. The first of Anna's and of Vera's is in an archive."""


@pytest.fixture(scope="module")
def nested(synapse: Synapse) -> Home:
    """A root above all, upgraded since, with an administrator in it.

    Anna is in her archive, while Vera's is the bot's alone and she has left the chat in it. Ben's and
    Cora's Spaces list each other.
    """
    home = settle(synapse, "bot-nested", "admin", *CHATS)
    home.space("admin", "10")
    for name, version in {"anna": "12", "vera": "12", "ben": "10", "cora": "12"}.items():
        home.space(name, version)
        nest(home, "admin/space", f"{name}/space")
    for name in ("anna", "vera"):
        home.rooms[f"{name}/archive"] = home.bot.create_room(creation_content={"type": "m.space"})
        nest(home, f"{name}/space", f"{name}/archive")
        home.chat(name, 1, space="archive")
        home.chat(name, 2)
        home.chat(name, 3)
    home.bot.invite(home.rooms["anna/archive"], home.user("anna"))
    home.people["anna"].join(home.rooms["anna/archive"])
    home.people["vera"].leave(home.rooms["vera/1"])
    for name, other in (("ben", "cora"), ("cora", "ben")):
        home.chat(name, 1)
        nest(home, f"{name}/space", f"{other}/space")
    home.rooms["admin/root"] = home.bot.upgrade(home.rooms["admin/space"])
    return home


def nest(home: Home, outer: str, inner: str) -> None:
    """The bot's links that put one Space into another, both ways."""
    above, below = home.rooms[outer], home.rooms[inner]
    home.bot.put_state(above, "m.space.child", home.via, below)
    home.bot.put_state(below, "m.space.parent", home.via, above)


def nested_rows(home: Home, *names: str) -> Rows:
    return {key: row for name in names for key, row in home.rows(name, *CHATS[name]).items()}


@STARTS
@pytest.mark.parametrize("named", ["space", "archive"])
async def test_below_a_root_beside_a_circle_and_in_archives_right_rows_are_in_sync(
    nested: Home, tmp_path: Path, named: str, start: Start
) -> None:
    rows = nested_rows(nested, *CHATS)
    for name in ("anna", "vera"):
        rows[room_key(nested.rooms[f"{name}/1"])]["space_id"] = nested.rooms[f"{name}/{named}"]
    path = write_database(tmp_path / "bot.db", rows)
    before = read_database(path)
    report = await reconcile(nested, path, start)
    assert read_database(path) == before and wrote_nothing(report)
    assert not report["conflicts"] and not report["notes"] and not report["orphaned_rows"]
    in_sync = {f"{name}/{number}" for name, numbers in CHATS.items() for number in numbers}
    assert nested.labels(report["unchanged_rooms"]) == in_sync


def test_check_of_right_rows_below_a_root_ends_with_0_and_says_nothing_of_its_administrator(
    nested: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write_database(tmp_path / "bot.db", nested_rows(nested, *CHATS))
    code, plan = check(nested, path, monkeypatch, capsys)
    assert (code, plan["units"], plan["notes"]) == (0, [], [])
    assert nested.labels(plan["in_sync_users"]) == set(CHATS)


@STARTS
async def test_lost_rows_below_a_root_come_back_but_where_an_archive_leaves_open_which_space_counts(
    nested: Home, tmp_path: Path, start: Start
) -> None:
    path = write_database(tmp_path / "bot.db", {})
    state = event_ids(nested.bot, nested.rooms)
    report = await reconcile(nested, path, start)
    after = rows_in(path)
    assert after == nested_rows(nested, "vera", "ben", "cora")
    assert not [key for key in after if nested.user("admin") in key]
    anna = {user_key(nested.user("anna"))} | {nested.rooms[f"anna/{n}"] for n in CHATS["anna"]}
    assert conflicts(report) == {(unit, "multiple_spaces") for unit in anna}
    again = await reconcile(nested, path, start)
    assert wrote_nothing(again) and again["conflicts"] == report["conflicts"]
    if start is never_synced:  # a restarted one has met a message
        assert event_ids(nested.bot, nested.rooms) == state


@STARTS
async def test_an_archived_chat_comes_back_where_the_users_row_names_the_outer_space(
    nested: Home, tmp_path: Path, start: Start
) -> None:
    right, key = nested_rows(nested, *CHATS), user_key(nested.user("anna"))
    path = write_database(tmp_path / "bot.db", {key: right[key]})
    report = await reconcile(nested, path, start)
    assert rows_in(path) == right and not report["conflicts"]
    assert wrote_nothing(await reconcile(nested, path, start))


# -- Spaces that the bot isn't in -----------------------------------------------------------------

UPGRADED = {"uma": "10", "ulla": "12"}
LEFT = {"lars": "12", "kira": "10"}
LOST = UPGRADED | LEFT


def settle_lost(hs: Synapse, bot: str) -> Home:
    """Users with power, whose Space the bot is about to lose; and Wanda, who stays as she is."""
    home = settle(hs, bot, "wanda", *LOST)
    home.space("wanda")
    home.chat("wanda", 1)
    for name, version in LOST.items():
        power = home.powers(name, version, bot=50)
        home.space(name, version, power_level_content_override=power)
        home.people[name].join(home.chat(name, 1, version))
    return home


def lose(home: Home) -> None:
    """Uma and Ulla upgrade their Space and don't invite the bot; it leaves Lars'; Kira removes it."""
    for name in UPGRADED:
        home.rooms[f"{name}/new"] = home.people[name].upgrade(home.rooms[f"{name}/space"])
    home.bot.leave(home.rooms["lars/space"])
    home.people["kira"].kick(home.rooms["kira/space"], home.bot.user_id)


def find_again(home: Home) -> None:
    """As the conflicts advise: the users invite the bot, and it joins."""
    for name in LOST:
        room = home.rooms[f"{name}/new" if name in UPGRADED else f"{name}/space"]
        home.people[name].invite(room, home.bot.user_id)
        home.bot.join(room)


def lost_rows(home: Home) -> Rows:
    return {key: row for name in ("wanda", *LOST) for key, row in home.rows(name, 1).items()}


LOST_CHATS = {f"{name}/1" for name in LOST}


@pytest.fixture(scope="module")
def lost(synapse: Synapse) -> Home:
    home = settle_lost(synapse, "bot-lost")
    lose(home)
    return home


@STARTS
async def test_chats_of_a_space_that_was_upgraded_without_the_bot_or_left_are_no_chats_and_say_why(
    lost: Home, tmp_path: Path, start: Start
) -> None:
    path = write_database(tmp_path / "bot.db", lost_rows(lost))
    before = read_database(path)
    report = await reconcile(lost, path, start)
    assert read_database(path) == before and wrote_nothing(report)
    assert lost.labels(report["unchanged_rooms"]) == {"wanda/1"}
    assert conflicts(report) == {(lost.rooms[chat], "not_a_chat") for chat in LOST_CHATS}
    told = {conflict["room_id"]: conflict["detail"] for conflict in report["conflicts"]}
    for name in UPGRADED:
        space, new = lost.rooms[f"{name}/space"], lost.rooms[f"{name}/new"]
        said = f"its Space {space} was upgraded to {new}, which the bot isn't in"
        assert said in told[lost.rooms[f"{name}/1"]]
    for name in LEFT:
        said = f"its Space {lost.rooms[f'{name}/space']} is none that the bot is in"
        assert said in told[lost.rooms[f"{name}/1"]]


@STARTS
async def test_lost_rows_of_chats_whose_space_is_out_of_sight_stay_lost_and_others_come_back(
    lost: Home, tmp_path: Path, start: Start
) -> None:
    path = write_database(tmp_path / "bot.db", {})
    report = await reconcile(lost, path, start)
    assert rows_in(path) == lost.rows("wanda", 1)
    assert not LOST_CHATS & lost.labels(report["unchanged_rooms"])
    skipped = {skip["room_id"]: skip["reason"] for skip in report["skipped_rooms"]}
    assert {skipped[lost.rooms[chat]] for chat in LOST_CHATS} == {"no_space"}


def test_check_of_chats_whose_space_is_out_of_sight_ends_with_2(
    lost: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_database(tmp_path / "bot.db", lost_rows(lost))
    code, plan = check(lost, path, monkeypatch, capsys)
    assert code == 2
    assert lost.labels(plan["in_sync_rooms"]) == {"wanda/1"}
    assert lost.labels(plan["in_sync_users"]) == {"wanda"}


async def test_a_running_bot_that_is_let_into_its_lost_spaces_again_finds_their_chats_in_them(
    synapse: Synapse, tmp_path: Path
) -> None:
    home = settle_lost(synapse, "bot-back")
    path = write_database(tmp_path / "bot.db", lost_rows(home))
    before = read_database(path)
    async with measured(home.bot, synced, home.rooms["wanda/1"]) as seen:
        assert not (await run(seen, path))["conflicts"]
        lose(home)
        await sync(seen.client)
        gone = await run(seen, path)
        assert conflicts(gone) == {(home.rooms[chat], "not_a_chat") for chat in LOST_CHATS}
        assert read_database(path) == before
        find_again(home)
        await sync(seen.client)
        back = await run(seen, path)
        assert not back["conflicts"]
        assert home.labels(back["repaired_user_meta"]) == set(UPGRADED)
        assert home.labels(back["repaired_room_meta"]) == {f"{name}/1" for name in UPGRADED}
        again = await run(seen, path)
        assert wrote_nothing(again)
        assert home.labels(again["unchanged_rooms"]) == {"wanda/1", *LOST_CHATS}
    for name in UPGRADED:
        home.rooms[f"{name}/space"] = home.rooms[f"{name}/new"]
    assert rows_in(path) == lost_rows(home)


# -- a bot that moved -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moved(synapse: Synapse) -> Home:
    """A bot whose new account was invited to all its rooms, joined them, and has power there.

    The old account stayed in Mia's rooms and left Nils'. Nils' third chat is the new one's.
    """
    home = settle(synapse, "bot-old", "mia", "nils")
    old, new = home.bot, ApiUser(synapse.url, synapse.register("bot-new"))
    for name, version in (("mia", "10"), ("nils", "12")):
        home.space(name, version)
        for number in (1, 2):
            home.chat(name, number, version)
    for label, room in home.rooms.items():
        above = {old.user_id: 100} if label.startswith("mia") else {}
        old.put_state(room, "m.room.power_levels", {"users": {new.user_id: 100, **above}})
        old.invite(room, new.user_id)
        new.join(room)
        if label.startswith("nils"):
            old.leave(room)
    home.bot, home.people = new, {**home.people, "old": old}
    home.chat("nils", 3)
    return home


def moved_rows(home: Home) -> Rows:
    return home.rows("mia", 1, 2) | home.rows("nils", 1, 2, 3)


BY_OLD = {"mia/1", "mia/2", "nils/1", "nils/2"}


# Memory doesn't know who made a room, and rows that are right are believed by it (rules 5).
@pytest.mark.parametrize("start", [never_synced, restarted])
async def test_chats_that_another_account_made_are_no_chats_and_say_whose_they_are(
    moved: Home, tmp_path: Path, start: Start
) -> None:
    path = write_database(tmp_path / "bot.db", moved_rows(moved))
    before = read_database(path)
    report = await reconcile(moved, path, start)
    assert read_database(path) == before and wrote_nothing(report)
    assert not report["unchanged_rooms"]
    chats = {moved.rooms[chat] for chat in (*BY_OLD, "nils/3")}
    assert conflicts(report) == {(chat, "not_a_chat") for chat in chats}
    told = {conflict["room_id"]: conflict["detail"] for conflict in report["conflicts"]}
    made = f"was made by {moved.user('old')}, not by the bot"
    assert all(f"the room {made}" in told[moved.rooms[chat]] for chat in BY_OLD)
    assert f"its Space {moved.rooms['nils/space']} {made}" in told[moved.rooms["nils/3"]]
    assert all("former_accounts" in detail for detail in told.values())


@STARTS
async def test_a_single_room_in_a_space_that_another_account_made_is_no_chat(
    moved: Home, tmp_path: Path, start: Start
) -> None:
    path = write_database(tmp_path / "bot.db", moved_rows(moved))
    room = moved.rooms["nils/3"]
    async with (
        measured(moved.bot, start, moved.rooms["mia/space"]) as seen,
        SQLiteStore(path) as store,
    ):
        manager = ChatManager(store)
        report = await reconcile_single_room(seen.client, store, manager, room, moved.user("nils"))
    assert conflicts(report) == {(room, "not_a_chat")}


@STARTS
async def test_a_room_row_that_a_moved_bot_lost_does_not_pass_without_a_conflict(
    moved: Home, tmp_path: Path, start: Start
) -> None:
    rows = moved_rows(moved)
    del rows[room_key(moved.rooms["nils/1"])]
    report = await reconcile(moved, write_database(tmp_path / "bot.db", rows), start)
    assert wrote_nothing(report) and report["conflicts"]


def test_check_of_a_moved_bot_ends_with_2_until_its_former_account_is_named(
    moved: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_database(tmp_path / "bot.db", moved_rows(moved))
    code, plan = check(moved, path, monkeypatch, capsys)
    assert code == 2
    assert not plan["in_sync_rooms"] and not plan["in_sync_users"]
    named = ("--former-account", moved.user("old"))
    code, plan = check(moved, path, monkeypatch, capsys, *named)
    assert (code, plan["units"], len(plan["in_sync_rooms"])) == (0, [], 5)


@STARTS
async def test_with_its_former_account_named_a_moved_bots_right_rows_are_in_sync(
    moved: Home, tmp_path: Path, start: Start
) -> None:
    path = write_database(tmp_path / "bot.db", moved_rows(moved))
    before = read_database(path)
    report = await reconcile(moved, path, start, with_former(moved))
    assert read_database(path) == before and wrote_nothing(report)
    assert not report["conflicts"] and not report["notes"]
    assert moved.labels(report["unchanged_rooms"]) == {*BY_OLD, "nils/3"}


@STARTS
async def test_with_its_former_account_named_a_moved_bots_lost_rows_come_back(
    moved: Home, tmp_path: Path, start: Start
) -> None:
    path = write_database(tmp_path / "bot.db", {})
    report = await reconcile(moved, path, start, with_former(moved))
    assert rows_in(path) == moved_rows(moved) and not report["conflicts"]
    assert wrote_nothing(await reconcile(moved, path, start, with_former(moved)))


def with_former(home: Home) -> Convention:
    return Convention(former_accounts=(home.user("old"),))


# -- what survives of the rows --------------------------------------------------------------------


@pytest.mark.parametrize("family", [ROOM, CHAT])
@pytest.mark.parametrize("world", ["lost", "moved"])
def test_rows_of_one_family_about_rooms_that_are_no_chats_are_never_in_sync(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    world: str,
    family: str,
) -> None:
    home: Home = request.getfixturevalue(world)
    rows = lost_rows(home) if world == "lost" else moved_rows(home)
    kept = {key: row for key, row in rows.items() if key.startswith(family)}
    if world == "lost":
        kept |= home.rows("wanda", 1)
    code, _ = check(home, write_database(tmp_path / "bot.db", kept), monkeypatch, capsys)
    assert code == 2
