"""The mapping in `matrix-drift.toml`: the same as Python values, and each mistake in one sentence."""

from pathlib import Path

import pytest

from toolkit import Layout, ToolkitError
from toolkit.sources.settings import load_settings, read_settings

TICKETS = r"""
homeserver = "https://hs.example"
database = "store.db"

[shape]
kind = "links"
rooms = "bot"
type = "room"

[rows.link]
table = "tickets"
id = "id"
room = "user_room_id"
owner = "user_id"
show = ["status"]
where = { bridge_id = "" }
insert = { room_name = "", kind = "portal" }

[[evidence]]
name = 'Ticket #{id} \(.+\)'
[[evidence]]
event = "com.example.ticket"
state_key = ""
id = "ticket.id"
[[evidence]]
alias = '#ticket_{id}:.+'
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "matrix-drift.toml"


def test_the_file_says_the_same_as_python_values(path: Path) -> None:
    path.write_text(TICKETS)
    found = read_settings(path)
    assert found == {
        "homeserver": "https://hs.example",
        "database": "store.db",
        "layout": Layout.of(
            shape={"kind": "links"},
            rows={
                "link": {
                    "table": "tickets",
                    "id": "id",
                    "room": "user_room_id",
                    "owner": "user_id",
                    "show": ["status"],
                    "where": {"bridge_id": ""},
                    "insert": {"room_name": "", "kind": "portal"},
                }
            },
            evidence=[
                {"name": r"Ticket #{id} \(.+\)"},
                {"event": "com.example.ticket", "id": "ticket.id"},
                {"alias": "#ticket_{id}:.+"},
            ],
        ),
    }


def test_code_of_the_bots_own_is_named_above_all_tables(path: Path) -> None:
    tables = TICKETS[TICKETS.index("[shape]") : TICKETS.index("[[evidence]]")]
    path.write_text(f'evidence = "mybot.drift:claim"\n{tables}')
    assert read_settings(path)["layout"].evidence == "mybot.drift:claim"


def test_a_file_without_these_tables_says_nothing_of_a_layout(path: Path) -> None:
    path.write_text('database = "bot.db"\n')
    assert read_settings(path) == {"database": "bot.db"}


def test_the_file_above_is_found(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(TICKETS)
    below = path.parent / "src"
    below.mkdir()
    monkeypatch.chdir(below)
    assert isinstance(load_settings()["layout"], Layout)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'kind = "links"\nrooms',
            'kind = "secret"\nrooms',
            "shape.kind: it must be one of 'chats' and 'links'.",
        ),
        ('id = "id"', "id = 5", "rows.link.id: expected `str | array`, got `int`."),
        ('table = "tickets"', "", "rows.link: `table` is missing."),
        ("#ticket_{id}:.+", "#ticket:.+", "evidence[2].alias: it has no {id} in it."),
        ("[rows.link]", "[rows.links]", "rows: there is no key `links`."),
        ('owner = "user_id"', 'password = "secret"', "rows.link: there is no key `password`."),
    ],
)
def test_a_mistake_is_one_sentence_that_names_file_and_key(
    path: Path, old: str, new: str, said: str
) -> None:
    assert old in TICKETS
    path.write_text(TICKETS.replace(old, new))
    with pytest.raises(ToolkitError) as caught:
        read_settings(path)
    assert str(caught.value) == f"{path}: {said}"
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__context__ is None
