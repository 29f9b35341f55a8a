"""The recorded world is the demo's, and a lesson finds it, or the reader's own bot, by the environment."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from toolkit import Session
from toolkit.cli.look import look_decided
from toolkit.cli.options import Where
from toolkit.convention import Convention
from toolkit.demo import lessons as practice
from toolkit.demo.lessons import use_demo_world
from toolkit.demo.record import record
from toolkit.demo.recorded import Recorded, Served, serve_recorded
from toolkit.demo.world import DEMO_DRIFT, DEMO_SKIPPED, DemoWorld, Expected
from toolkit.model import Plan, Status
from toolkit.planning.plan import plan_repairs
from toolkit.records import room_key

NOTE = "The demo's world: 6 Spaces, 16 other rooms, 23 rows, recorded on a real Synapse."
VARIABLES = ("MATRIX_HOMESERVER", "MATRIX_ACCESS_TOKEN", "BOT_DATABASE")


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return Recorded.load()


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """Somebody who has set nothing yet."""
    monkeypatch.chdir(tmp_path)
    for name in (*VARIABLES, "MATRIX_ACCESS_TOKEN_FILE", "MATRIX_DRIFT_DEMO"):
        monkeypatch.setenv(name, "")  # or it would not remember that there was none
        monkeypatch.delenv(name)
    yield monkeypatch
    practice._leave()


def read_rows(database: str | Path) -> dict[str, Any]:
    with closing(sqlite3.connect(database)) as connection:
        return dict(connection.execute("SELECT key, value FROM kv"))


def said(plan: Plan) -> dict[str, Expected]:
    return {
        **{u.id: Expected(u.status, frozenset(f.code for f in u.findings)) for u in plan.units},
        **dict.fromkeys([*plan.in_sync_rooms, *plan.in_sync_users], Expected(Status.IN_SYNC)),
    }


# The recording


def test_the_planner_finds_the_same_drift_in_the_recorded_world(recorded: Recorded) -> None:
    world = recorded.world(Served("", "", Path()))
    plan = plan_repairs(recorded.snapshot.remote(Convention()), recorded.snapshot.local())
    assert len(world.expected) == len(DEMO_DRIFT)
    assert len(world.skipped) == len(DEMO_SKIPPED)
    assert said(plan) == world.expected
    assert {skip.room_id: skip.reason for skip in plan.skipped} == world.skipped
    assert plan.orphans == world.orphans


def test_what_is_shipped_names_nobody_and_opens_nothing(recorded: Recorded) -> None:
    texts = [body.decode() for body in recorded.snapshot.rooms.values()]
    texts += [f"{key} {value!r}" for key, value in recorded.rows.items()]
    everything = "\n".join([recorded.snapshot.account, *texts])
    servers = set(re.findall(r"[@!#][^\s\"]+?:([a-z0-9.-]+)", everything))
    assert servers == {"example.org"}
    assert not {"token", "password", "secret"} & set(re.findall(r"[a-z]+", everything))


async def test_the_recording_is_of_the_demo_as_it_is_made_today(
    demo_template: DemoWorld, recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, labels = tmp_path / "new.snapshot", tmp_path / "new.json"
    await record(demo_template, snapshot, labels)
    monkeypatch.setattr("toolkit.demo.recorded.SNAPSHOT", snapshot)
    monkeypatch.setattr("toolkit.demo.recorded.LABELS", labels)
    assert by_label(Recorded.load()) == by_label(recorded)


def by_label(recorded: Recorded) -> tuple[Any, Any]:
    """Rooms and rows with labels instead of ids, without what time and chance decide."""
    label_of = {room: f"<{label}>" for label, room in recorded.rooms.items()}

    def plain(text: str) -> str:
        for room, label in label_of.items():
            text = text.replace(room, label)
        return re.sub(r"\$[\w-]{43}", "<event>", text)

    rooms = {
        label_of[room]: sorted(
            plain(json.dumps([e["type"], e["state_key"], e["sender"], e["content"]]))
            for e in json.loads(body)
        )
        for room, body in recorded.snapshot.rooms.items()
    }
    return rooms, {plain(key): plain(str(value)) for key, value in recorded.rows.items()}


def test_over_http_and_sqlite_it_is_the_same_world(recorded: Recorded, tmp_path: Path) -> None:
    with serve_recorded(tmp_path) as served:
        where = Where(homeserver=served.url, database=str(served.database), token=served.token)
        assert said(look_decided(where).plan) == recorded.world(served).expected


def test_the_database_holds_every_row_as_it_was(recorded: Recorded, tmp_path: Path) -> None:
    recorded.write_database(tmp_path / "bot.db")
    rows = read_rows(tmp_path / "bot.db")
    assert rows == recorded.rows
    assert "bot:settings" in rows
    with pytest.raises(json.JSONDecodeError):
        json.loads(rows[room_key(recorded.rooms["carol/1"])])


# The lessons' first cell


async def test_a_lesson_finds_the_demos_world_where_it_would_find_a_bot(
    reader: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert repr(await use_demo_world(tmp_path)) == NOTE
    session = await Session.open()
    assert "1 in sync, 4 missing, 4 mismatched, 4 conflict" in repr(session.plan)


async def test_a_second_call_starts_afresh(reader: pytest.MonkeyPatch, tmp_path: Path) -> None:
    await use_demo_world(tmp_path)
    first = {name: os.environ[name] for name in VARIABLES}
    with closing(sqlite3.connect(first["BOT_DATABASE"])) as database, database:
        database.execute("DELETE FROM kv")
    assert repr(await use_demo_world(tmp_path)) == NOTE
    second = {name: os.environ[name] for name in VARIABLES}
    assert not set(first.values()) & set(second.values())
    assert len(list(tmp_path.iterdir())) == 1
    assert read_rows(second["BOT_DATABASE"])
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection("127.0.0.1", int(first["MATRIX_HOMESERVER"].split(":")[2]))


def test_a_killed_kernel_leaves_no_folder(reader: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lesson = (
        "import asyncio, os, signal, sys\n"
        "from pathlib import Path\n"
        "from toolkit.demo.lessons import use_demo_world\n"
        "asyncio.run(use_demo_world(Path(sys.argv[1])))\n"
        "assert os.listdir(sys.argv[1])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", lesson, str(tmp_path)], stderr=subprocess.PIPE)
    assert done.returncode == -9, done.stderr.decode()
    end = time.monotonic() + 20
    while any(tmp_path.iterdir()):
        assert time.monotonic() < end
        time.sleep(0.02)


async def test_it_is_served_even_while_the_readers_loop_is_blocked(
    reader: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await use_demo_world(tmp_path)
    command = [sys.executable, "-c", "import toolkit.cli; toolkit.cli.main()", "check"]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: ASYNC221  # it shall block
    assert done.returncode == 2, done.stderr


async def test_your_own_bot_stays_yours(reader: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reader.setenv("MATRIX_HOMESERVER", "https://matrix.example.org")
    before = dict(os.environ)
    assert repr(await use_demo_world(tmp_path)) == "Your bot, as MATRIX_HOMESERVER says."
    assert dict(os.environ) == before
    assert not list(tmp_path.iterdir())


async def test_a_settings_file_is_your_own_bot_too(
    reader: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "matrix-drift.toml").write_text(
        "homeserver = 'https://matrix.example.org'\ndatabase = 'mine.db'\n"
    )
    assert repr(await use_demo_world()) == "Your bot, as matrix-drift.toml says."
    assert os.environ["MATRIX_HOMESERVER"] == "https://matrix.example.org"  # as a bot's code asks
    assert Path(os.environ["BOT_DATABASE"]) == tmp_path / "mine.db"
    reader.chdir(tmp_path.parent)
    await use_demo_world(tmp_path)
    assert "example.org" not in os.environ["MATRIX_HOMESERVER"]  # it was not the reader's word


async def test_a_variable_goes_before_the_settings_file(
    reader: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "matrix-drift.toml").write_text("homeserver = 'https://a.org'\ndatabase = 'a.db'\n")
    reader.setenv("BOT_DATABASE", "mine.db")
    await use_demo_world()
    assert os.environ["BOT_DATABASE"] == "mine.db"
    assert os.environ["MATRIX_HOMESERVER"] == "https://a.org"


async def test_who_turns_to_his_own_bot_keeps_nothing_of_the_demos(
    reader: pytest.MonkeyPatch,
) -> None:
    reader.setenv(
        "BOT_DATABASE", "mine.db"
    )  # but no homeserver yet: never the demo's with that one
    assert repr(await use_demo_world()) == NOTE
    assert os.environ["BOT_DATABASE"] != "mine.db"
    reader.setenv("MATRIX_HOMESERVER", "https://matrix.example.org")
    assert repr(await use_demo_world()) == "Your bot, as MATRIX_HOMESERVER says."
    assert os.environ["BOT_DATABASE"] == "mine.db"
    assert "MATRIX_ACCESS_TOKEN" not in os.environ


async def test_every_lesson_of_a_served_demo_has_a_fresh_database(
    reader: pytest.MonkeyPatch, recorded: Recorded, tmp_path: Path
) -> None:
    recorded.write_database(tmp_path / practice.PRISTINE)
    reader.setenv("MATRIX_DRIFT_DEMO", str(tmp_path))
    reader.setenv("MATRIX_HOMESERVER", "http://127.0.0.1:1")
    reader.setenv("BOT_DATABASE", str(tmp_path / "bot.db"))
    note = await use_demo_world()
    assert "as `matrix-drift demo` serves it" in repr(note)
    assert os.environ["MATRIX_HOMESERVER"] == "http://127.0.0.1:1"
    assert read_rows(os.environ["BOT_DATABASE"]) == recorded.rows
    reader.setenv("BOT_DATABASE", "/srv/mine.db")
    assert repr(await use_demo_world()) == "Your bot, as MATRIX_HOMESERVER says."


def test_nothing_stays_when_python_ends(reader: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code = (
        "import asyncio, logging; from toolkit.demo.lessons import use_demo_world\n"
        "logging.getLogger('asyncio').setLevel('ERROR')  # a busy machine is slow, which is no leak\n"
        "for _ in range(2): print(asyncio.run(use_demo_world()))"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{NOTE}\n" * 2, "")
    assert not list(tmp_path.iterdir())
