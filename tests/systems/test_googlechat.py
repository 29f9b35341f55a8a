"""mautrix-googlechat: portals with composite ids, by its own migrations, rows and state events (rules 6)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.link_bots import Support, taken_back
from tests.systems.system import login, mapping, need, play
from tests.tables import Desk
from toolkit import Layout
from toolkit.testing import ApiUser, Synapse

NAME = "mautrix-googlechat"


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    need("mautrix_googlechat")


class Bridge(Support):
    """The bridge's bot, a ghost of it, and the portals that it made."""

    def __init__(self, hs: Synapse, name: str, folder: Path, layout: Layout) -> None:
        super().__init__(hs, name)
        self.ghost = ApiUser(hs.url, hs.register(f"googlechat_{name}"))
        self.path, self.layout = folder / "bridge.db", layout
        self.portals: list[dict[str, Any]] = []

    def portal(self, gcid: str, receiver: str = "", *, crash: bool = False) -> None:
        """To be made by the bot, or for a direct chat by its ghost, which invites the bot."""
        ghost = receiver != ""
        self.portals.append(
            {
                "gcid": gcid,
                "receiver": receiver,
                "name": None if ghost else f"Space {gcid}",
                "by": login(self.ghost if ghost else self.bot),
                "invite": [self.bot.user_id] if ghost else [],
                "crash": crash,
            }
        )

    def run(self) -> tuple[Desk, dict[str, str]]:
        told = {"database": str(self.path), "bot": self.bot.user_id, "portals": self.portals}
        rooms = play("googlechat", told)
        for portal in self.portals:
            if portal["invite"]:
                self.bot.join(rooms[portal["gcid"]])
        return Desk(self.path, "", self.layout), rooms


def inserting(layout: Layout) -> Layout:
    """The mapping with `insert = true`."""
    told = msgspec.to_builtins(layout)
    told["rows"]["link"]["insert"] = True
    return Layout.of(**told)


def links(report: Any, key: str) -> dict[str, str]:
    return {link["id"]: link["room_id"] for link in report[key]}


async def test_rows_find_their_rooms_again_and_missing_ones_are_only_shown(
    synapse: Synapse, tmp_path: Path
) -> None:
    bridge = Bridge(synapse, "gc1", tmp_path, mapping(NAME))
    bridge.portal("space:whole")
    bridge.portal("space:cut", crash=True)
    bridge.portal("dm:cut", "117", crash=True)
    bridge.portal("space:upgraded")
    bridge.portal("space:lost")
    desk, rooms = bridge.run()
    desk.sql("DELETE FROM portal WHERE gcid = 'space:lost'")
    newer = bridge.bot.upgrade(rooms["space:upgraded"])
    before = desk.dump()
    report, _ = await bridge.reconcile(desk)
    assert links(report, "repaired_links") == {
        '["dm:cut","117"]': rooms["dm:cut"],
        '["space:cut",""]': rooms["space:cut"],
        '["space:upgraded",""]': newer,
    }
    assert not (report["restored_links"] or report["conflicts"])
    assert report["unchanged_rooms"] == [rooms["space:whole"]]
    assert rooms["space:lost"] in report["joined_rooms"]
    await taken_back(desk)
    assert desk.dump() == before


async def test_forged_and_disagreeing_bridge_events_tell_nothing(
    synapse: Synapse, tmp_path: Path
) -> None:
    bridge = Bridge(synapse, "gc2", tmp_path, mapping(NAME))
    bridge.portal("space:a", crash=True)
    bridge.portal("space:b")
    desk, rooms = bridge.run()
    channel = {"channel": {"id": "space:a"}}
    event = {"type": "m.bridge", "state_key": "x", "content": channel}
    hers = bridge.room(bridge.eva, name="Space space:a", initial_state=[event])
    bridge.bot.put_state(rooms["space:b"], "m.bridge", channel, "other")
    twin = bridge.room(initial_state=[event])
    before = desk.dump()
    report, _ = await bridge.reconcile(desk)
    assert {(c["code"], c["room_id"]) for c in report["conflicts"]} == {
        ("evidence_disagrees", rooms["space:b"]),
        ("duplicate_id", rooms["space:a"]),
        ("duplicate_id", twin),
    }
    assert report["skipped_rooms"] == [{"room_id": hers, "reason": "not_created_by_bot"}]
    assert desk.dump() == before


async def test_rows_of_spaces_may_be_inserted_and_undo_keeps_off_one_with_messages(
    synapse: Synapse, tmp_path: Path
) -> None:
    bridge = Bridge(synapse, "gc3", tmp_path, inserting(mapping(NAME)))
    bridge.portal("space:a")
    bridge.portal("space:b")
    desk, rooms = bridge.run()
    desk.sql("DELETE FROM portal")
    before = desk.dump()
    report, _ = await bridge.reconcile(desk)
    assert links(report, "restored_links") == {
        f'["{gcid}",""]': room for gcid, room in rooms.items()
    }
    assert desk.sql("SELECT gcid, gc_receiver, mxid, name, name_set FROM portal ORDER BY gcid") == [
        (gcid, "", room, None, 0) for gcid, room in rooms.items()
    ]
    await taken_back(desk)
    assert desk.dump() == before
    await bridge.reconcile(desk)
    desk.sql(
        """INSERT INTO message (mxid, mx_room, gcid, gc_chat, gc_receiver, "index", timestamp)
        VALUES ('$1', ?, 'm1', 'space:a', '', 0, 1)""",
        rooms["space:a"],
    )
    await taken_back(desk)
    assert desk.sql("SELECT gcid FROM portal") == [("space:a",)]
    assert desk.sql("SELECT count(*) FROM message") == [(1,)]


async def test_a_mapping_cannot_say_whose_a_direct_chat_is(
    synapse: Synapse, tmp_path: Path
) -> None:
    """`m.bridge` names no receiver, so a row that is made would be nobody's: hence `insert = false`."""
    bridge = Bridge(synapse, "gc4", tmp_path, inserting(mapping(NAME)))
    bridge.portal("space:a")
    bridge.portal("dm:x", "117")
    desk, rooms = bridge.run()
    desk.sql("DELETE FROM portal WHERE gcid = 'dm:x'")
    report, _ = await bridge.reconcile(desk, dry_run=True)
    assert links(report, "restored_links") == {'["dm:x",""]': rooms["dm:x"]}
    desk.layout = mapping(NAME)
    before = desk.dump()
    report, _ = await bridge.reconcile(desk)
    assert report["restored_links"] == [] and desk.dump() == before
