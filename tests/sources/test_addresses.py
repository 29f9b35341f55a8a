"""A database that is a server's: its address goes everywhere as it was given, and is shown nowhere."""

import os
import sys
from pathlib import Path

import pytest

from toolkit import SQLiteStore
from toolkit.cli import run
from toolkit.cli.notebook import _environment
from toolkit.cli.options import Where
from toolkit.database.address import is_server, read_address, shown_address
from toolkit.errors import StoreError, ToolkitError
from toolkit.sources.settings import load_settings
from toolkit.sources.sides import find_sides

PASSWORD = "hunter2"
ADDRESS = f"postgresql://bot:{PASSWORD}@db.example:5433/state?sslmode=require"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (ADDRESS, "postgresql://db.example:5433/state"),
        ("Postgres:///state?host=/run/pg&password=hunter2", "postgres:///state"),
        ("postgresql://bot:hun/ter2@db/state", "postgresql://…"),
        ("postgresql://bot:12/hunter2@db/state", "postgresql://…"),
        ("postgresql://bot:12?hunter2@db/state", "postgresql://…"),
        ("postgresql://bot:hunter2#@db/state", "postgresql://…"),
        ("postgresql://bot:hun@ter2@db/state", "postgresql://db/state"),
        ("postgresql://[hunter2", "postgresql://…"),
        ("bot.db", "bot.db"),
        ("/srv/postgresql:/bot.db", "/srv/postgresql:/bot.db"),
    ],
)
def test_no_part_of_a_password_is_shown(address: str, shown: str) -> None:
    assert shown_address(address) == shown
    assert str(read_address(address)) == address
    assert isinstance(read_address(address), str) is is_server(address) is shown.startswith("postg")


_UNKNOWN = [
    f"postgresq://bot:{PASSWORD}@db/state",
    f"postgresql+psycopg://bot:{PASSWORD}@db/state",
    f"mysql:/bot:{PASSWORD}@db/state",
    f"host=db dbname=state password={PASSWORD}",
    f" password = {PASSWORD}",
    "sqlite:///bot.db",
]


@pytest.mark.parametrize("address", _UNKNOWN)
@pytest.mark.parametrize("by", ["variable", "file"])
@pytest.mark.parametrize("command", ["check", "fit", "fleet"])
def test_an_address_that_is_not_known_is_no_file_and_is_not_repeated(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    address: str,
    by: str,
    command: str,
) -> None:
    monkeypatch.setenv("MATRIX_HOMESERVER", "http://127.0.0.1:1")
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN", "fake-token")
    if by == "variable":
        monkeypatch.setenv("BOT_DATABASE", address)
    else:
        (folder / "matrix-drift.toml").write_text(f'database = "{address}"\n')
    (folder / "fleet.toml").write_text(
        '[bots.desk]\nhomeserver = "http://127.0.0.1:1"\naccess_token_file = "token"\n'
        f'database = "{address}"\n'
    )
    asked = {"fleet": ["fleet", "check"], "fit": ["fit", *([address] if by == "file" else [])]}
    assert run(asked.get(command, [command])) == 1
    said = capsys.readouterr().err
    assert "of SQLite give the file's path alone" in said or "must not stand there" in said
    assert PASSWORD not in said and shown_address(address) == "…"


@pytest.mark.parametrize("address", [ADDRESS, Path(ADDRESS), *_UNKNOWN])
def test_a_store_of_files_takes_no_address(address: str | Path) -> None:
    with pytest.raises(StoreError) as refused:
        SQLiteStore(address)
    assert PASSWORD not in str(refused.value)
    assert ("open it with PostgresStore" in str(refused.value)) is (address == ADDRESS)


@pytest.mark.parametrize("path", ["C:/bot.db", "user=bot/bot.db", "bot = 1.db", "file:bot.db"])
def test_a_file_with_an_odd_name_stays_one(path: str) -> None:
    assert read_address(path) == Path(path) and not is_server(path)


@pytest.fixture(autouse=True)
def without_psycopg(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the extra isn't installed."""
    for name in list(sys.modules):
        if name.startswith(("toolkit.database.postgres", "psycopg")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where nothing is named but what a test names."""
    monkeypatch.chdir(tmp_path)
    for name in ("BOT_DATABASE", "MATRIX_HOMESERVER", "MATRIX_ACCESS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize("by", ["option", "variable", "file", "file above"])
async def test_a_session_takes_it_from_wherever_it_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    if by.startswith("file"):
        (folder / "matrix-drift.toml").write_text(f'database = "{ADDRESS}"\nbackup_dir = "kept"\n')
    if by == "file above":
        (folder / "below").mkdir()
        monkeypatch.chdir(folder / "below")
        assert load_settings()["backup_dir"] == str(folder / "kept")
    sides = find_sides(
        homeserver="http://127.0.0.1:1",
        access_token="fake-token",
        database=ADDRESS if by == "option" else None,
        environment={"BOT_DATABASE": ADDRESS} if by == "variable" else {},
    )
    assert sides.database == ADDRESS and PASSWORD not in repr(sides)
    with pytest.raises(StoreError, match=r"matrix-drift\[postgres\]") as refused:
        await sides.load_rows()
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize("command", ["history", "check", "fit"])
def test_a_command_says_what_is_missing(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:
    monkeypatch.setenv("BOT_DATABASE", ADDRESS)
    monkeypatch.setenv("MATRIX_HOMESERVER", "http://127.0.0.1:1")
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN", "fake-token")
    assert run([command]) == 1
    said = capsys.readouterr()
    assert "needs the extra `postgres`" in said.err and PASSWORD not in said.out + said.err


def test_a_question_and_a_traceback_name_it_without_its_password() -> None:
    where = Where(database=ADDRESS)
    assert where.shown_database == "postgresql://db.example:5433/state"
    assert PASSWORD not in repr(where)
    assert Where(database="bot.db").shown_database == "bot.db"
    with pytest.raises(ToolkitError, match="No database is named"):
        _ = Where().shown_database


def test_jupyterlab_finds_it_as_it_was_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT_DATABASE", ADDRESS)
    assert _environment()["BOT_DATABASE"] == ADDRESS
    monkeypatch.setenv("BOT_DATABASE", "bot.db")
    assert _environment()["BOT_DATABASE"] == os.path.abspath("bot.db")
