"""A support bot, whose tickets are only pointed at their rooms, and a help desk whose users make them (rules 6)."""

from __future__ import annotations

from pathlib import Path

from tests.link_bots import Support, taken_back
from tests.systems.desks import CONVERSATION, HelpDesk, SupportBot, opened
from tests.systems.system import mapping
from tests.tables import Desk
from toolkit import Decision
from toolkit.model import Choices
from toolkit.testing import Synapse

ROOMS = 'SELECT id, user_room_id FROM "Tickets" ORDER BY id'


async def test_a_support_bots_tickets_get_their_rooms_by_update_and_no_ticket_is_made(
    synapse: Synapse, tmp_path: Path
) -> None:
    support = Support(synapse, "sb1")
    bot = SupportBot(support.bot, tmp_path / "support.db")
    whole, upgraded = bot.ticket(support.eva), bot.ticket(support.eva)
    cut, twin = bot.ticket(support.eva, crash=True), bot.ticket(support.eva, crash=True)
    lost, left = bot.ticket(support.eva), bot.ticket(support.eva)
    other = support.room(name="Ticket #4 (eva)")
    newer = support.bot.upgrade(upgraded)
    support.bot.leave(left)
    hers = support.room(support.eva, name="Ticket #3 (eva)")
    renamed = support.room(name="Ticket #03 (eva)")
    desk = Desk(bot.path, "", mapping("support-bot"))
    desk.sql('DELETE FROM "Tickets" WHERE id = 5')
    desk.sql('INSERT INTO "Tickets" (id, user_id) VALUES (9, ?)', support.eva.user_id)
    before = desk.dump()
    report, _ = await support.reconcile(desk)
    repaired = {
        link["id"]: (link["room_id"], link["previous_room"]) for link in report["repaired_links"]
    }
    assert repaired == {"2": (newer, upgraded), "3": (cut, None)}
    assert {(c["code"], c["room_id"]) for c in report["conflicts"]} == {
        ("duplicate_id", twin),
        ("duplicate_id", other),
    }
    assert report["restored_links"] == [] and lost in report["joined_rooms"]
    assert report["unchanged_rooms"] == [whole]
    assert report["orphaned_rows"] == ["link:Tickets:6"]
    assert [note["code"] for note in report["notes"]] == ["unlinked"]
    assert {(s["room_id"], s["reason"]) for s in report["skipped_rooms"]} == {
        (upgraded, "tombstoned"),
        (hers, "not_created_by_bot"),
        (renamed, "no_evidence"),
    }
    assert desk.sql(ROOMS) == [(1, whole), (2, newer), (3, cut), (4, None), (6, left), (9, None)]
    again, _ = await support.reconcile(desk)
    assert again["repaired_links"] == []
    await taken_back(desk)
    assert desk.dump() == before


async def test_a_person_says_which_of_two_rooms_is_a_tickets_and_the_next_one_is_numbered_on(
    synapse: Synapse, tmp_path: Path
) -> None:
    support = Support(synapse, "sb2")
    bot = SupportBot(support.bot, tmp_path / "support.db")
    twin = bot.ticket(support.eva, crash=True)
    support.room(name="Ticket #1 (eva)")
    desk = Desk(bot.path, "", mapping("support-bot"))
    report, _ = await support.reconcile(
        desk, decisions={twin: Decision(choices=Choices(chat_id="1"))}
    )
    assert [link["room_id"] for link in report["repaired_links"]] == [twin]
    following = bot.ticket(support.eva)
    assert desk.sql(ROOMS) == [(1, twin), (2, following)]


async def test_a_mapping_cannot_make_a_ticket_nor_read_a_name_that_people_changed(
    synapse: Synapse, tmp_path: Path
) -> None:
    """Tickets are numbered by the database, and no room tells their user; `unlinked` says what is left."""
    support = Support(synapse, "sb3")
    bot = SupportBot(support.bot, tmp_path / "support.db")
    bot.ticket(support.eva)
    renamed = bot.ticket(support.eva, crash=True)
    support.bot.put_state(renamed, "m.room.name", {"name": "Printer"})
    desk = Desk(bot.path, "", mapping("support-bot"))
    report, _ = await support.reconcile(desk)
    assert report["repaired_links"] == []
    assert report["skipped_rooms"] == [{"room_id": renamed, "reason": "no_evidence"}]
    [note] = report["notes"]
    assert "1 (2)" in note["detail"]
    async with desk.store() as store:
        assert store.facts is not None and "numbered by the database" in store.facts.why_no_insert


async def test_a_help_desks_rooms_get_rows_and_a_forged_event_gets_none(
    synapse: Synapse, tmp_path: Path
) -> None:
    support = Support(synapse, "hd1")
    bot = HelpDesk(support.bot, tmp_path / "desk.db")
    whole, cut = bot.conversation(support.eva), bot.conversation(support.eva, crash=True)
    moved, lost = bot.conversation(support.eva), bot.conversation(support.eva)
    desk = Desk(bot.path, "", mapping("help-desk"))
    desk.sql("DELETE FROM conversation_to_room WHERE conversation_id = 4")
    desk.sql("UPDATE conversation_to_room SET matrix_room_id = '!left' WHERE conversation_id = 3")
    desk.sql("INSERT INTO conversation_to_room VALUES ('!gone:example.org', 9, NULL)")
    forged = support.room(support.eva)
    support.eva.put_state(forged, CONVERSATION, {"conversation_id": 2})
    odd = bot.conversation(support.eva, crash=True)
    bot.mark(odd, "007")
    bot.mark(twin := bot.conversation(support.eva, crash=True), 1)
    before = desk.dump()
    report, _ = await support.reconcile(desk)
    assert {link["id"]: link["room_id"] for link in report["restored_links"]} == {
        "2": cut,
        "4": lost,
    }
    assert report["repaired_links"] == [{"id": "3", "room_id": moved, "previous_room": "!left"}]
    assert [(c["code"], c["room_id"]) for c in report["conflicts"]] == [("duplicate_id", twin)]
    assert {(s["room_id"], s["reason"]) for s in report["skipped_rooms"]} == {
        (forged, "not_created_by_bot"),
        (odd, "no_evidence"),
    }
    assert report["orphaned_rows"] == ["link:conversation_to_room:9"]
    assert report["unchanged_rooms"] == [whole]
    kept = desk.sql("SELECT conversation_id, last_event FROM conversation_to_room ORDER BY 1")
    assert kept == [(1, "$last"), (2, None), (3, "$last"), (4, None), (9, None)]
    again, _ = await support.reconcile(desk)
    assert again["restored_links"] == again["repaired_links"] == []
    await taken_back(desk)
    assert desk.dump() == before


async def test_a_room_that_a_user_upgraded_keeps_its_conversation_and_one_room_is_enough(
    synapse: Synapse, tmp_path: Path
) -> None:
    support = Support(synapse, "hd2")
    bot = HelpDesk(support.bot, tmp_path / "desk.db")
    old = bot.conversation(support.eva)
    met = bot.conversation(support.eva, crash=True)
    newer = support.eva.upgrade(old, "11")
    support.eva.invite(newer, support.bot.user_id)
    support.bot.join(newer)
    desk = Desk(bot.path, "", mapping("help-desk"))
    before = desk.dump()
    report, _ = await support.reconcile(desk, met)
    assert report["restored_links"] == [{"id": "2", "room_id": met}]
    await taken_back(desk)
    assert desk.dump() == before
    report, _ = await support.reconcile(desk)
    assert report["repaired_links"] == [{"id": "1", "room_id": newer, "previous_room": old}]
    await taken_back(desk)
    assert desk.dump() == before


async def test_a_mapping_cannot_tell_the_last_event_of_a_row_that_it_brings_back(
    synapse: Synapse, tmp_path: Path
) -> None:
    """And undo keeps off a row that the bot has put one into since."""
    support = Support(synapse, "hd3")
    bot = HelpDesk(support.bot, tmp_path / "desk.db")
    room = bot.conversation(support.eva, crash=True)
    desk = Desk(bot.path, "", mapping("help-desk"))
    await support.reconcile(desk)
    with opened(bot.path) as database:
        database.execute("UPDATE conversation_to_room SET last_event = '$new'")
    await taken_back(desk)
    assert desk.sql("SELECT * FROM conversation_to_room") == [(room, 1, "$new")]
