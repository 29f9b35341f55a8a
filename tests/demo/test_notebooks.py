"""The lessons are true: on the recorded world, on a real Synapse, and harmless on somebody's own bot.

That their stored outputs are what the cells say is tested by nbval, as part of the test command; here is
what nbval leaves open.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import logging
import os
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from nbclient.exceptions import CellExecutionError
from nio import AsyncClient

from tests.make_notebooks import (
    KERNEL,
    find_notebooks,
    make_notebook,
    normalise,
    read_notebook,
    run_notebook,
    write_notebook,
)
from toolkit import ChatManager, Session, SQLiteStore
from toolkit.demo import careless_bot as hasty
from toolkit.demo.recorded import Recorded, Served, serve_recorded
from toolkit.demo.world import DemoWorld
from toolkit.records import chat_key, room_key, user_key
from toolkit.sources.snapshot import Snapshot

ROOT = Path(__file__).parent.parent.parent
NAMES = [path.stem for path in find_notebooks()]
INSPECT, APPROVE, ONE_ROOM, WIRE, SHADOW, ANY_ROWS = NAMES
OTHER = "@helper:example.org"

each_notebook = pytest.mark.parametrize("path", find_notebooks(), ids=NAMES)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def words(notebook: Any) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def ignored(cell: Any) -> bool:
    tags = cell.metadata.get("tags", ())
    return "NBVAL_IGNORE_OUTPUT" in cell.source or "nbval-ignore-output" in tags


def texts(cell: Any) -> Iterator[str]:
    """What a reader sees of a cell's outputs, pictures apart."""
    for output in cell.outputs:
        yield output.get("text", "")
        for kind, text in output.get("data", {}).items():
            if "image" not in kind:
                yield re.sub(r"base64,[^\"]*", "", text)


# What is committed


@each_notebook
def test_every_cell_was_run_in_order_and_none_failed_or_grumbled(path: Path) -> None:
    cells = code_cells(read_notebook(path))
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = [output for cell in cells for output in cell.outputs]
    assert len(outputs) > len(cells) / 2
    assert all(output.get("name") != "stderr" for output in outputs)
    assert all(output.output_type != "error" for output in outputs)


@each_notebook
def test_a_cell_is_short_and_defines_nothing(path: Path) -> None:
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    for cell in code_cells(read_notebook(path)):
        assert len(cell.source.splitlines()) < 10
        tree = compile(cell.source, path.name, "exec", ast.PyCF_ONLY_AST | _AWAIT)
        assert not [node for node in ast.walk(tree) if isinstance(node, definitions)]


@each_notebook
def test_a_cell_whose_output_is_ignored_is_followed_by_one_that_is_compared(path: Path) -> None:
    cells = code_cells(read_notebook(path))
    for cell, following in zip(cells, [*cells[1:], None], strict=True):
        if ignored(cell):
            assert following
            assert following.outputs
            assert not ignored(following)


VOLATILE = {
    "a path": r"/(home|root|tmp|Users|var|work)/|[A-Z]:\\\\",
    "a port of this run": r"127\.0\.0\.1|localhost:\d\d",
    "a token": r"\b[0-9a-f]{32}\b|\bsyt_",
    "a run or a backup": r"\b20\d{6}T\d{6}",
    "a time": r"\b20\d\d-\d\d-\d\d|\b\d\d:\d\d:\d\d\b",
    "an address in memory": r"\b0x[0-9a-f]{6,}",
    "a widget": r"widget-view|\bIPY_MODEL_",
}


@each_notebook
@pytest.mark.parametrize("pattern", VOLATILE.values(), ids=VOLATILE)
def test_outputs_hold_nothing_of_a_run_or_a_machine(path: Path, pattern: str) -> None:
    for cell in code_cells(read_notebook(path)):
        for text in texts(cell):
            assert not re.search(pattern, text)
            assert socket.gethostname() not in text


@each_notebook
def test_a_notebook_is_small_and_stored_as_the_script_stores_it(path: Path) -> None:
    notebook = read_notebook(path)
    assert path.stat().st_size < 200_000  # the map stands there twice
    assert normalise(notebook) == path.read_text(encoding="utf-8")
    assert notebook.metadata == {"kernelspec": KERNEL}


@each_notebook
def test_a_lesson_says_how_to_run_it_on_a_bot_and_leads_to_what_exists(path: Path) -> None:
    text = words(read_notebook(path))
    for variable in ("MATRIX_HOMESERVER", "MATRIX_ACCESS_TOKEN", "BOT_DATABASE"):
        assert f"`{variable}`" in text
    assert ("MATRIX_DRIFT_PRACTICE" in text) == (path.stem in (APPROVE, ONE_ROOM, WIRE))
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (path.parent / target).is_file()


# Outputs that are no longer true are seen


def tamper(cells: Mapping[str, Any]) -> None:
    """Change a text and a table's markup, and clear an output."""
    cells["before"].outputs[0].text = "{}\n"
    table = cells["missing"].outputs[0].data
    table["text/html"] = table["text/html"].replace("@bob", "@eve")
    cells["unregistered"].outputs = []


@pytest.mark.slow
def test_the_test_command_fails_for_outputs_that_were_changed_or_cleared(tmp_path: Path) -> None:
    """And for no other: the cells before and after them pass."""
    notebook = lesson(ONE_ROOM)
    cells = code_cells(notebook)
    tamper({cell.id: cell for cell in cells})
    write_notebook(tmp_path / "tampered.ipynb", notebook)
    command = ["pytest", "-c", "pyproject.toml", "-n0", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [sys.executable, "-m", *command, tmp_path],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("COV")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, run.stdout + run.stderr
    failed = re.findall(r"^FAILED .*?tampered\.ipynb::Cell (\d+)", run.stdout, re.MULTILINE)
    assert {cells[int(number)].id for number in failed} == {"before", "missing", "unregistered"}


# Tasks that nobody awaits are seen

_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

WATCH = """
import asyncio
_tasks = []
def _remember(loop, coroutine, **options):
    _tasks.append(asyncio.Task(coroutine, loop=loop, **options))
    return _tasks[-1]
asyncio.get_running_loop().set_task_factory(_remember)
"""
# What asyncio itself would say, but only when the task is collected, and then only to a log. The
# kernel's own tasks are no concern of a lesson's.
CHECK = """
_kernel = ("ipykernel", "IPython", "zmq", "tornado")
_tasks = [t for t in _tasks if not any(k in t.get_coro().cr_code.co_filename for k in _kernel)]
_left = [t for t in _tasks if not t.done()]
if _left: raise RuntimeError(f"still running: {_left}")
_lost = [t for t in _tasks if not t.cancelled() and t._log_traceback]
for _task in _lost: raise RuntimeError(f"nobody awaited {_task}") from _task.exception()
"""


def run_watched(notebook: Any, folder: Path, settings: Mapping[str, str]) -> None:
    """Run a notebook; raises for a cell that does, and for what a task's exception would leave unsaid."""
    for cell in notebook.cells:
        cell.pop("id", None)
    watch, check = make_notebook([WATCH, CHECK]).cells
    notebook.cells = [watch, *notebook.cells, check]
    run_notebook(notebook, folder, settings)


START = "import asyncio\ntask = asyncio.create_task(asyncio.to_thread(int, 'x'))"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("await asyncio.sleep(0.1)", "nobody awaited"),
        ("del task\nawait asyncio.sleep(0.1)", "nobody awaited"),
        ("await task", "invalid literal"),
        ("task = asyncio.create_task(asyncio.sleep(600))", "still running"),
    ],
)
def test_a_tasks_exception_cannot_pass_silently(tmp_path: Path, source: str, says: str) -> None:
    with pytest.raises(CellExecutionError, match=says):
        run_watched(make_notebook([START, source]), tmp_path, {})


def test_a_task_that_was_awaited_is_in_order(tmp_path: Path) -> None:
    awaited = "try:\n    await task\nexcept ValueError as error:\n    print(error)"
    again = "task = asyncio.create_task(asyncio.sleep(0))\nawait task"
    run_watched(make_notebook([START, awaited, again]), tmp_path, {})


# The same notebooks on a bot of one's own


class Bot(NamedTuple):
    """What the environment says of a bot."""

    served: Served
    account: str

    @property
    def settings(self) -> dict[str, str]:
        url, token, database = self.served
        return {
            "MATRIX_HOMESERVER": url,
            "MATRIX_ACCESS_TOKEN": token,
            "BOT_DATABASE": str(database),
        }

    @property
    def practice(self) -> dict[str, str]:
        return {**self.settings, "MATRIX_DRIFT_PRACTICE": self.account}

    def look(self) -> Session:
        url, token, database = self.served
        opening = Session.open(homeserver=url, access_token=token, database=database)
        return asyncio.run(opening)

    def rows(self) -> dict[str, Any]:
        with closing(sqlite3.connect(self.served.database)) as database:
            return dict(database.execute("SELECT key, value FROM kv"))

    def files(self) -> dict[str, bytes]:
        folder = self.served.database.parent
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def renamed(recorded: Recorded, account: str, only: str = "") -> Recorded:
    """The recorded world as another bot's, or what of it belongs to one user."""
    old, new = recorded.snapshot.account.encode(), account.encode()
    wanted = {room for label, room in recorded.rooms.items() if label.startswith(only)}
    rooms = {
        room: body.replace(old, new)
        for room, body in recorded.snapshot.rooms.items()
        if room in wanted
    }
    rows = {
        key: raw
        for key, raw in recorded.snapshot.rows.items()
        if f"@{only}" in key or any(room in key for room in wanted)
    }
    snapshot = Snapshot(account, rooms, {}, rows)
    return Recorded(snapshot, recorded.users, recorded.rooms, recorded.others)


@pytest.fixture
def account() -> str:
    """Whose bot it is; a test may have it otherwise."""
    return OTHER


@pytest.fixture
def own_bot(tmp_path: Path, account: str) -> Iterator[Bot]:
    """A bot that is not the demo's, with everything that can be wrong."""
    (tmp_path / "bot").mkdir()
    with serve_recorded(tmp_path / "bot", renamed(Recorded.load(), account)) as served:
        yield Bot(served, account)


@pytest.fixture(
    params=["own_bot", pytest.param("synapse", marks=pytest.mark.synapse)],
    ids=["recorded", "synapse"],
)
def bot(request: pytest.FixtureRequest) -> Bot:
    """A bot to practise on, its homeserver played or real."""
    if request.param == "own_bot":
        played: Bot = request.getfixturevalue("own_bot")
        return played
    demo: DemoWorld = request.getfixturevalue("demo")
    return Bot(Served(demo.url, demo.account.access_token, demo.database), demo.account.user_id)


def practise(bot: Bot, name: str, folder: Path) -> None:
    run_watched(lesson(name), folder, bot.practice)


def lesson(name: str) -> Any:
    return read_notebook(find_notebooks()[NAMES.index(name)])


def one_after_the_other(*names: str) -> Any:
    """Lessons in one kernel, whose start takes longer than a lesson."""
    first, *others = map(lesson, names)
    for other in others:
        first.cells += other.cells
    return first


def written(session: Session, *units: str) -> dict[str, Any]:
    """Rows by key as the plan wants them afterwards."""
    return {key: row["after"] for unit in units for key, row in session.plan.rows(unit).items()}


def decoded(rows: Mapping[str, str], keys: Mapping[str, Any]) -> dict[str, Any]:
    return {key: json.loads(rows[key]) for key in keys}


def others(rows: Mapping[str, str], *keys: str) -> dict[str, str]:
    return {key: raw for key, raw in rows.items() if key not in keys}


@pytest.mark.slow
def test_lessons_1_5_and_6_write_nothing_and_6_is_about_a_help_desk_of_its_own(
    bot: Bot, tmp_path: Path
) -> None:
    """Whatever bot is named."""
    before = bot.files()
    notebook = one_after_the_other(INSPECT, SHADOW, ANY_ROWS)
    notebook.cells += make_notebook(
        ["import os; print(os.environ['BOT_DATABASE'], desk.database)"]
    ).cells
    run_watched(notebook, tmp_path, bot.practice)
    assert bot.files() == before
    [told] = code_cells(notebook)[-2].outputs
    named, own = map(Path, told.text.split())
    assert named == bot.served.database and own.name == "desk.db" and not own.parent.exists()


@pytest.mark.slow
def test_lesson_2_leaves_what_was_approved_and_not_what_was_taken_back(
    bot: Bot, tmp_path: Path
) -> None:
    before, session = bot.rows(), bot.look()
    plan: Any = session.plan.to_frame()
    repaired = plan.query("status == 'mismatched' and approvable and not needs_human").index
    wanted = written(session, *repaired)
    undone = plan.query("kind == 'room' and status == 'missing'").index[0]
    twins: Any = session.rooms.loc[plan.query("codes == 'duplicate_chat_id'").index]
    kept = twins["members"].idxmax()
    keys = room_key(kept), chat_key(twins["owner"][kept], twins["chat_id"][kept])

    practise(bot, APPROVE, tmp_path)

    after = bot.rows()
    assert decoded(after, wanted) == wanted
    assert json.loads(after[keys[0]])["chat_id"] == twins["chat_id"][kept]
    assert json.loads(after[keys[1]])["surface_ref"] == kept
    assert others(after, *wanted, *keys) == others(before, *wanted, *keys)
    assert written(session, undone).keys().isdisjoint([*wanted, *keys])  # so they are as before
    history: Any = bot.look().history()
    assert [*history["action"]] == ["approved", "undo", "approved"]
    assert history["undoes"].iloc[1] == history.index[0]


@pytest.mark.slow
def test_lesson_3_brings_the_rows_of_one_room_back(bot: Bot, tmp_path: Path) -> None:
    before, session = bot.rows(), bot.look()
    missing: Any = session.plan.to_frame().query("kind == 'room' and status == 'missing'")
    room = missing["rows"].idxmax()
    user = missing["owner"][room]
    wanted = written(session, room, user)
    chat = chat_key(user, missing["chat_id"][room])
    assert wanted.keys() == {room_key(room), chat, user_key(user)}

    practise(bot, ONE_ROOM, tmp_path)

    after = bot.rows()
    assert decoded(after, wanted) == wanted
    assert others(after, *wanted) == others(before, *wanted)


@pytest.mark.slow
def test_lesson_4_leaves_to_do_what_needs_a_person(bot: Bot, tmp_path: Path) -> None:
    before, session = bot.rows(), bot.look()
    plan: Any = session.plan.to_frame()
    certain = plan.query("approvable and not needs_human").index
    wanted = written(session, *certain)

    practise(bot, WIRE, tmp_path)

    after = bot.rows()
    assert decoded(after, wanted) == wanted
    assert others(before, *wanted).keys() == others(after, *wanted).keys()
    assert bot.look().plan.to_frame()["needs_human"].all()


@pytest.mark.slow
@pytest.mark.parametrize("account", [OTHER, Recorded.load().snapshot.account])
def test_on_somebodys_own_bot_the_lessons_write_nothing(own_bot: Bot, tmp_path: Path) -> None:
    """Not even what was approved before: the board's button or a line of one's own applies it. Nor if
    the bot is called as the demo's is."""
    session = own_bot.look()
    session.approve(session.pending())
    before = own_bot.files()
    run_watched(one_after_the_other(*NAMES), tmp_path, own_bot.settings)
    assert own_bot.files() == before


@pytest.mark.slow
@pytest.mark.parametrize("practice", [True, False])
def test_a_bot_that_is_in_sync_has_lessons_too(tmp_path: Path, practice: bool) -> None:
    """Frames are empty then, and no cell has a unit to take."""
    (tmp_path / "bot").mkdir()
    with serve_recorded(tmp_path / "bot", renamed(Recorded.load(), OTHER, only="dave")) as served:
        bot = Bot(served, OTHER)
        assert len(bot.look().plan) == 0
        rows = bot.rows()
        run_watched(
            one_after_the_other(*NAMES), tmp_path, bot.practice if practice else bot.settings
        )
        assert bot.rows() == rows


# The bot's code of lesson 4


def bot_code(sync_seconds: float = 60) -> dict[str, Any]:
    """What its blocks define."""
    code: dict[str, Any] = {}
    text = "\n".join(re.findall(r"```python\n(.*?)```", words(lesson(WIRE)), re.DOTALL))
    text = text.replace("full_state=True), 60", f"full_state=True), {sync_seconds}")
    exec(text, code)  # noqa: S102  # our own
    return code


def met(room_id: str, user_id: str) -> tuple[Any, Any]:
    return SimpleNamespace(room_id=room_id), SimpleNamespace(sender=user_id)


def said(caplog: pytest.LogCaptureFixture, name: str) -> list[str]:
    found = [record.getMessage() for record in caplog.records if record.name == name]
    caplog.clear()
    return found


async def test_the_bots_code_of_lesson_4_starts_and_finds_a_chat(
    own_bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    code, recorded = bot_code(), Recorded.load()
    url, token, database = own_bot.served
    room, twin, torn = (recorded.rooms[label] for label in ("bob/1", "carol/2", "carol/1"))
    bob, carol = "@bob:example.org", "@carol:example.org"
    client = AsyncClient(url, OTHER)
    client.access_token = token
    async with SQLiteStore(database) as store:
        with caplog.at_level(logging.WARNING):
            rooms = await code["start"](client, store)
            assert await store.get(user_key("@alice:example.org"))
            [claim] = [line for line in said(caplog, "toolkit.bot") if f"room {twin}, " in line]
            assert claim.startswith(
                f"duplicate_chat_id: room {twin}, user {carol}, key {room_key(twin)}: 2 rooms claim"
            )
            found = await code["on_message"](rooms, *met(room, bob))
            assert found[:2] == (bob, "C1") and found[2]["space_id"]
            assert await code["on_message"](rooms, *met("!nowhere:example.org", bob)) is None
            assert said(caplog, "toolkit.bot") == []
            assert await code["on_message"](rooms, *met(twin, carol)) is None
            assert claim in said(caplog, "toolkit.bot")
            assert await code["on_message"](rooms, *met(torn, carol)) is None
            assert any(line.startswith("unreadable_row") for line in said(caplog, "toolkit.bot"))
    await client.close()


async def test_the_bots_own_code_of_lesson_4_does_the_same_by_the_two_functions(
    own_bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    code, recorded = bot_code(), Recorded.load()
    url, token, database = own_bot.served
    room, torn = (recorded.rooms[label] for label in ("bob/1", "carol/1"))
    bob, carol = "@bob:example.org", "@carol:example.org"
    client = AsyncClient(url, OTHER)
    client.access_token = token
    async with SQLiteStore(database) as store:
        objects = client, store, ChatManager(store)
        with caplog.at_level(logging.WARNING, "bot"):
            row = await code["own_find_chat"](*objects, *met(room, bob))
            assert row["matrix_user_id"] == bob and said(caplog, "bot") == []
            await code["own_start"](*objects)
            [line] = [line for line in said(caplog, "bot") if torn in line]
            assert line.startswith(f"unreadable_row: {torn}: the row is there but can't be read")
            assert await code["own_find_chat"](*objects, *met(torn, carol)) is None
            [line] = said(caplog, "bot")
            assert line.startswith(f"can't look at {torn} of {carol} now: Can't read the row")
    await client.close()


async def test_the_bots_code_of_lesson_4_starts_without_a_homeserver(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = bot_code(sync_seconds=0.1)
    client = AsyncClient("http://localhost:9", OTHER)
    client.access_token = "none"
    async with SQLiteStore(tmp_path / "bot.db") as store:
        with caplog.at_level(logging.WARNING):
            rooms = await code["start"](client, store)
            assert await code["on_message"](rooms, *met("!room", "@bob:example.org")) is None
            start, look = said(caplog, "toolkit.bot")
            own = client, store, ChatManager(store)
            await code["own_start"](*own)
            assert await code["own_find_chat"](*own, *met("!room", "@bob:example.org")) is None
            own_start, own_look = said(caplog, "bot")
    await client.close()
    assert start == own_start
    assert start.startswith("starting with the rows as they are: Can't list the joined rooms")
    assert look.startswith(
        "no chat for certain: room !room, user @bob:example.org, key matrix_room"
    )
    assert own_look.startswith("can't look at !room of @bob:example.org now: Can't list the joined")


def test_the_function_that_lesson_5_shows_is_the_one_that_it_runs() -> None:
    [shown] = re.findall(r"```python\n(.*?)```", words(lesson(SHADOW)), re.DOTALL)
    code = ast.parse(inspect.getsource(hasty.recreate_rooms)).body[0]
    assert isinstance(code, ast.AsyncFunctionDef)
    [told] = ast.parse(shown).body
    assert isinstance(told, ast.AsyncFunctionDef)
    assert list(map(ast.unparse, code.body[1:])) == list(map(ast.unparse, told.body))
