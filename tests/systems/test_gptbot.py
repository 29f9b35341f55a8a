"""matrix-gptbot: Spaces of users, by its own migrations and its own command (rules 6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.link_bots import Support, taken_back
from tests.systems.system import login, mapping, need, play
from tests.tables import Desk
from toolkit.links import LinkReport
from toolkit.testing import ApiUser, Synapse

ACTIVE = "SELECT user_id, space_id FROM user_spaces WHERE active ORDER BY user_id, space_id"


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    need("gptbot")


class Spaces(Support):
    """The bot, users who told it something, and the Spaces that came of it."""

    def __init__(self, hs: Synapse, name: str, folder: Path, *said: str) -> None:
        super().__init__(hs, name)
        path = folder / "database.db"
        words = [line.partition(" ")[::2] for line in said]
        names = dict.fromkeys(who for who, _ in words)
        self.users = {who: ApiUser(hs.url, hs.register(f"{who}.{name}")) for who in names}
        told = {
            "bot": login(self.bot),
            "database": str(path),
            "said": [[self.users[who].user_id, what] for who, what in words],
        }
        died = any(what.endswith("die") for _, what in words)
        made = play("gptbot", told, ends_with=9 if died else 0)
        self.spaces = {who: made[user.user_id] for who, user in self.users.items()}
        self.desk = Desk(path, "", mapping("matrix-gptbot"))

    def id(self, who: str) -> str:
        return self.users[who].user_id

    def join(self, who: str) -> None:
        self.users[who].join(self.spaces[who])


def proposals(report: LinkReport) -> dict[str, str | None]:
    return {c["room_id"]: c["proposal"] for c in report["conflicts"] if "proposal" in c}


async def test_spaces_whose_rows_were_never_committed_or_lost_are_proposed(
    synapse: Synapse, tmp_path: Path
) -> None:
    bot = Spaces(synapse, "gb1", tmp_path, "anna enable", "carl enable", "ben enable and die")
    desk = bot.desk
    bot.join("anna")
    bot.join("ben")  # carl has never answered
    desk.sql("DELETE FROM user_spaces WHERE user_id = ?", bot.id("carl"))
    chat = bot.room(invite=[bot.id("anna")], name="GPTBot")
    shared = bot.room(
        creation_content={"type": "m.space"}, invite=[bot.id("anna"), bot.id("ben")], name="All"
    )
    assert desk.sql(ACTIVE) == [(bot.id("anna"), bot.spaces["anna"])]
    before = desk.dump()
    report, _ = await bot.reconcile(desk)
    lost = {bot.spaces[who]: bot.id(who) for who in ("ben", "carl")}
    assert proposals(report) == lost and desk.dump() == before
    assert report["unchanged_rooms"] == [bot.spaces["anna"]]
    assert {(s["room_id"], s["reason"]) for s in report["skipped_rooms"]} == {
        (chat, "not_a_space"),
        (shared, "no_evidence"),
    }
    report, _ = await bot.reconcile(desk, decisions={space: {} for space in lost})
    assert {link["room_id"]: link["id"] for link in report["restored_links"]} == lost
    assert len(desk.sql(ACTIVE)) == 3
    await taken_back(desk)
    assert desk.dump() == before


async def test_a_row_follows_its_space_and_only_active_rows_are_seen(
    synapse: Synapse, tmp_path: Path
) -> None:
    said = ("anna enable", "anna disable", "anna enable", "ben enable", "ben enable")
    bot = Spaces(synapse, "gb2", tmp_path, *said)
    desk = bot.desk
    assert desk.sql("SELECT user_id, active FROM user_spaces ORDER BY rowid") == [
        (bot.id("anna"), 0),
        (bot.id("anna"), 1),
        (bot.id("ben"), 1),
    ]
    [(given_up,)] = desk.sql("SELECT space_id FROM user_spaces WHERE NOT active")
    newer = bot.bot.upgrade(bot.spaces["anna"])
    before = desk.dump()
    report, _ = await bot.reconcile(desk)
    assert report["repaired_links"] == [
        {"id": bot.id("anna"), "room_id": newer, "previous_room": bot.spaces["anna"]}
    ]
    assert {(s["room_id"], s["reason"]) for s in report["skipped_rooms"]} == {
        (given_up, "no_evidence"),
        (bot.spaces["anna"], "tombstoned"),
    }
    assert desk.sql(ACTIVE) == [(bot.id("anna"), newer), (bot.id("ben"), bot.spaces["ben"])]
    again, _ = await bot.reconcile(desk)
    assert not (again["repaired_links"] or again["restored_links"] or again["conflicts"])
    await taken_back(desk)
    assert desk.dump() == before


async def test_two_active_rows_of_a_user_are_a_conflict_that_nothing_touches(
    synapse: Synapse, tmp_path: Path
) -> None:
    bot = Spaces(synapse, "gb3", tmp_path, "anna enable")
    desk, anna = bot.desk, bot.id("anna")
    other = bot.room(creation_content={"type": "m.space"}, invite=[anna])
    desk.sql("INSERT INTO user_spaces (space_id, user_id) VALUES (?, ?)", other, anna)
    before = desk.dump()
    report, _ = await bot.reconcile(desk)
    assert {c["code"] for c in report["conflicts"]} == {"duplicate_row"}
    assert report["repaired_links"] == [] and desk.dump() == before


async def test_a_mapping_cannot_say_that_a_space_was_given_up(
    synapse: Synapse, tmp_path: Path
) -> None:
    """A row outside of `where` isn't seen: its Space is proposed, and SQLite refuses a second row."""
    bot = Spaces(synapse, "gb4", tmp_path, "dora enable", "dora disable")
    desk, space = bot.desk, bot.spaces["dora"]
    before = desk.dump()
    report, _ = await bot.reconcile(desk)
    assert proposals(report) == {space: bot.id("dora")}
    report, _ = await bot.reconcile(desk, decisions={space: {}})
    [conflict] = report["conflicts"]
    assert conflict["code"] == "stale_plan" and "UNIQUE" in conflict["detail"]
    assert desk.dump() == before
