"""State events that a layout's evidence asks for are kept as they are, and no others."""

import json
from typing import Any

import pytest

from toolkit.homeserver.room_state import decode_room
from toolkit.model import StateEvent
from toolkit.testing import World

CREATE = {"type": "m.room.create", "state_key": "", "sender": "@b", "event_id": "$0", "content": {}}
GOOD = {"type": "t", "state_key": "", "sender": "@b", "event_id": "$1", "content": {"id": 7}}


def kept(*events: Any, types: frozenset[str] = frozenset({"t"})) -> tuple[StateEvent, ...]:
    return decode_room("!r", json.dumps([CREATE, *events]).encode(), kept=types).kept


def test_a_bot_of_shape_chats_keeps_none() -> None:
    assert kept(GOOD, types=frozenset()) == ()


def test_only_the_types_that_are_asked_for_are_kept_in_one_order() -> None:
    other = {**GOOD, "type": "u"}
    keyed = {**GOOD, "state_key": "a"}
    found = (
        StateEvent("t", "", "@b", "$1", {"id": 7}),
        StateEvent("t", "a", "@b", "$1", {"id": 7}),
    )
    assert kept(GOOD, other, keyed) == kept(keyed, other, GOOD) == found


@pytest.mark.parametrize(
    "wrong",
    [
        {"state_key": 1},
        {"state_key": None},
        {"sender": []},
        {"event_id": {}},
        {"type": 7},
        {"sender": "\ud800"},
    ],
)
def test_a_malformed_event_counts_as_absent(wrong: dict[str, Any]) -> None:
    assert kept({**GOOD, **wrong}) == ()


@pytest.mark.parametrize("content", [None, [], "x", 7, {"id": "\ud800"}, {"id": 10**400}])
def test_a_content_that_is_none_or_could_not_be_stored_is_empty(content: Any) -> None:
    [event] = kept({**GOOD, "content": content})
    assert event.content == {} or event.content == {"id": 10**400}


def test_what_is_no_event_beside_it_does_no_harm() -> None:
    assert [event.content for event in kept(7, GOOD, None)] == [{"id": 7}]
    without = {name: value for name, value in GOOD.items() if name != "content"}
    assert [event.content for event in kept(7, without)] == [{}]


def test_what_is_not_utf8_beside_it_does_no_harm() -> None:
    other = json.dumps({**GOOD, "state_key": "X"}).encode().replace(b'"X"', b'"\xff"')
    body = (
        b"[" + json.dumps(CREATE).encode() + b"," + json.dumps(GOOD).encode() + b"," + other + b"]"
    )
    assert [e.state_key for e in decode_room("!r", body, kept=frozenset({"t"})).kept] == [""]


def test_a_redacted_event_is_kept_with_an_empty_content() -> None:
    world = World()
    world.room("!r")
    world.event("!r", "t", {"id": 7})
    world.redact("!r", "t")
    [event] = decode_room("!r", world.state("!r"), kept=frozenset({"t"})).kept
    assert (event.sender, event.content) == (world.bot, {})
