"""All faces on the systems that the docs have mappings for, each with its own tables and rooms of a real Synapse."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import toolkit.cli
from tests.cli.command import Done
from tests.link_bots import Support
from tests.systems.desks import HelpDesk, SupportBot
from tests.systems.system import MAPPINGS, mapping, need
from tests.tables import Desk
from toolkit import Session
from toolkit.frames import LINK_COLUMNS
from toolkit.testing import ApiUser, Synapse

CHATS = re.compile(r"\b([Cc]hats?|[Uu]ser rows?)\b")


class Home:
    """A folder with a mapping as the docs show it, and commands that are run there as a person does."""

    def __init__(
        self,
        desk: Desk,
        name: str,
        bot: ApiUser,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.desk, self.bot, self.capsys = desk, bot, capsys
        folder = desk.path.parent
        text = (MAPPINGS / f"{name}.toml").read_text(encoding="utf-8")
        text = text.replace("https://example.org", bot.url)
        text = re.sub(r'database = ".+"', f"database = {json.dumps(desk.path.name)}", text)
        (folder / "matrix-drift.toml").write_text(text, encoding="utf-8")
        monkeypatch.chdir(folder)
        for variable in ("MATRIX_HOMESERVER", "BOT_DATABASE", "MATRIX_ACCESS_TOKEN_FILE"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("MATRIX_ACCESS_TOKEN", bot.account.access_token)

    def run(self, *words: str) -> Done:
        code = toolkit.cli.run(list(words))
        said = self.capsys.readouterr()
        assert self.bot.account.access_token not in said.out + said.err
        return Done(code, said.out, said.err)

    def units(self) -> dict[str, dict[str, Any]]:
        return {unit["unit"]: unit for unit in self.run("check", "--json").json["units"]}

    def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.run("history", "--json").json
        return found

    def walk(self, *picks: tuple[str, ...]) -> None:
        """From a look to undo: what is certain, then each pick by `apply` with its options."""
        before, table = self.desk.dump(), self.desk.layout.link.table
        shown = self.run("check")
        assert shown.code == 2 and table in shown.out and not CHATS.search(shown.out)
        assert f"row of {table}" in self.run("plan").out
        units = self.units()
        self.shot(units)
        self.look(units)
        assert self.desk.dump() == before
        certain = [u for u, unit in units.items() if unit["status"] != "conflict"]
        done = self.run("apply", "--approve-certain", "--json").json
        assert sorted(done["units"]) == sorted(certain)
        for pick in picks:
            assert self.run("apply", *pick).code == 0, pick
        assert not set(self.units()) & {*certain, *(pick[0] for pick in picks)}
        for run in self.runs():
            assert self.run("undo", "--yes", run["run"]).code == 0
        assert self.desk.dump() == before

    def shot(self, units: dict[str, dict[str, Any]]) -> None:
        """A snapshot says the same, an anonymised one too, with no name of anybody."""
        assert self.run("snapshot", "shot.json").code == 0
        there = self.run("check", "--json", "--snapshot", "shot.json").json["units"]
        assert {unit["unit"]: unit["findings"] for unit in there} == {
            unit: told["findings"] for unit, told in units.items()
        }
        assert self.run("snapshot", "--anonymise", "anonymous.json").code == 0
        hidden = self.run("check", "--json", "--snapshot", "anonymous.json").json["units"]
        assert sorted(kinds(hidden)) == sorted(kinds(there))
        text = Path("anonymous.json").read_text(encoding="utf-8")
        named = {cell for row in self.desk.sql(self.rows) for cell in row if isinstance(cell, str)}
        assert not [name for name in {*named, *units} if len(name) > 6 and name in text]
        Path("shot.json").unlink()
        Path("anonymous.json").unlink()

    @property
    def rows(self) -> str:
        link = self.desk.layout.link
        columns = ", ".join(f'"{name}"' for name in (*link.ids, link.room))
        return f'SELECT {columns} FROM "{link.table}"'  # a test's own names

    def look(self, units: dict[str, dict[str, Any]]) -> None:
        """Session, frames and the map have the same units."""

        async def open_session() -> Session:
            return await Session.open()

        session = asyncio.run(open_session())
        assert set(session.plan.to_frame().index) == set(units)
        for name in ("rooms", "rows", "drift"):
            frame = getattr(session, name)
            columns = [frame.index.name, *frame.columns] if frame.index.name else list(frame)
            assert [*columns] == [*LINK_COLUMNS[name]], name
        assert "rooms" in session.plot().words


def kinds(units: list[dict[str, Any]]) -> list[str]:
    return [f"{unit['status']} {[found['code'] for found in unit['findings']]}" for unit in units]


@pytest.fixture
def home(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Home]:
    return lambda desk, name, bot: Home(desk, name, bot, monkeypatch, capsys)


def test_a_support_bots_tickets(
    synapse: Synapse, tmp_path: Path, home: Callable[..., Home]
) -> None:
    support = Support(synapse, "face1")
    bot = SupportBot(support.bot, tmp_path / "support.db")
    bot.ticket(support.eva)
    upgraded, _cut = bot.ticket(support.eva), bot.ticket(support.eva, crash=True)
    twin = bot.ticket(support.eva, crash=True)
    support.room(name="Ticket #4 (eva)")
    support.bot.upgrade(upgraded)
    desk = Desk(bot.path, "", mapping("support-bot"))
    home(desk, "support-bot", support.bot).walk((twin, "--id", "4"))


def test_a_help_desks_conversations(
    synapse: Synapse, tmp_path: Path, home: Callable[..., Home]
) -> None:
    support = Support(synapse, "face2")
    bot = HelpDesk(support.bot, tmp_path / "desk.db")
    bot.conversation(support.eva)
    bot.conversation(support.eva, crash=True)
    twin = bot.conversation(support.eva, crash=True)
    bot.mark(bot.conversation(support.eva, crash=True), 3)
    forged = support.room(support.eva)
    support.eva.put_state(forged, "org.example.desk.conversation", {"conversation_id": 2})
    desk = Desk(bot.path, "", mapping("help-desk"))
    home(desk, "help-desk", support.bot).walk((twin, "--id", "3"))


def test_a_bridges_portals(synapse: Synapse, tmp_path: Path, home: Callable[..., Home]) -> None:
    need("mautrix_googlechat")
    from tests.systems.test_googlechat import Bridge

    bridge = Bridge(synapse, "face3", tmp_path, mapping("mautrix-googlechat"))
    bridge.portal("space:whole")
    bridge.portal("space:cut", crash=True)
    bridge.portal("dm:cut", "117", crash=True)
    bridge.portal("space:twin", crash=True)
    desk, rooms = bridge.run()
    event = {"type": "m.bridge", "state_key": "x", "content": {"channel": {"id": "space:twin"}}}
    bridge.room(initial_state=[event])
    place = home(desk, "mautrix-googlechat", bridge.bot)
    place.walk((rooms["space:twin"], "--id", "space:twin", "--id", ""))


def test_a_bots_spaces(synapse: Synapse, tmp_path: Path, home: Callable[..., Home]) -> None:
    need("gptbot")
    from tests.systems.test_gptbot import Spaces

    bot = Spaces(synapse, "face4", tmp_path, "anna enable", "carl enable")
    bot.join("carl")
    bot.bot.upgrade(bot.spaces["anna"])
    bot.desk.sql("DELETE FROM user_spaces WHERE user_id = ?", bot.id("carl"))
    place = home(bot.desk, "matrix-gptbot", bot.bot)
    place.walk((bot.spaces["carl"],))
