"""The password of a DSN is shown nowhere, and a DSN is no path."""

import logging
import os
import pickle
import traceback
from pathlib import Path

import pytest

from tests.postgres.server_bench import ServerBench, as_worker
from toolkit.database.address import is_server, shown_address
from toolkit.database.opening import site_at, store_at
from toolkit.database.postgres.dsn import Address
from toolkit.database.postgres.store import PostgresStore
from toolkit.errors import StoreError, ToolkitError
from toolkit.sources.sides import find_sides

_MALFORMED = [
    "postgresql://bot:se cret@db/rows",
    "postgresql://bot:secret@db:port/rows",
    "postgresql://bot:secret@[::1/rows",
    "postgresql://bot:%zzsecret@db/rows",
    "postgresql://bot:secret@db/rows?nonsense=1",
    "postgresql://bot:se@secret@db/rows",
    "postgresql://bot:12/secret@db/rows",
    "postgresql://bot:se\0cret@db/rows",
    "postgresql://bot:se\udce9cret@db/rows",
]


@pytest.mark.parametrize("dsn", _MALFORMED)
def test_a_malformed_dsn_is_not_repeated(dsn: str) -> None:
    with pytest.raises(StoreError) as refused:
        PostgresStore(dsn)
    told = "".join(traceback.format_exception(refused.value, limit=1))
    assert str(refused.value).startswith("The DSN of the database can't be read")
    assert "secret" not in str(refused.value) and "cret@" not in told.partition("PostgresStore(")[0]
    assert refused.value.__cause__ is None and refused.value.__context__ is None


def test_what_cannot_be_made_is_shown_by_a_traceback_all_the_same() -> None:
    with pytest.raises(StoreError) as refused:
        PostgresStore("postgresql://bot:se cret@db/rows")
    told = traceback.TracebackException.from_exception(refused.value, capture_locals=True)
    halves = [found["self"] for frame in told.stack if "self" in (found := frame.locals or {})]
    assert halves == ["<PostgresStore …>", "postgresql://:/"]


def test_a_store_and_its_address_show_themselves_without_it() -> None:
    store = PostgresStore("postgresql://bot:secret@db.example.org:5433/rows")
    assert store.name == "postgresql://bot@db.example.org:5433/rows"
    shown = f"{store!r} {store.beside} {store.identity} {store.settings} {Address(store.address)!r}"
    assert "secret" not in shown and "db.example.org" in shown


@pytest.mark.parametrize(
    ("dsn", "told"),
    [
        ("postgresql://bot:secret@db:5433/rows", "postgresql://bot@db:5433/rows"),
        ("postgres://bot@db/rows?password=secret", "postgresql://bot@db/rows"),
        ("postgresql://bot:s#cret%40@db/rows", "postgresql://bot@db/rows"),
        ("postgresql://bot:secret?@db/a%2Fb%20c", "postgresql://bot@db/a%2Fb%20c"),
        ("postgresql://a%40b:secret@[::1]/", "postgresql://a%40b@%3A%3A1/"),
        ("postgresql://:secret@/rows?host=/run/pg", "postgresql://%2Frun%2Fpg/rows"),
        ("postgresql://bot:secret@a:1,b:2/r", "postgresql://bot@a%2Cb/r?port=1%2C2"),
        (
            "postgresql://bot@db/r?sslpassword=secret&sslmode=require&options=-csearch_path%3Dbot",
            "postgresql://bot@db/r?options=-csearch_path%3Dbot&sslmode=require",
        ),
    ],
)
def test_a_dsn_for_a_file_says_all_but_secrets(dsn: str, told: str) -> None:
    address = Address(dsn)
    assert address.without_secrets == told and address.secrets
    again = Address(told)
    assert again.parameters == {
        name: said for name, said in address.parameters.items() if name not in address.secrets
    }
    assert not again.secrets and is_server(told) and "cret" not in shown_address(told)


def test_neither_shows_it_with_all_that_it_keeps() -> None:
    store = PostgresStore("postgresql://bot:secret@db.example.org:5433/rows")
    assert "secret" not in repr(vars(store))


_KEYWORDS = "host=/run/pg port=5433 user='odd @' password='se/ cr%t' dbname=rows options='-c a=b'"


@pytest.mark.parametrize(
    "dsn", [_KEYWORDS, "service=rows", "postgresql://bot:se%20cret@[::1]/rows"]
)
def test_a_store_is_opened_again_by_its_address_however_it_was_named(dsn: str) -> None:
    store = PostgresStore(dsn, table="bot.kv")
    again = store_at(store.address, **store.settings)
    assert (again.name, again.identity, again.beside) == (store.name, store.identity, store.beside)
    assert Address(store.address).parameters == Address(dsn).parameters


def test_none_of_them_is_pickled() -> None:
    store = PostgresStore("postgresql://bot:secret@db/rows")
    for holder in (store, Address(store.address), site_at(store.address)):
        with pytest.raises(TypeError, match="a password, and isn't pickled"):
            pickle.dumps(holder)


def test_one_database_of_this_machine_is_one_by_all_its_names() -> None:
    hosts = ("localhost", "127.0.0.1", "LOCALHOST", "[::1]", "%2Frun%2Fpg", "")
    named = {PostgresStore(f"postgresql://bot@{host}/rows").identity for host in hosts}
    others = {PostgresStore(f"postgresql://bot@{at}").identity for at in ("DB/rows", "db/rows")}
    assert len(named) == len(others) == 1 and not named & others


def test_a_socket_and_what_the_dsn_leaves_open_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGUSER", "bot")
    monkeypatch.setenv("PGPASSWORD", "secret")
    assert (
        Address("postgresql:///rows?host=/run/pg").name == "postgresql://bot@%2Frun%2Fpg:5432/rows"
    )
    assert Address("postgresql://").name == "postgresql://bot@localhost:5432/bot"
    assert Address("postgresql://[::1]/rows").name == "postgresql://bot@[::1]:5432/rows"
    monkeypatch.setenv("PGSERVICE", "rows")
    assert Address("postgresql://").place == ("service-rows", "5432", "bot")


def test_files_go_beside_a_path_of_ones_own_state(monkeypatch: pytest.MonkeyPatch) -> None:
    store = PostgresStore("postgresql://bot@db/rows", table="bot/../kv")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert store.beside == Path("/state/matrix-drift/db.5432.rows.bot%2F%2E%2E%2Fkv")
    monkeypatch.delenv("XDG_STATE_HOME")
    assert store.beside.parent == Path.home() / ".local" / "state" / "matrix-drift"
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(
        os.path, "expanduser", lambda path: path
    )  # as of nobody whom the system knows
    with pytest.raises(StoreError, match="no home: set XDG_STATE_HOME"):
        store.beside  # noqa: B018


@pytest.mark.parametrize("way", ["PGPASSWORD", "passfile"])
async def test_the_password_may_come_from_elsewhere(
    server_bench: ServerBench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    if way == "PGPASSWORD":
        monkeypatch.setenv("PGPASSWORD", "throw-away-admin")
    else:
        file = tmp_path / "pass"
        file.write_text("*:*:*:admin:throw-away-admin\n")
        file.chmod(0o600)
        monkeypatch.setenv("PGPASSFILE", str(file))
    without = server_bench.dsn.replace(":throw-away-admin", "")
    async with PostgresStore(without, beside=server_bench.path) as store:
        assert await store.load_rows()


async def test_a_run_logs_and_keeps_nothing_of_it(
    server_bench: ServerBench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with server_bench.store() as store:
        await server_bench.run(store)
        lines = await store.journal.lines()
    files = [path for path in server_bench.path.parent.rglob("*") if path.is_file()]
    kept = b"".join(path.read_bytes() for path in files)
    assert "throw-away" not in caplog.text + "".join(lines) and b"throw-away" not in kept


async def test_nothing_behind_an_error_knows_how_we_came_in(server_bench: ServerBench) -> None:
    store = PostgresStore(as_worker(server_bench.dsn), beside=server_bench.path)
    role = store.name.partition("://")[2].partition("@")[0]
    async with store:
        server_bench.sql(f"ALTER ROLE {role} CONNECTION LIMIT 1")
        with pytest.raises(StoreError, match="too many connections") as of_lock:
            await store.alone().__aenter__()
        server_bench.sql("ALTER TABLE kv RENAME TO gone")
        with pytest.raises(StoreError, match="Can't back up") as of_backup:
            await store.backup(name="20261122T220345Z-3f2a")
    for error in (of_backup.value, of_lock.value):
        behind: BaseException | None = error
        while behind is not None:
            told = traceback.TracebackException.from_exception(behind, capture_locals=True)
            assert "worker-secret" not in "".join(told.format())
            behind = behind.__cause__ or behind.__context__


def test_a_path_that_was_a_dsn_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("postgresql://bot:secret@db/rows")
    assert "//" not in os.fspath(path)  # swallowed, silently
    with pytest.raises(ToolkitError, match="not as a Path") as refused:
        find_sides(homeserver="https://hs", access_token="t", database=path)
    assert "secret" not in str(refused.value)
    with pytest.raises(ToolkitError, match="not as a Path"):
        store_at(path)
