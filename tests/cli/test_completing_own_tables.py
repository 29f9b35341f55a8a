"""What a shell completes for a bot whose rows stand in tables of its own: rooms, users, ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import Md
from tests.cli.test_cli_layout import toml
from tests.cli.test_completion import Shell
from tests.tables import CHAT_ROWS, CHAT_TABLES, CONVERSATIONS, PORTALS, TICKETS, Desk, tickets
from toolkit.database.names import local_ids, mapped_names
from toolkit.testing import FakeHomeserver

COMPOSITE = {"table": "portal", "id": ["gcid", "gc_receiver"], "room": "mxid"}


@pytest.fixture
def shell(md: Md, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(md, monkeypatch)


def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str, **link: object) -> Desk:
    desk = Desk(tmp_path / "own.db", made, tickets())
    monkeypatch.setenv("BOT_DATABASE", str(desk.path))
    text = toml("shape", {"kind": "links"}) + toml("rows.link", link)
    (tmp_path / "matrix-drift.toml").write_text(text)
    return desk


def test_rooms_and_ids_of_a_table_of_links(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: FakeHomeserver
) -> None:
    desk = use(tmp_path, monkeypatch, TICKETS, table="tickets", id="id", room="user_room_id")
    assert shell("matrix-drift apply !") == ["!three", "!two"]
    assert shell("matrix-drift ignore '!t") == ["!three", "!two"]
    assert shell("matrix-drift apply !two --id ") == ["1", "2", "3"]
    desk.sql("INSERT INTO tickets (id, user_id) VALUES (12, 1)")
    assert shell("matrix-drift apply !two --id 1") == ["1", "12"]
    assert shell("matrix-drift apply !two --id 1 --id ") == []
    desk.sql("DROP TABLE tickets")
    assert shell("matrix-drift apply !") == shell("matrix-drift apply !two --id ") == []
    assert not server.requests


def test_parts_of_a_composite_id_one_after_the_other(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = use(tmp_path, monkeypatch, PORTALS, **COMPOSITE)
    desk.sql("INSERT INTO portal (gcid, gc_receiver) VALUES ('space:b', 'eva'), ('dm:x', 'ben')")
    assert shell("matrix-drift apply !a --id ") == ["dm:x", "space:a", "space:b"]
    assert shell("matrix-drift apply !a --id s") == ["space:a", "space:b"]
    assert shell("matrix-drift apply !a --id space:b --id ") == ["eva"]


def test_only_rows_that_count_and_a_number_as_it_is_typed(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = {"table": "conversation_to_room", "id": "conversation_id", "room": "matrix_room_id"}
    use(tmp_path, monkeypatch, CONVERSATIONS, where={"last_event": "$x"}, **link)
    assert shell("matrix-drift apply !") == ["!two"]
    assert shell("matrix-drift apply !two --id ") == ["2"]


def test_chats_in_three_tables(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path / "own.db", CHAT_TABLES, tickets())
    desk.sql("INSERT INTO users (mxid, next) VALUES ('@eva:hs', 1)")
    desk.sql("INSERT INTO rooms (id) VALUES ('!one')")
    desk.sql(
        "INSERT INTO chats VALUES ('@eva:hs', 1, '!two', NULL, 'me'), ('@b:hs', 1, '!b', '', '')"
    )
    monkeypatch.setenv("BOT_DATABASE", str(desk.path))
    text = "".join(toml(f"rows.{family}", told) for family, told in CHAT_ROWS.items())
    (tmp_path / "matrix-drift.toml").write_text(text)
    assert shell("matrix-drift apply ") == ["!one", "!two", "@eva:hs"]
    assert shell("matrix-drift apply !one --id ") == []


def test_what_cannot_be_read_is_nothing(tmp_path: Path) -> None:
    assert mapped_names(tmp_path / "absent.db", tickets(), "") == []
    assert local_ids(tmp_path / "absent.db", tickets(), [], "") == []
