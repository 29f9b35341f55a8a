"""The page is TOML that says what it rests on, and no name breaks out of a comment."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from tests.fitting.test_proposals import BOT, EVA, best, rooms, rows, sample
from toolkit.fitting.chats import KeyValue, find_key_value
from toolkit.fitting.page import chats_page, links_page, settings_page
from toolkit.fitting.proposal import Proposal
from toolkit.layout import Layout, TableFacts
from toolkit.testing import World


def page(proposal: Proposal, why: str = "", *, looked: bool = True, only_read: str = "") -> str:
    facts = TableFacts(why, why_no_write=only_read)
    text = "\n".join(links_page(proposal, facts, looked=looked))
    told = tomllib.loads(text)
    assert Layout.of(**told) == proposal.layout()
    return text


def test_settings_stand_above_and_what_no_file_can_hold_is_left_open() -> None:
    text = "\n".join(
        settings_page(
            {"homeserver": "https://hs", "database": "d\n.db"}, {"database": "no\npassword"}
        )
    )
    assert tomllib.loads(text) == {"homeserver": "https://hs", "database": "d\n.db"}
    assert text.endswith(r'database = "d\n.db"  # no\u{a}password')
    given = {"homeserver": None, "database": "\udcff", "helper_accounts": (EVA,)}
    lines = settings_page(given, {"database": ""})
    assert tomllib.loads("\n".join(lines)) == {"helper_accounts": [EVA]}
    assert [line.partition(" =")[0] for line in lines[1:3]] == ["# homeserver", "# database"]
    assert "no UTF-8" in lines[2]


def test_the_usual_names_of_a_key_value_table_are_not_repeated() -> None:
    assert len(chats_page(KeyValue("kv", "key", "value", 1, 2, 3))) == 1
    assert tomllib.loads("\n".join(chats_page(KeyValue("a'b\n", "key", "v", 1, 2, 3)))) == {
        "table": "a'b\n",
        "value_column": "v",
    }
    other = sample(("matrix_user:@a:hs", "[]"), ("chat:@a:hs:C1", '{"surface_ref": "!x"}'))
    assert find_key_value([other]) is None


def test_strangers_names_end_no_comment() -> None:
    world = World(BOT)
    for number in range(6):
        world.room(f"!r{number}", creator=f'@x\n[rows.user]\ntable = "u{number}\u202e":hs')
    text = page(best(sample(*rows(6)), world))
    assert "and 3 others" in text and "\u202e" not in text
    assert set(tomllib.loads(text)) == {"shape", "rows"}


@pytest.mark.parametrize(
    ("world", "words"),
    [
        (rooms(2), "it made all 2 linked rooms"),
        (rooms(1), "Nothing was found that tells the id"),
        (rooms(2, members=[EVA]), "its users are in the rooms"),
        (rooms(2, members=["@x:hs"]), '# owner = "owner"'),
    ],
)
def test_reasons_stand_beside_what_they_are_for(world: World, words: str) -> None:
    assert words in page(best(sample(*rows(2, EVA), columns="id room owner"), world))


def test_whoever_has_ghosts_may_have_to_be_stopped() -> None:
    world = World(BOT)
    for number in range(2):
        world.room(f"!r{number}", creator=f"@gc_{number}:hs", name=f"Case id{number}")
    assert "# stopped = true" in page(best(sample(*rows(2)), world))
    assert "stopped" not in page(best(sample(*rows(2)), rooms(2)))


def test_a_table_that_can_only_be_read_says_so() -> None:
    text = page(best(sample(*rows(2)), rooms(2)), only_read="it is so")
    assert "it can only be looked at: it is so" in text


def test_how_strong_a_clue_is_is_said() -> None:
    world = rooms(7)
    for number in range(7):
        world.name(f"!r{number}", f"Case id{number or 9}")
    text = page(best(sample(*rows(7)), world))
    assert "tells the id of 6 of 7 linked rooms, and another one of 1" in text
    one = rooms(1)
    one.name("!r0", "Case id0")
    assert "one room shows little" in page(best(sample(*rows(1)), one))


@pytest.mark.parametrize(
    ("insert", "why", "words"),
    [
        (False, "it is so", "no row can be made: it is so"),
        (False, "", "nothing tells the id of a room that has no row"),
        (True, "", "a new row needs nothing else"),
        ({"kind": "x"}, "", "needed for a new row"),
    ],
)
def test_what_an_insert_needs_is_said(insert: Any, why: str, words: str) -> None:
    proposal = best(sample(*rows(2)), rooms(2))
    told = Proposal(proposal.candidate, witnesses=2, insert=insert)
    assert words in page(told, why)


def test_a_look_without_rooms_says_so_and_an_id_that_nothing_keeps_apart() -> None:
    table = sample(("a", "!x:hs"), ("b", "!y:hs"), unique="room")
    text = page(best(table), looked=False)
    assert "not looked at: who made the rooms" in text
    assert "nothing in the table keeps it unique" in text


def test_a_part_that_nothing_tells_is_said_and_keeps_rows_from_being_made() -> None:
    world = rooms(2)
    for number in range(2):
        world.event(f"!r{number}", "x.half", {"id": f"id{number}"})
    table = sample(*rows(2, "a"), ("id2", None, "b"), unique="id,part", columns="id room part")
    text = page(best(table, world))
    assert "where part stands wasn't found, and rows must say it" in text
    assert "nothing tells what a new row would hold in part" in text
