"""Commands for a bot whose rows stand in tables of its own, by the mapping in `matrix-drift.toml`."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench import ALICE, Bench, small_rows
from tests.cli.command import TOKEN, Md
from tests.tables import CHAT_ROWS, CHAT_TABLES, CHATS, TICKETS, Desk, fill_chats, tickets
from toolkit import Session, ToolkitError, reconcile_matrix_state
from toolkit.records import room_key, user_key
from toolkit.testing import FakeHomeserver


def toml(table: str, values: dict[str, Any]) -> str:
    lines = [f"[{table}]"]
    for name, value in values.items():
        told = json.dumps(value)
        if isinstance(value, dict):
            told = "{ " + ", ".join(f"{k} = {json.dumps(v)}" for k, v in value.items()) + " }"
        lines.append(f"{name} = {told}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: None) -> Desk:
    """Alice's user row and one room row are gone."""
    found = Desk(tmp_path / "own.db", CHAT_TABLES, CHATS)
    rows = small_rows()
    del rows[user_key(ALICE)], rows[room_key("!a1")]
    fill_chats(found, rows)
    monkeypatch.setenv("BOT_DATABASE", str(found.path))
    text = "".join(toml(f"rows.{name}", values) for name, values in CHAT_ROWS.items())
    (tmp_path / "matrix-drift.toml").write_text(text)
    return found


def test_check_apply_history_and_undo_work_on_tables_of_the_bots_own(
    md: Md, bench: Bench, desk: Desk
) -> None:
    bench.world.name("!a2", "Чат 2")
    before = desk.dump()
    assert md("check").code == 2
    assert md("apply", "--approve-certain").code == 0
    assert desk.sql("SELECT mxid, next FROM users ORDER BY mxid") == [(ALICE, 3), ("@bob:hs", 2)]
    assert md("check").code == 0
    [run] = md("history", "--json").json
    assert md("undo", run["run"], "--yes").code == 0
    assert desk.dump() == before


def test_a_mistake_in_the_mapping_is_one_sentence(md: Md, desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "matrix-drift.toml"
    file.write_text(file.read_text().replace('table = "users"', 'table = "people"'))
    assert md("check").said("has no table 'people'", "[rows.user]")
    file.write_text(file.read_text().replace('table = "people"', ""))
    assert md("check").said("rows.user: `table` is missing.")


async def test_a_session_on_the_bots_own_store_takes_its_layout(
    server: FakeHomeserver, tmp_path: Path, environment: None
) -> None:
    desk = Desk(tmp_path / "own.db", CHAT_TABLES, CHATS)
    fill_chats(desk, small_rows())
    async with desk.store() as store:
        session = await Session.open(homeserver=server.url, access_token=TOKEN, store=store)
        assert list(session.rows.index) == sorted(small_rows())
    links = Desk(tmp_path / "links.db", TICKETS, tickets())
    async with links.store() as store:
        client: Any = object()
        with pytest.raises(ToolkitError, match="call reconcile_links"):
            await reconcile_matrix_state(client, store, None)
