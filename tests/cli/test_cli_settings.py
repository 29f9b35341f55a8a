"""Where the command line finds its settings, and one sentence for each error."""

import re
from itertools import combinations
from pathlib import Path

import click
import pytest

import toolkit.cli
import toolkit.cli.commands
import toolkit.homeserver.server
from tests.bench import Bench
from tests.cli.command import TOKEN, Md, mend
from toolkit.cli.options import Where
from toolkit.sources.snapshot import load_snapshot
from toolkit.testing import Cut, FakeHomeserver, Fault, Hang, Status


def test_former_accounts_are_given_one_by_one_or_in_the_file_and_a_snapshot_remembers_them(
    md: Md, tmp_path: Path
) -> None:
    file, given = tmp_path / "bot.snapshot", ["@old:hs", "@older:hs"]
    options = [word for user in given for word in ("--former-account", user)]
    assert md("snapshot", *options, str(file)).code == 0
    assert Where.of({"snapshot": file}).sides().convention.former_accounts == tuple(given)
    (tmp_path / "matrix-drift.toml").write_text('former_accounts = ["@other:hs"]\n')
    assert md("snapshot", str(file)).code == 0
    assert list(load_snapshot(file).settings["former_accounts"]) == ["@other:hs"]
    assert md("snapshot", *options, str(file)).code == 0
    assert list(load_snapshot(file).settings["former_accounts"]) == given


def test_an_option_wins_over_the_environment_and_that_over_the_file(
    md: Md, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "matrix-drift.toml"
    mend(bench)
    settings.write_text('database = "no.db"\nplatform = "telegram"\n')
    assert md("check").code == 2  # the platform of the file, the database of the environment
    assert md("check", "--platform", "matrix").code == 0
    monkeypatch.delenv("BOT_DATABASE")
    assert md("check").said("no.db: there is no such file")
    assert md("history", "--database", str(bench.path)).code == 0
    settings.write_text('room_name_patterns = ["Room {n}"]\nhelper_accounts = ["@alice:hs"]')
    assert md("check", "--database", str(bench.path)).code == 2


def test_the_file_may_lie_above_and_its_paths_are_from_there(
    md: Md, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = tmp_path / "bot" / "src"
    below.mkdir(parents=True)
    (tmp_path / "matrix-drift.toml").write_text(f'database = "{bench.path.name}"\n')
    monkeypatch.delenv("BOT_DATABASE")
    monkeypatch.chdir(below)
    assert md("history").code == 0
    assert md("check").code == 2
    monkeypatch.chdir(tmp_path)
    assert md("check").code == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("x = 1", "there is no setting 'x'; known: homeserver, database, table"),
        ("databse = 'x'", "there is no setting 'databse'; did you mean 'database'?"),
        (f'access_token = "{TOKEN}"', "must hold no token"),
        (f'homeserver_password = "{TOKEN}"', "a database's password in PGPASSWORD or a passfile"),
        (f'access_token = "{TOKEN}', "it is no TOML"),
        ("homeserver = 3", "homeserver must be a text"),
        ("deadline = true", "deadline must be a number"),
        ("deadline = nan", "deadline must be a number above 0"),
        ("sliding_sync = 1", "sliding_sync must be true or false"),
        ("helper_accounts = 'a'", "helper_accounts must be a list of texts"),
        ("former_accounts = [1]", "former_accounts must be a list of texts"),
        ('room_name_patterns = ["x"]', "has no number in it"),
    ],
)
def test_a_bad_settings_file_is_one_sentence(
    md: Md, tmp_path: Path, content: str, words: str
) -> None:
    (tmp_path / "matrix-drift.toml").write_text(content)
    done = md("check")
    assert done.code == 1
    assert done.said("Error: ", words)
    assert len(done.err.splitlines()) == 1
    assert md("check", "--help").code == 0


def test_the_token_comes_from_a_file_as_well(
    md: Md, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MATRIX_ACCESS_TOKEN")
    assert md("check").said("There is no access token", "MATRIX_ACCESS_TOKEN_FILE")
    path = tmp_path / "token"
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN_FILE", str(path))
    assert md("check").said("Can't read the access token from")
    path.write_text("\n")
    assert md("check").said("is empty")
    path.write_text(f"{TOKEN}\n")
    assert md("check").code == 2


def test_sliding_sync_is_used_unless_the_file_or_an_option_says_no(
    md: Md, bench: Bench, server: FakeHomeserver, tmp_path: Path
) -> None:
    server.sliding_sync = True
    for number in range(9):
        bench.world.room(f"!lobby{number}")

    def slides(*arguments: str) -> bool:
        server.requests.clear()
        assert md(*arguments).code in (0, 2)
        states = [request for request in server.requests if request.path.endswith("/state")]
        assert len(states) % 14 == 0  # an apply looks twice
        return not states

    looking = ("check",), ("plan",), ("snapshot", str(tmp_path / "bot.snapshot"))
    for command in looking:
        assert slides(*command) and not slides(*command, "--no-sliding-sync")
    assert not slides("apply", "!a1", "--no-sliding-sync")
    (tmp_path / "matrix-drift.toml").write_text("sliding_sync = false\n")
    for command in looking:
        assert not slides(*command) and slides(*command, "--sliding-sync")


def test_no_option_takes_a_token() -> None:
    commands = toolkit.cli.commands.matrix_drift.commands
    fleet = commands["fleet"]
    assert isinstance(fleet, click.Group)
    every = [*commands.values(), *fleet.commands.values()]
    names = {name for command in every for p in command.params for name in p.opts}
    assert not [name for name in names if "token" in name or "password" in name]
    looking, writing = {"check", "plan", "snapshot"}, {"apply", "history", "undo", "restore"}
    deciding = {"settle", "ignore", "reject", "defer", "withdraw"}
    assert set(commands) == looking | writing | deciding | {
        "demo",
        "explain",
        "fit",
        "fleet",
        "notebook",
        "completion",
    }


# errors


def test_wrong_usage_ends_with_1(md: Md) -> None:
    for arguments in (
        ("--debug",),
        ("bogus",),
        ("check", "--bogus"),
        ("check", "--deadline", "0"),
        ("undo",),
        ("apply", "!a", "--approve-certain"),
        ("apply", "--owner", "@a:hs"),
        ("apply", "!a", "!b", "--overwrite"),
    ):
        done = md(*arguments)
        assert (done.code, done.out) == (1, ""), arguments
        assert done.err.startswith("Error: ")
        assert re.search(r"[.?] `matrix-drift[a-z ]* --help` says more", done.err)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("check", "--homeserver", "foo"), "is no address of a homeserver"),
        (("check", "--database", "none.db"), "there is no such file"),
        (("check", "--table", "other"), "has no table 'other'"),
        (("undo", "run-1", "--yes"), "There is no run run-1"),
        (("apply", "!a1", "--backup-dir", "nowhere"), "there is no folder nowhere"),
        (("check", "--room-name-pattern", "("), "is no pattern"),
    ],
)
def test_an_error_is_one_sentence_and_1(md: Md, arguments: tuple[str, ...], words: str) -> None:
    done = md(*arguments)
    assert done.code == 1
    assert done.said("Error: ", words)
    assert "Traceback" not in done.err


NAMED = {
    "MATRIX_HOMESERVER": "No homeserver is named: give --homeserver, MATRIX_HOMESERVER, or `homeserver` in",
    "BOT_DATABASE": "No database is named: give --database, BOT_DATABASE, or `database` in matrix-drift.toml",
    "MATRIX_ACCESS_TOKEN": "There is no access token: set MATRIX_ACCESS_TOKEN, or MATRIX_ACCESS_TOKEN_FILE",
}


@pytest.mark.parametrize(
    "missing",
    [names for count in (1, 2, 3) for names in combinations(NAMED, count)],
    ids=", ".join,
)
def test_all_that_is_missing_is_named_at_once_and_nothing_else(
    md: Md, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]
) -> None:
    for name in missing:
        monkeypatch.delenv(name)
    for command in ("check", "plan", "plan --shadow no.module:f", "apply !a1", "snapshot f"):
        done = md(*command.split())
        assert (done.code, done.out, len(done.err.splitlines())) == (1, "", 1), command
        assert {name for name, words in NAMED.items() if words in done.err} == set(missing)
        assert done.said("`matrix-drift demo`") is (len(missing) > 1)
    if "BOT_DATABASE" in missing:
        history = md("history")
        assert history.said(NAMED["BOT_DATABASE"]) and not history.said("homeserver")


def test_whoever_can_be_asked_for_the_token_misses_the_rest_alone(
    md: Md, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.cli.options.someone_there", lambda: True)
    monkeypatch.delenv("MATRIX_ACCESS_TOKEN")
    answers = iter(["", TOKEN])
    monkeypatch.setattr("click.prompt", lambda *words, **options: next(answers))
    assert md("check").said(NAMED["MATRIX_ACCESS_TOKEN"])
    assert md("check").code == 2
    monkeypatch.delenv("MATRIX_HOMESERVER")
    done = md("check")
    assert done.said(NAMED["MATRIX_HOMESERVER"]) and not done.said("token")


def test_the_bare_command_is_help(md: Md) -> None:
    done = md()
    assert (done.code, done.err, done.out) == (0, "", md("--help").out)
    assert "check" in done.out


def test_a_dead_token_and_a_broken_server_are_one_sentence_each(
    md: Md, server: FakeHomeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolkit.homeserver.server, "ATTEMPTS", 1, raising=False)
    server.fault(Fault("whoami", Status(401, {"errcode": "M_UNKNOWN_TOKEN"}), times=1))
    assert md("check").said("doesn't accept the access token")
    server.fault(Fault("joined_rooms", Cut()))
    assert md("check", "--deadline", "0.5").code == 1
    server.clear_faults()
    server.fault(Fault("/state$", Hang()))
    done = md("check", "--deadline", "0.3")
    assert done.code == 1
    assert done.said("The deadline of 0.3 s passed")


def test_waiting_for_a_busy_server_is_told(md: Md, server: FakeHomeserver) -> None:
    body = {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1_000}
    server.fault(Fault("joined_rooms", Status(429, body), times=1))
    done = md("check")
    assert done.code == 2
    assert done.said("too many requests; asking again in 1 s")


def test_a_bug_is_one_sentence_and_a_traceback_only_when_asked(
    md: Md, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kw: object) -> None:
        raise RuntimeError(f"the header was Bearer {TOKEN}")

    monkeypatch.setattr("toolkit.repairs.plan_repairs", fail)
    done = md("check")
    assert done.code == 1
    assert done.err == (
        "Error: unexpected RuntimeError, which is a bug in matrix-drift. With --debug you see where.\n"
    )
    done = md("check", "--debug")
    assert done.said("Traceback", "Bearer ***")
    assert md("--debug", "check").said("Traceback")


def test_an_empty_homeserver_beside_rows_decides_nothing(md: Md, bench: Bench) -> None:
    bench.world.rooms.clear()
    assert md("check").said("in no room at all")
    done = md("check", "--allow-empty")
    assert done.code == 2  # nothing was compared, so that nothing is in sync
    assert "6 rows orphaned" in done.out
    assert "probably another account than the rows are of" in " ".join(done.out.split())
