"""The facts of a conflict are what a real Synapse says, whichever way it is asked."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.homes import Home, check, settle, write_database
from toolkit.testing import Synapse

FILLERS = range(3, 10)
"""So many chats that all are read at once where the homeserver can."""


@pytest.fixture(scope="module")
def home(synapse: Synapse) -> Home:
    """Two chats were made as Dora's first: she is in the older one, which has been renamed twice, and has
    left the newer one. Eva's first was upgraded without her, and there is one beside it that she has to join.
    """
    home = settle(synapse, "bot-of-twins", "dora", "eva", "guest")
    for name in ("dora", "eva"):
        home.space(name)
        home.people[name].join(home.chat(name, 1, "10"))
    for number in FILLERS:
        home.chat("dora", number)
    for name in ("dora", "eva"):
        home.rooms[f"{name}/old"] = home.rooms[f"{name}/1"]
        home.chat(name, 1)
    dora, old, new = home.people["dora"], home.rooms["dora/old"], home.rooms["dora/1"]
    for title in ("Отпуск", "Чат 1"):
        home.bot.put_state(old, "m.room.name", {"name": title})
    dora.join(new)
    dora.leave(new)
    home.bot.invite(old, home.user("guest"))
    home.rooms["eva/upgraded"] = home.bot.upgrade(home.rooms["eva/old"])
    return home


@pytest.fixture(params=["--sliding-sync", "--no-sliding-sync"])
def units(
    home: Home,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> dict[str, Any]:
    path = write_database(tmp_path / "bot.db", home.rows("dora"))
    code, plan = check(home, path, monkeypatch, capsys, request.param)
    assert code == 2
    return {unit["unit"]: unit for unit in plan["units"]}


def minute(event: dict[str, Any]) -> str:
    time = datetime.fromtimestamp(event["origin_server_ts"] / 1_000, UTC)
    return time.strftime("%Y-%m-%dT%H:%MZ")


def state(home: Home, room: str, kind: str) -> dict[str, Any]:
    [found] = [event for event in home.bot.state(room) if event["type"] == kind]
    return found


def test_twins_have_the_times_people_and_links_that_the_server_has(
    home: Home, units: dict[str, Any]
) -> None:
    rooms = {label: home.rooms[f"dora/{label}"] for label in ("old", "1")}
    dora, guest = home.user("dora"), home.user("guest")
    for own, other in ((rooms["old"], rooms["1"]), (rooms["1"], rooms["old"])):
        told = {room["room_id"]: room for room in units[own]["facts"]["rooms"]}
        assert [(room, told[room]["role"]) for room in told] == [(own, "room"), (other, "rival")]
        for room, facts in told.items():
            name, made = state(home, room, "m.room.name"), state(home, room, "m.room.create")
            assert (facts["named"], facts["named_by"]) == (minute(name), home.bot.user_id)
            assert (facts["created"], facts["created_by"]) == (minute(made), home.bot.user_id)
            assert facts["name"] == "Чат 1"
            server = quote(home.hs.server_name, safe="")
            encoded = quote(room, safe="!")
            assert facts["link"] == f"https://matrix.to/#/{encoded}?via={server}"
        old, new = told[rooms["old"]], told[rooms["1"]]
        assert old["joined"] == {"users": [dora], "count": 1}
        assert old["invited"] == {"users": [guest], "count": 1}
        assert new["left"] == {"users": [dora], "count": 1} and new["joined"]["count"] == 0
        [finding] = [f for f in units[own]["findings"] if f["code"] == "duplicate_chat_id"]
        old_room, new_room = ("this room" if room == own else room for room in rooms.values())
        said = f"{dora} is joined to {old_room} and has left {new_room}"
        assert f". {said}: they can write in {old_room} alone. " in finding["cause"]


def test_who_did_not_follow_an_upgrade_is_not_in_the_new_room(
    home: Home, units: dict[str, Any]
) -> None:
    eva, upgraded = home.user("eva"), home.rooms["eva/upgraded"]
    own, twin = units[upgraded]["facts"]["rooms"]
    assert own["earlier"] == [home.rooms["eva/old"]] and own["joined"]["count"] == 0
    assert own["behind"] == {"users": [eva], "count": 1}
    assert twin["room_id"] == home.rooms["eva/1"] and twin["invited"]["users"] == [eva]
    [finding] = [f for f in units[upgraded]["findings"] if f["code"] == "duplicate_chat_id"]
    assert "was joined or invited to an earlier version of this room alone" in finding["cause"]
    assert "in none of them, and only you know which is theirs" in finding["cause"]
