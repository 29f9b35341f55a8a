"""What is asked to hear what is new in the rooms, what is believed of an answer, and what the guard lets through."""

from __future__ import annotations

import json
from typing import Any

import pytest

from toolkit.homeserver import sliding_sync
from toolkit.homeserver.following import KINDS, Following, is_following
from toolkit.homeserver.room_state import UnreadableState

NAME = "0123456789abcdef"
PATH = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"


def answer(count: int, *rooms: str, pos: str = "1/s 2") -> bytes:
    told = {"pos": pos, "lists": {"rooms": {"count": count}}, "rooms": {room: {} for room in rooms}}
    return json.dumps(told).encode()


def asked(following: Following) -> Any:
    return json.loads(following.body)


def test_it_asks_for_state_alone_on_a_connection_of_its_own() -> None:
    following = Following({"org.example.chat"}, NAME)
    assert following.path(30) == f"{PATH}?timeout=0&set_presence=offline"
    assert asked(following) == {
        "conn_id": f"matrix-drift-watch-{NAME}",
        "lists": {
            "rooms": {
                "ranges": [[0, 999]],
                "required_state": [[kind, "*"] for kind in sorted({*KINDS, "org.example.chat"})],
                "timeline_limit": 0,
            }
        },
    }
    assert asked(Following({"*", "a"}, NAME))["lists"]["rooms"]["required_state"] == [["*", "*"]]


def test_it_waits_once_all_rooms_were_told() -> None:
    following = Following((), NAME)
    assert not following.begun
    assert following.take(answer(2, "!a", "!b")) == {"!a", "!b"}
    assert following.begun
    assert following.path(30) == f"{PATH}?timeout=30000&set_presence=offline&pos=1%2Fs%202"
    assert following.take(answer(2, "!a")) == {"!a"}
    assert following.take(answer(2)) == frozenset()
    following.restart()
    assert not following.begun and "pos" not in following.path(30)


def test_the_range_grows_with_the_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sliding_sync, "STEP", 2)
    following = Following((), NAME)
    following.take(answer(3, "!a", "!b"))
    assert not following.begun and "timeout=0&" in following.path(30)
    assert asked(following)["lists"]["rooms"]["ranges"] == [[0, 3]]
    following.take(answer(3, "!c"))
    assert following.begun and "timeout=30000&" in following.path(30)
    following.take(answer(5, "!d"))
    assert not following.begun


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", answer(1, pos=""), answer(1)[:-9]])
def test_what_is_no_answer_moves_nothing(body: bytes) -> None:
    following = Following((), NAME)
    following.take(answer(1))
    before = following.path(30)
    with pytest.raises(UnreadableState):
        following.take(body)
    assert following.path(30) == before


# -- the guard ------------------------------------------------------------------------------------


def test_each_of_its_own_requests_is_a_read() -> None:
    following = Following({"org.example.чат"}, NAME)
    assert is_following(following.path(30), following.body)
    following.take(answer(1, pos="5/s12~_.-%"))
    assert is_following(following.path(30), following.body)


@pytest.mark.parametrize(
    "path",
    [
        PATH,
        f"{PATH}?timeout=0&set_presence=online",
        f"{PATH}?timeout=0&set_presence=offline&pos=1&filter=0",
        f"{PATH}?timeout=0&set_presence=offline&pos=",
        f"{PATH}/../x?timeout=0&set_presence=offline",
    ],
)
def test_another_path_is_refused(path: str) -> None:
    assert not is_following(path, Following((), NAME).body)


def test_another_body_is_refused() -> None:
    following = Following((), NAME)
    path, body = following.path(0), following.body
    made: dict[str, Any] = json.loads(body)
    rooms = made["lists"]["rooms"]
    others: list[Any] = [
        None,
        body.encode(),
        "{",
        f" {body}",
        {**made, "extensions": {"to_device": {"enabled": True}}},
        {**made, "room_subscriptions": {}},
        {**made, "conn_id": "matrix-drift-watch-1"},
        {**made, "conn_id": "bot"},
        {**made, "lists": {}},
        {**made, "lists": {"other": rooms}},
        {**made, "lists": {"rooms": rooms, "other": rooms}},
        {**made, "lists": {"rooms": {**rooms, "timeline_limit": 1}}},
        {**made, "lists": {"rooms": {**rooms, "include_heroes": True}}},
    ]
    for other in others:
        data = json.dumps(other, separators=(",", ":")) if isinstance(other, dict) else other
        assert not is_following(path, data), other
