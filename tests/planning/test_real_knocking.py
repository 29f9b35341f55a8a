"""Knocking is no way out of a Space, on a real Synapse: whoever hands it over and knocks gains nothing."""

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
    never_synced,
    read_database,
    reconcile,
    rows_in,
    settle,
    write_database,
    wrote_nothing,
)
from toolkit.records import user_key
from toolkit.testing import Synapse

CODES = {"eve": "owner_changed", "erin": "owner_changed", "edda": "owner_left"}
"""What becomes of each attacker's Space and chat."""


@pytest.fixture(scope="module", params=["10", "12"])
def home(request: pytest.FixtureRequest, synapse: Synapse) -> Home:
    """Eve, Erin and Edda leave what the bot made for them and knock, by calls of their own.

    Before that, Eve invites Victor to her Space, Erin to her chat as well, and he accepts; Edda
    invites nobody. All have called their chat by a number that would exhaust his.
    """
    version = request.param
    home = settle(synapse, f"bot-knocked-{version}", "victor", *CODES)
    home.space("victor", version)
    for number in (1, 2):
        home.people["victor"].join(home.chat("victor", number, version))
    for name in CODES:
        power = home.powers(name, version)
        home.space(name, version, power_level_content_override=power)
        chat = home.chat(name, 1, version, power_level_content_override=power)
        home.people[name].join(chat)
        home.people[name].put_state(chat, "m.room.name", {"name": "Чат 900000000"})
    knock(home, "eve", "space")
    knock(home, "erin", "1", "space")
    knock(home, "edda", "1", "space", victim=None)
    for label in ("erin/1", "erin/space"):
        home.people["victor"].join(home.rooms[label])
    return home


def knock(home: Home, name: str, *labels: str, victim: str | None = "victor") -> None:
    attacker = home.people[name]
    for label in labels:
        room = home.rooms[f"{name}/{label}"]
        attacker.put_state(room, "m.room.join_rules", {"join_rule": "knock"})
        if victim:
            attacker.invite(room, home.user(victim))
        attacker.leave(room)
        attacker.knock(room)


def right_rows(home: Home) -> Rows:
    rows = home.rows("victor", 1, 2)
    return rows | {key: row for name in CODES for key, row in home.rows(name, 1).items()}


def codes(home: Home, name: str, found: set[tuple[str, str]]) -> set[str]:
    """Of all conflicts about what the bot made for somebody."""
    own = {home.rooms[f"{name}/1"], home.rooms[f"{name}/space"], user_key(home.user(name))}
    return {code for where, code in found if where in own}


def test_the_server_calls_them_knocking_and_the_victim_a_member(home: Home) -> None:
    expected = {"eve": "invite", "erin": "join", "edda": None}
    for name, victim in expected.items():
        state = home.bot.state(home.rooms[f"{name}/space"])
        members = {
            e["state_key"]: e["content"]["membership"]
            for e in state
            if "membership" in e["content"]
        }
        assert members[home.user(name)] == "knock"
        assert members.get(home.user("victor")) == victim


@STARTS
@pytest.mark.parametrize("rows", ["lost", "there"])
async def test_whoever_knocks_on_the_space_that_they_left_hands_nobody_anything(
    home: Home, tmp_path: Path, rows: str, start: Start
) -> None:
    stored = right_rows(home) if rows == "there" else home.rows("victor", 1, 2)
    path = write_database(tmp_path / "bot.db", stored)
    before, state = read_database(path), event_ids(home.bot, home.rooms)
    report = await reconcile(home, path, start)
    assert read_database(path) == before and wrote_nothing(report)
    assert home.labels(report["unchanged_rooms"]) == {"victor/1", "victor/2"}
    for name, code in CODES.items():
        found = codes(home, name, conflicts(report))
        assert code in found and found <= {code, "chat_id_inferred"}  # the name is the attacker's
    assert not codes(home, "victor", conflicts(report))
    if start is never_synced:  # a restarted one has met a message
        assert event_ids(home.bot, home.rooms) == state


@STARTS
async def test_the_victims_lost_rows_come_back_with_a_counter_of_their_own(
    home: Home, tmp_path: Path, start: Start
) -> None:
    path = write_database(tmp_path / "bot.db", {})
    report = await reconcile(home, path, start)
    assert rows_in(path) == home.rows("victor", 1, 2)
    again = await reconcile(home, path, start)
    assert wrote_nothing(again) and again["conflicts"] == report["conflicts"]


async def test_counters_are_mended_for_the_victim_and_not_for_who_knocks(
    home: Home, tmp_path: Path
) -> None:
    rows = right_rows(home)
    for name in ("victor", *CODES):
        rows[user_key(home.user(name))]["next_chat_index"] = 1
    path = write_database(tmp_path / "bot.db", rows)
    await reconcile(home, path)
    rows[user_key(home.user("victor"))]["next_chat_index"] = 3
    assert rows_in(path) == rows


def test_check_ends_with_2_and_calls_only_the_victim_in_sync(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_database(tmp_path / "bot.db", right_rows(home))
    code, plan = check(home, path, monkeypatch, capsys)
    assert code == 2
    assert home.labels(plan["in_sync_users"]) == {"victor"}
    assert home.labels(plan["in_sync_rooms"]) == {"victor/1", "victor/2"}
    assert all(unit["needs_human"] for unit in plan["units"])
