"""`fleet.toml`: the bots that it names, and each mistake in a sentence that repeats no token."""

import pickle
from pathlib import Path

import pytest

from tests.fleet.yard import TOKEN
from toolkit import Layout, ToolkitError
from toolkit.fleet.settings import Fleet
from toolkit.fleet.tokens import Way

DESK = """
[bots.desk]
homeserver = "https://hs.example"
database = "data/desk.db"
access_token_file = "desk.token"
backup_dir = "/backups"
former_accounts = ["@old:hs.example"]
deadline = 5
lower_counters = true
worker = "machine-2"
"""
SHOP = """
[bots.shop]
homeserver = "https://hs.example"
database = "shop.db"
access_token_command = "pass show 'the shop'"
[bots.shop.shape]
kind = "links"
[bots.shop.rows.link]
table = "tickets"
id = "id"
room = "room_id"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fleet.toml"


def test_each_bot_has_the_settings_of_a_file_of_its_own_with_paths_beside_the_fleets(
    path: Path,
) -> None:
    path.write_text(DESK + SHOP)
    desk, shop = Fleet.read(path).bots
    sides = desk.road(TOKEN).sides
    assert sides.database == path.parent / "data/desk.db"
    assert sides.backup_dir == Path("/backups")
    assert sides.convention.former_accounts == ("@old:hs.example",)
    assert (sides.homeserver, sides.token, sides.deadline) == ("https://hs.example", TOKEN, 5)
    assert (desk.name, desk.worker, desk.lowers) == ("desk", "machine-2", True)
    assert (desk.token.way, desk.token.value) == (Way.FILE, str(path.parent / "desk.token"))
    assert shop.road(TOKEN).sides.layout == Layout.of(
        shape={"kind": "links"}, rows={"link": {"table": "tickets", "id": "id", "room": "room_id"}}
    )
    assert (shop.token.way, shop.token.value) == (Way.COMMAND, "pass show 'the shop'")
    assert (shop.worker, shop.lowers) == (None, False)


def test_a_database_on_a_server_is_no_path(path: Path) -> None:
    path.write_text(DESK.replace("data/desk.db", "postgresql://bot@db.example/state"))
    [desk] = Fleet.read(path).bots
    assert desk.road(TOKEN).sides.database == "postgresql://bot@db.example/state"


def test_a_bot_travels_without_its_token(path: Path) -> None:
    (path.parent / "desk.token").write_text(TOKEN)
    path.write_text(DESK + SHOP)
    fleet = Fleet.read(path)
    packed = pickle.dumps(fleet.bots)
    assert pickle.loads(packed) == fleet.bots  # noqa: S301 - it is our own
    assert TOKEN.encode() not in packed


def test_bots_without_a_deadline_get_one_and_the_others_keep_theirs(path: Path) -> None:
    path.write_text(DESK + SHOP)
    fleet = Fleet.read(path).within(9)
    assert [bot.settings["deadline"] for bot in fleet.bots] == [5, 9]


def test_some_of_the_bots_may_be_named(path: Path) -> None:
    path.write_text(DESK + SHOP)
    fleet = Fleet.read(path)
    assert [bot.name for bot in fleet.only(["shop"]).bots] == ["shop"]
    assert fleet.only([]).bots == fleet.bots
    with pytest.raises(ToolkitError, match=r"there is no bot 'shup'; did you mean 'shop'\?$"):
        fleet.only(["desk", "shup"])


def table(*lines: str, name: str = "desk") -> str:
    usual = ['homeserver = "https://hs.example"', 'database = "desk.db"']
    return "\n".join([f"[bots.{name}]", *usual, *lines, ""])


FROM_FILE = 'access_token_file = "token"'
ONE_OF = "give one of access_token_file, access_token_env, access_token_command"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "names no bot"),
        ("bots = 3", "names no bot"),
        ("[bots]\ndesk = 3", "bots.desk must be a table"),
        ("[bot.desk]", "there is no setting 'bot'; did you mean 'bots'?"),
        ("x = 1\x00", "it is no TOML"),
        (f"[bots.desk]\naccess_token = {TOKEN}", "it is no TOML (at line 2"),
        ("[bots.desk]\ndatabase = 'd'\n", "bots.desk names no homeserver"),
        (table(FROM_FILE).replace("desk.db", ""), "bots.desk names no database"),
        ("[bots.desk]\nhomeserver = 'h'\n", "bots.desk names no database"),
        (table(), f"bots.desk doesn't say where its token comes from: {ONE_OF}"),
        (table(FROM_FILE, 'access_token_env = "TOKEN"'), f"bots.desk has several {ONE_OF[:0]}"),
        (table(f'access_token = "{TOKEN}"'), "must hold no token or password"),
        (table(FROM_FILE, 'admin_password = "x"'), "remove 'admin_password'"),
        (f'token = "{TOKEN}"', "remove 'token', and say where the token comes from"),
        (table(f'access_token_file = "{TOKEN}"'), "access_token_file must not hold the token"),
        (table(f'access_token_env = "{TOKEN}"'), "access_token_env must not hold the token"),
        (table(f"access_token_command = 'echo \"{TOKEN}\"'"), "must not hold the token itself"),
        (table(FROM_FILE, f'"{TOKEN}" = 1'), "must hold no token or password: remove it"),
        (table(FROM_FILE, name=TOKEN), "bots must hold no token or password: remove it"),
        (f"{TOKEN} = 1", "must hold no token or password: remove it"),
        (
            table(FROM_FILE).replace("hs.example", f"hs/?access_token={TOKEN}"),
            "must hold no token or password: remove 'homeserver'",
        ),
        (table(FROM_FILE, f'helper_accounts = ["{TOKEN}"]'), "remove 'helper_accounts'"),
        (table('access_token_env = "aSecretOfAnotherMake"'), "in capital letters"),
        (table('access_token_command = "echo \'x"'), "a quote is open"),
        (table('access_token_command = " "'), "there is no word"),
        (
            table("access_token_command = 'curl -s https://me:aSecret@vault/bot'"),
            "access_token_command has a password in it",
        ),
        (table('access_token_file = " "'), "access_token_file is empty"),
        (table("access_token_file = 3"), "access_token_file must be a text"),
        (table(FROM_FILE, "worker = 3"), "worker must be a text"),
        (table(FROM_FILE, 'tabel = "kv"'), "there is no setting 'tabel'; did you mean 'table'?"),
        (table(FROM_FILE, 'zzz = "kv"'), "there is no setting 'zzz'; known: homeserver"),
        (table(FROM_FILE, "deadline = '5'"), "bots.desk: deadline must be a number"),
        (table(FROM_FILE, "deadline = -1"), "bots.desk: deadline must be a number above 0"),
        (table(FROM_FILE, "shape = { kind = 'x' }"), "bots.desk: shape.kind"),
        (table(FROM_FILE, "room_name_patterns = ['Chat']"), "bots.desk: "),
        *(
            (
                table(FROM_FILE).replace("desk.db", f"postgresql://db/x?{way}=aSecret"),
                "has a password",
            )
            for way in ("password", "sslmode=require&sslpassword", "%70assword")
        ),
        (table(FROM_FILE).replace("//hs", "//me:aSecret@hs"), "homeserver has a password in it"),
        (
            table(FROM_FILE).replace("desk.db", "postgresql://me:aSecret@db/x"),
            "database has a password",
        ),
        (
            table(FROM_FILE).replace("desk.db", "postgres://db/x?password=y"),
            "database has a password",
        ),
        (table(FROM_FILE, name='"../etc"'), "'../etc' can't be a bot's name"),
        (table(FROM_FILE, name='"a\\u202eb"'), "'a\\u202eb' can't be a bot's name"),
        (table(FROM_FILE, name='""'), "'' can't be a bot's name"),
        (table(FROM_FILE) + table(FROM_FILE, name="Desk"), "desk and Desk would share a file"),
    ],
)
def test_a_mistake_is_one_sentence_without_a_token(path: Path, content: str, words: str) -> None:
    path.write_text(content)
    with pytest.raises(ToolkitError) as raised:
        Fleet.read(path)
    said = str(raised.value)
    assert words in said
    assert str(path) in said
    assert TOKEN not in said and "aSecret" not in said
    assert "\n" not in said and "\u202e" not in said


def test_a_file_that_is_not_there_is_said_with_what_it_would_hold(path: Path) -> None:
    with pytest.raises(ToolkitError, match=r"There is no .*fleet.toml: give each bot a table"):
        Fleet.read(path)


@pytest.mark.parametrize(
    "command",
    ["curl http://127.0.0.1:8200/bot -d @ask.json", "sh -c 'touch t && date +%s; A=1 cat t'"],
)
def test_a_command_is_taken_for_no_address(path: Path, command: str) -> None:
    path.write_text(table(f'access_token_command = "{command}"'))
    [bot] = Fleet.read(path).bots
    assert bot.token.value == command
