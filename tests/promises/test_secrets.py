"""The access token shows nowhere: a whole run is made, and everything that it leaves is searched."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import logging
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import nio
import pytest
from nbclient import NotebookClient

import toolkit.cli
from tests.bench import BOT, Bench, small_rows
from tests.clients import assert_discreet, chain, nio_client
from tests.make_notebooks import NOTEBOOKS, make_notebook, read_notebook, write_notebook
from tests.promises.test_homeserver import TROUBLE
from toolkit import (
    ChatManager,
    Session,
    SQLiteStore,
    ToolkitError,
    reconcile_matrix_state,
)
from toolkit.cli.options import Where
from toolkit.demo.recorded import Recorded
from toolkit.homeserver import retries as patience
from toolkit.homeserver import server as matrix
from toolkit.homeserver.reading import Source
from toolkit.homeserver.server import Homeserver
from toolkit.homeserver.transport import PlainClient
from toolkit.records import chat_key, room_key
from toolkit.sources.settings import read_settings, read_token
from toolkit.sources.snapshot import load_snapshot
from toolkit.testing import FakeHomeserver, Fault, Status

TOKEN = "syt_Ym90_zQkWvXbNmLpRtYhJgFdS_4Fj9xK"
FORMS = {
    TOKEN,
    quote(TOKEN),
    TOKEN.encode().hex(),
    base64.b64encode(TOKEN.encode()).decode().rstrip("="),
    TOKEN.rpartition("_")[0],  # cut at the end
}


QUOTED = {"errcode": "M_UNKNOWN", "error": f"Internal error near {TOKEN}"}
ILL = {
    **TROUBLE,
    "500 that quotes": Status(500, QUOTED),
    "401 that quotes": Status(401, {**QUOTED, "errcode": TOKEN}),
    "200 that quotes": Status(200, QUOTED),
}


def shows(text: str | bytes) -> bool:
    data = text.encode(errors="backslashreplace") if isinstance(text, str) else text
    return any(form.encode() in data for form in FORMS)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(patience, "LONGEST_WAIT", 0.002)
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(matrix, "REQUEST_SECONDS", 1.0)  # a busy machine collects garbage for 0.3 s


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that anybody logs, aiohttp, nio and asyncio included, with all that records hold."""
    stream = io.StringIO()

    class Everything(logging.StreamHandler[io.StringIO]):
        def emit(self, record: logging.LogRecord) -> None:
            super().emit(record)
            stream.write(f"{vars(record)!r}\n")

    handler, root = Everything(stream), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path / "bot.db")
    rows = {k: v for k, v in small_rows().items() if k != room_key("!a1")}
    bench.fill(rows | {room_key("!b1"): "{"}, "WAL")
    return bench


def left_behind(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_a_whole_run_leaves_the_token_nowhere(
    bench: Bench,
    tmp_path: Path,
    log: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    secret = tmp_path.with_name(f"{tmp_path.name}-token")
    secret.write_text(TOKEN)
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN_FILE", str(secret))
    monkeypatch.delenv("MATRIX_ACCESS_TOKEN", raising=False)
    monkeypatch.setenv("BOT_DATABASE", str(bench.path))
    asyncio.get_running_loop().set_debug(True)
    said: list[str] = []

    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        monkeypatch.setenv("MATRIX_HOMESERVER", server.url)

        async def md(*arguments: str) -> int:
            return await asyncio.to_thread(toolkit.cli.run, arguments)

        assert await md("check", "--debug") == 2
        assert await md("plan", "--out", "decisions.json", "--debug") == 2
        assert await md("plan", "--json") == 2
        assert await md("snapshot", "both.snapshot", "--debug") == 0
        assert await md("apply", "--decisions", "decisions.json", "--debug") in (0, 2)
        assert await md("history", "--json") == 0
        run = runs_of(bench)[0]
        assert await md("undo", run, "--yes", "--debug") == 0
        for trouble in ILL.values():
            server.fault(Fault("/v3/", trouble))
            assert await md("check", "--deadline", "0.5", "--debug") == 1
            server.clear_faults()

        session = await Session.open()
        session.approve("!a1")
        said += [repr(session), repr(vars(session)), session._repr_html_(), repr(session.plan)]
        done = await session.apply()
        said += [repr(done), session.rooms.to_csv(), session.drift.to_csv()]
        said += [session.rows.to_csv(), session.history().to_csv(), repr(session.plan_undo())]
        said += [repr(await session.undo())]

    files = left_behind(tmp_path)
    names = {path.name.rpartition(".")[2] for path in files}
    assert {"db", "backup", "jsonl", "json", "snapshot"} <= names
    assert load_snapshot(tmp_path / "both.snapshot").rooms
    assert [path for path, data in files.items() if shows(data)] == []
    out, err = capfdbinary.readouterr()
    assert b"Traceback" in err and len(out) > 1000
    assert not shows(out) and not shows(err)
    assert len(log.getvalue()) > 10_000 and not shows(log.getvalue())
    assert not shows("".join(said))


def runs_of(bench: Bench) -> list[str]:
    from toolkit.database.journal import Journal

    return [run.id for run in Journal(bench.path).runs()]


@pytest.mark.parametrize("trouble", ILL)
@pytest.mark.parametrize("path", ["/joined_rooms$", "/whoami$", "/state$"])
async def test_no_error_and_nothing_that_led_to_it_holds_the_token(
    bench: Bench, trouble: str, path: str, log: io.StringIO
) -> None:
    async with (
        FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server,
        nio_client(server.url, BOT, TOKEN) as client,
        SQLiteStore(bench.path) as store,
    ):
        server.fault(Fault(path, ILL[trouble]))
        with pytest.raises(ToolkitError) as caught:
            await reconcile_matrix_state(client, store, ChatManager(store), deadline=0.5)
    assert_discreet(caught.value, *FORMS)
    for error in chain(caught.value):
        assert not shows("".join(traceback.format_exception(error))), type(error)
    assert not shows(log.getvalue())


@pytest.mark.parametrize("method", ["joined_rooms", "room_get_state"])
async def test_what_a_stand_in_raises_is_not_kept(bench: Bench, method: str) -> None:
    """It may hold a request, and with it a token that nobody here was given."""

    async def fail(*args: str) -> None:
        raise LookupError("Authorization", {"Authorization": f"Bearer {TOKEN}"})

    async def list_rooms() -> nio.JoinedRoomsResponse:
        return nio.JoinedRoomsResponse(list(bench.world.rooms))

    client = SimpleNamespace(user_id=BOT, joined_rooms=list_rooms, room_get_state=fail)
    setattr(client, method, fail)
    async with SQLiteStore(bench.path) as store:
        with pytest.raises(ToolkitError, match="raised LookupError") as caught:
            await reconcile_matrix_state(client, store, ChatManager(store))
    assert_discreet(caught.value, *FORMS)


@pytest.mark.parametrize(
    "content", [b"\xff", b" = '", b' = "\\q"'], ids=["bytes", "no end", "escape"]
)
def test_an_error_about_settings_does_not_keep_what_stands_there(
    content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "matrix-drift.toml"
    path.write_bytes(TOKEN.encode() + content)
    with pytest.raises(ToolkitError, match="Can't read") as caught:
        read_settings(path)
    assert_discreet(caught.value, *FORMS)


def test_an_error_about_a_token_file_does_not_keep_what_stands_there(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(TOKEN.encode() + b"\xff")
    with pytest.raises(ToolkitError, match="it is not UTF-8") as caught:
        read_token({"MATRIX_ACCESS_TOKEN_FILE": str(path)})
    assert_discreet(caught.value, *FORMS)


LOG = "import logging\nlogging.basicConfig(level=logging.DEBUG)"
SHOW = """from toolkit import Session, review
session = await Session.open()
display(review(session), session, vars(session), session.history())
print(review(session).widget.get_state())  # which JupyterLab saves, if it is told to
"""
RAISE = "await Session.open(homeserver='http://localhost:9')"
LEAKS = {
    "output": "import os\nprint(os.environ['MATRIX_ACCESS_TOKEN'])",
    "widget": "import ipywidgets, os\nipywidgets.HTML(os.environ['MATRIX_ACCESS_TOKEN'])",
    "file": "import os\nopen('left', 'w').write(os.environ['MATRIX_ACCESS_TOKEN'])",
    "error": "import os\n{}[os.environ['MATRIX_ACCESS_TOKEN']]",
}


async def execute(notebook: Any, folder: Path, settings: dict[str, str]) -> str:
    """Run it as JupyterLab does, save it with its widgets, and return the file's text."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("MATRIX_")}
    places = dict.fromkeys(("HOME", "TMPDIR", "IPYTHONDIR", "MPLCONFIGDIR"), str(folder))
    notebook.cells[-1].metadata["tags"] = ["raises-exception"]
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", store_widget_state=True)
    client.resources = {"metadata": {"path": str(folder)}}
    await client.async_execute(env=known | places | settings | {"MATRIX_ACCESS_TOKEN": TOKEN})
    write_notebook(folder / "saved.ipynb", notebook)
    return (folder / "saved.ipynb").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("lesson", ["2-approve-and-apply", "5-run-your-own-code-in-its-shadow"])
async def test_a_notebook_that_was_run_with_a_token_holds_it_nowhere(
    tmp_path: Path, lesson: str
) -> None:
    """Nor does any file that the run left: the database's neighbours, and the kernel's own."""
    recorded = Recorded.load()
    account, database = recorded.snapshot.account, tmp_path / "bot.db"
    recorded.write_database(database)
    told = read_notebook(NOTEBOOKS / f"{lesson}.ipynb")
    told.cells = [*make_notebook([LOG]).cells, *told.cells, *make_notebook([SHOW, RAISE]).cells]
    async with FakeHomeserver(recorded.snapshot.rooms, account, TOKEN) as server:
        settings = {
            "MATRIX_HOMESERVER": server.url,
            "BOT_DATABASE": str(database),
            "MATRIX_DRIFT_PRACTICE": account,
        }
        saved = await execute(told, tmp_path, settings)
        assert len(server.requests) > 20
    for part in (
        "'_esm': ",
        "'until': ",
        "Your bot, as MATRIX_HOMESERVER says",
        "DEBUG:",
        "HomeserverError",
    ):
        assert part in saved
    assert not shows(saved)
    files = left_behind(tmp_path)
    names = {path.name.rpartition(".")[2] for path in files}
    assert {"db", "ipynb", *(("backup", "jsonl") if lesson[0] == "2" else ())} <= names
    assert [path for path, data in files.items() if shows(data)] == []


@pytest.mark.parametrize("place", LEAKS)
async def test_the_search_of_a_notebook_finds_a_token_wherever_it_stands(
    tmp_path: Path, place: str
) -> None:
    saved = await execute(make_notebook([LEAKS[place]]), tmp_path, {})
    found = {path.name for path, data in left_behind(tmp_path).items() if shows(data)}
    assert found == ({"left"} if place == "file" else {"saved.ipynb"})
    assert shows(saved) is (place != "file")


async def test_no_object_shows_the_token(bench: Bench, tmp_path: Path) -> None:
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        client = PlainClient(server.url, TOKEN)
        session = await Session.open(homeserver=server.url, access_token=TOKEN, database=bench.path)
        source = Source(client, session.road.sides.convention)
        await source.account()
        homeserver = Homeserver(client)
        await homeserver.joined_rooms()
        where = Where(homeserver=server.url, database=str(bench.path), token=TOKEN)
        things: list[Any] = [client, session, source, homeserver, where, session.road.sides]
        await client.close()
    for thing in things:
        assert not shows(repr(thing) + str(thing)), type(thing)
    for thing in (session, source, homeserver):
        assert not shows(repr(vars(thing))), type(thing)


async def test_the_token_is_sent_in_a_header_and_to_the_homeserver_alone(bench: Bench) -> None:
    async with (
        FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server,
        nio_client(server.url, BOT, TOKEN) as client,
        SQLiteStore(bench.path) as store,
    ):
        await reconcile_matrix_state(client, store, ChatManager(store))
        assert len(server.requests) > 5
        for request in server.requests:
            assert not request.query and not request.body and not shows(request.path)
            assert request.headers["Authorization"] == "Bearer ***"


@pytest.mark.parametrize("place", ["--homeserver", "matrix-drift.toml", "argument"])
def test_a_token_in_the_wrong_place_is_refused_and_not_repeated(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOT_DATABASE", "bot.db")
    arguments = {
        "--homeserver": ["check", "--homeserver", f"https://bot:{TOKEN}@hs"],
        "matrix-drift.toml": ["check"],
        "argument": ["check", "--access-token", TOKEN],
    }[place]
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN", "syt_0123")
    if place == "matrix-drift.toml":
        Path("matrix-drift.toml").write_text(f'access_token = "{TOKEN}"\n')
    Bench(tmp_path / "bot.db").fill({})
    assert toolkit.cli.run(arguments) == 1
    captured = capsys.readouterr()
    assert captured.err and not shows(captured.out + captured.err)


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    for form in FORMS:
        assert shows(f"x{form}x") and shows(json.dumps([form]).encode())
    assert not shows("syt_") and not shows(os.urandom(64))
    with contextlib.suppress(AssertionError):
        (tmp_path / "file").write_text(TOKEN)
        assert not [p for p, data in left_behind(tmp_path).items() if shows(data)]
        pytest.fail("a token in a file was not found")


async def test_a_body_that_quotes_the_token_is_not_repeated(bench: Bench) -> None:
    quoting = Status(403, {"errcode": "M_UNKNOWN", "error": f"{TOKEN} may not"})
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        server.fault(Fault("!a2/state$", quoting))
        session = await Session.open(homeserver=server.url, access_token=TOKEN, database=bench.path)
        session.approve("!a1")
        await session.apply()
    assert chat_key("@alice:hs", "C1") in bench.bytes()
    assert not shows(session.drift.to_csv() + repr(session))
    assert not [path for path, data in left_behind(bench.path.parent).items() if shows(data)]
