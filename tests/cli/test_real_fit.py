"""`fit` on a real Synapse: from a bot's database and its token to a file that its start-up takes."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path
from typing import Any

import pytest

import toolkit.cli
from tests.tables import PORTALS, Desk, portals
from toolkit import SQLiteStore, reconcile_links
from toolkit.homeserver.transport import PlainClient
from toolkit.links import LinkReport
from toolkit.sources.settings import read_settings
from toolkit.testing import ApiUser, Synapse


def portal(by: ApiUser, bot: ApiUser, gcid: str, receiver: str | None = None) -> str:
    """A room as a bridge makes it, by its bot or a ghost."""
    channel = {"id": gcid} | ({} if receiver is None else {"receiver": receiver})
    event: dict[str, Any] = {"type": "m.bridge", "state_key": f"chat://{gcid}"}
    event["content"] = {"bridgebot": bot.user_id, "channel": channel}
    invited = [] if by is bot else [bot.user_id]
    room = by.create_room(invite=invited, initial_state=[event], name=gcid)
    if by is not bot:
        bot.join(room)
    return room


def test_a_bridge_is_fitted_and_its_lost_rows_come_back(
    synapse: Synapse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    bot, one, two, eva = (
        ApiUser(synapse.url, synapse.register(f"{who}.fit"))
        for who in ("bot", "gc_1", "gc_2", "eva")
    )
    desk = Desk(tmp_path / "store.db", PORTALS, portals())
    desk.sql("DELETE FROM portal")
    made = [("g:1", "", bot), ("g:2", "", bot), ("dm:1", "eva", one), ("dm:2", "eva", two)]
    for gcid, receiver, by in made:
        room = portal(by, bot, gcid, receiver or None)
        told = (gcid, receiver, room)
        desk.sql("INSERT INTO portal (gcid, gc_receiver, mxid) VALUES (?, ?, ?)", *told)
    lost = portal(two, bot, "dm:3", "eva")
    forged = portal(eva, bot, "g:3")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MATRIX_HOMESERVER", synapse.url)
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN", bot.account.access_token)
    before = desk.dump()
    assert toolkit.cli.run(["fit", "store.db"]) == 0
    said = capfd.readouterr()
    assert "1 missing (missing_row)" in said.err and "1 not_created_by_bot" in said.err
    assert bot.account.access_token not in said.out + said.err
    link = tomllib.loads(said.out)["rows"]["link"]
    assert (link["table"], link["id"], link["room"], link["insert"]) == (
        *("portal", ["gcid", "gc_receiver"], "mxid"),
        True,
    )
    assert desk.dump() == before
    (tmp_path / "matrix-drift.toml").write_text(said.out)
    report = asyncio.run(_start(tmp_path, bot))
    assert report["restored_links"] == [{"id": '["dm:3","eva"]', "room_id": lost}]
    assert [skip["room_id"] for skip in report["skipped_rooms"]] == [forged]


async def _start(folder: Path, bot: ApiUser) -> LinkReport:
    layout = read_settings(folder / "matrix-drift.toml")["layout"]
    async with (
        PlainClient(bot.url, bot.account.access_token) as client,
        SQLiteStore(folder / "store.db", layout=layout) as store,
    ):
        return await reconcile_links(client, store, layout)
