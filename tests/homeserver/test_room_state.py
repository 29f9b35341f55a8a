"""Raw room state: whatever strangers put into it is read or counts as absent, and never raises."""

import json
from typing import Any

import pytest

from tests.clients import TOKEN, assert_discreet
from toolkit.homeserver.room_state import UnreadableState, decode_room
from toolkit.model import Link, Member, RemoteState, RoomState

DEEP = "[" * 100_000 + "]" * 100_000
TYPES = ["m.room.create", "m.room.member", "m.room.name", "m.room.tombstone", "m.room.encryption"]
TYPES += ["m.space.child", "m.space.parent", "org.bot.chat", "m.room.topic"]
FIELDS = ["type", "room_version", "predecessor", "replacement_room", "name", "via", "membership"]
FIELDS += ["chat_id"]
ODD: list[Any] = [None, True, 0, -1, 1.5, "", "text", [], ["text"], [None], {}, {"room_id": None}]
ODD += [{"room_id": ["x"]}, 10**30, "\0", "\u202e", [["!r"]]]


def event(kind: object, content: object, **rest: object) -> dict[str, Any]:
    base = {"type": kind, "content": content, "state_key": "", "sender": "@bot:hs"}
    return base | {"event_id": "$e", "origin_server_ts": 7} | rest


def decode(*events: object) -> RoomState:
    return decode_room("!r", json.dumps(events).encode(), "org.bot.chat")


CREATE = event("m.room.create", {"room_version": "12"}, event_id="$create")


def test_a_room_is_read() -> None:
    room = decode(
        event(
            "m.room.create",
            {"type": "m.space", "room_version": "12", "predecessor": {"room_id": "!o"}},
        ),
        event("m.room.name", {"name": "Чат 1"}, event_id="$name", sender="@a:hs"),
        event("m.room.tombstone", {"replacement_room": "!new"}),
        event("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"}),
        event("m.room.member", {"membership": "join"}, state_key="@b:hs", event_id="$b"),
        event("m.room.member", {"membership": "ban"}, state_key="@a:hs", event_id="$a"),
        event("m.space.child", {"via": ["hs"]}, state_key="!c2", event_id="$c2"),
        event("m.space.child", {"via": ["hs"]}, state_key="!c1", event_id="$c1"),
        event("m.space.parent", {"via": ["hs"]}, state_key="!p", event_id="$p", sender="@a:hs"),
        event("org.bot.chat", {"chat_id": "C3"}, event_id="$chat"),
    )
    assert room == RoomState(
        room_id="!r",
        creator="@bot:hs",
        create_event="$e",
        created=7,
        room_type="m.space",
        version="12",
        predecessor="!o",
        replacement="!new",
        name="Чат 1",
        name_sender="@a:hs",
        name_event="$name",
        named=7,
        children=(Link("!c1", "@bot:hs", "$c1"), Link("!c2", "@bot:hs", "$c2")),
        parents=(Link("!p", "@a:hs", "$p"),),
        members=(Member("@a:hs", "ban", "$a"), Member("@b:hs", "join", "$b")),
        chat_id="C3",
        chat_id_sender="@bot:hs",
        chat_id_event="$chat",
        encrypted=True,
    )
    assert room.is_space


def test_a_room_without_state_is_read_as_nothing() -> None:
    assert decode() == RoomState(room_id="!r")


@pytest.mark.parametrize(
    "body", ["", "{}", "null", "5", "[", '{"errcode": "M_UNKNOWN"}', "\ufeff[]"]
)
def test_a_body_that_is_no_list_is_unreadable(body: str) -> None:
    with pytest.raises(UnreadableState):
        decode_room("!r", body.encode())


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("content", [*ODD, "absent"])
def test_malformed_content_counts_as_absent(type: str, content: object) -> None:
    odd = event(type, content, state_key="@x:hs" if type == "m.room.member" else "")
    if content == "absent":
        del odd["content"]
    if type == "m.room.create":
        assert decode(odd).room_type is None
    else:
        room = decode(CREATE, odd)
        plain = decode(CREATE)
        assert (room.name, room.replacement, room.members, room.children, room.parents) == (
            (plain.name, plain.replacement, plain.members, plain.children, plain.parents)
        )
        assert (room.creator, room.version) == ("@bot:hs", "12")


@pytest.mark.parametrize("type", TYPES)
def test_odd_values_never_raise(type: str) -> None:
    for field in FIELDS:
        for value in ODD:
            for state_key in ("", "@x:hs"):
                decode(CREATE, event(type, {field: value}, state_key=state_key))


@pytest.mark.parametrize("part", ["type", "state_key", "sender", "event_id", "origin_server_ts"])
@pytest.mark.parametrize("value", [*ODD, "absent"], ids=repr)
def test_an_odd_envelope_never_raises_and_harms_no_neighbour(part: str, value: object) -> None:
    after = [event("m.room.avatar", {}), event("m.room.create", {"type": "t"})]
    for type in TYPES:
        odd = event(type, {"name": "X", "via": ["hs"], "membership": "join"}) | {part: value}
        if value == "absent":
            del odd[part]
        room = decode(odd, *after)
        assert room.room_type == "t"
        assert all(isinstance(member.user_id, str) for member in room.members)


@pytest.mark.parametrize("part", ["5", "null", '"text"', "[]", "{}", '{"type": 5}', "NaN"])
def test_what_is_no_event_is_left_out(part: str) -> None:
    good = json.dumps(event("m.room.name", {"name": "X"}))
    assert decode_room("!r", f"[{part},{good}]".encode()).name == "X"


@pytest.mark.parametrize(
    "name",
    [
        b"NaN",
        b"-Infinity",
        b'"\\ud800"',
        b'"\\udfff\\ud800"',
        b"1e400",
        b'"\xff"',
        b'"\xed\xa0\x80"',
    ],
)
def test_a_name_that_json_or_utf8_forbids_is_no_name(name: bytes) -> None:
    good = json.dumps([CREATE, event("m.room.name", {"name": "X", "more": "X"})]).encode()
    room = decode_room("!r", good.replace(b'"X"', name))
    assert room == decode(CREATE, event("m.room.name", {}))


@pytest.mark.parametrize("part", ["sender", "event_id", "state_key", "type"])
def test_an_id_that_utf8_forbids_is_no_id(part: str) -> None:
    odd = event("m.room.name", {"name": "X"}) | {part: "POISON"}
    body = json.dumps([CREATE, odd]).replace("POISON", "\\ud800")
    room = decode_room("!r", body.encode())
    assert room.creator == "@bot:hs"
    assert (room.name, room.name_sender, room.name_event) == {
        "sender": ("X", None, "$e"),
        "event_id": ("X", "@bot:hs", ""),
    }.get(part, (None, None, ""))


def test_a_poisoned_field_that_nobody_asks_for_changes_nothing() -> None:
    body = json.dumps([event("m.room.create", {"type": "m.space", "x": "X"})])
    assert decode_room("!r", body.replace('"X"', '"\\ud800"').encode()).is_space


@pytest.mark.parametrize(
    "part", [DEEP, '{"type":"m.room.topic","state_key":"","content":{"x":' + DEEP + "}}"]
)
def test_state_that_is_nested_too_deeply_makes_its_room_unreadable_and_nothing_worse(
    part: str,
) -> None:
    with pytest.raises(UnreadableState):
        decode_room("!r", f"[{part}]".encode())


def test_a_redacted_event_is_present_and_says_nothing() -> None:
    room = decode(
        event("m.room.create", {}),
        event("m.room.name", {}),
        event("m.room.tombstone", {}),
        event("m.room.member", {}, state_key="@a:hs"),
        event("m.space.child", {}, state_key="!c"),
        event("org.bot.chat", {}),
    )
    assert (room.creator, room.room_type) == ("@bot:hs", None)
    assert (room.name, room.replacement, room.members, room.children) == (None, None, (), ())
    assert room.chat_id is None


@pytest.mark.parametrize(
    "type", [t for t in TYPES if not t.startswith(("m.room.member", "m.space"))]
)
@pytest.mark.parametrize("state_key", ["x", "!r", None, "absent"])
def test_an_unexpected_state_key_is_not_that_state(type: str, state_key: object) -> None:
    content = {"name": "X", "type": "m.space", "replacement_room": "!n", "chat_id": "C1"}
    odd = event(type, content, state_key=state_key)
    if state_key == "absent":
        del odd["state_key"]
    assert decode(odd) == RoomState(room_id="!r")


@pytest.mark.parametrize("type", ["m.room.member", "m.space.child", "m.space.parent"])
@pytest.mark.parametrize("state_key", ["", None, 5])
def test_members_and_links_need_a_state_key(type: str, state_key: object) -> None:
    content = {"membership": "join", "via": ["hs"]}
    assert decode(event(type, content, state_key=state_key)) == RoomState(room_id="!r")


@pytest.mark.parametrize(
    ("via", "live"),
    [
        (["hs"], True),
        (["a", "b"], True),
        ([""], True),
        ([], False),
        (None, False),
        ("hs", False),
        ([1], False),
        (["hs", None], False),
        ({"hs": 1}, False),
        (True, False),
    ],
)
@pytest.mark.parametrize("type", ["m.space.child", "m.space.parent"])
def test_a_link_is_live_only_with_a_list_of_strings(type: str, via: object, live: bool) -> None:
    room = decode(event(type, {"via": via}, state_key="!x"))
    assert bool(room.children + room.parents) is live


def test_a_link_without_a_sender_proves_nothing() -> None:
    assert (
        decode(event("m.space.child", {"via": ["hs"]}, state_key="!x", sender=None)).children == ()
    )


@pytest.mark.parametrize("ts", [None, "7", 1.5, True, 10**30])
def test_a_creation_time_is_a_whole_number(ts: object) -> None:
    created = decode(event("m.room.create", {}, origin_server_ts=ts)).created
    assert created is None or (type(created) is int and created == ts)
    named = decode(event("m.room.name", {"name": "Чат 1"}, origin_server_ts=ts)).named
    assert named == created


def test_without_a_custom_type_none_is_read() -> None:
    body = json.dumps([event("org.bot.chat", {"chat_id": "C1"})]).encode()
    assert decode_room("!r", body).chat_id is None


def test_the_slow_path_gives_what_the_fast_one_does() -> None:
    events = [
        event("m.room.create", {"type": "m.space", "predecessor": {"room_id": "!o", "x": [1]}}),
        event("m.room.name", {"name": "Чат 1"}),
        event("m.room.member", {"membership": "join"}, state_key="@a:hs"),
        event("m.space.child", {"via": ["hs"]}, state_key="!c"),
        event("m.space.parent", {"via": ["hs"]}, state_key="!p"),
        event("m.room.tombstone", {"replacement_room": "!n"}),
        event("org.bot.chat", {"chat_id": {"odd": [1, 2.5, None]}}),
        event("m.room.encryption", {"algorithm": "x"}),
    ]
    for several in (events, events[::-1], [event("m.room.create", {}, origin_server_ts=10**30)]):
        assert decode(*several, 5) == decode(*several)
        assert decode(event("m.room.topic", [1]), *several) == decode(*several)


def test_a_room_is_joined_whether_or_not_it_could_be_read() -> None:
    remote = RemoteState("@bot:hs", {"!r": decode()}, {"!dark": "timeout"})
    assert [remote.joined(room_id) for room_id in ("!r", "!dark", "!gone")] == [True, True, False]


def test_an_unreadable_state_keeps_nothing_of_the_body() -> None:
    """A proxy's page may quote the request; what couldn't be decoded holds a piece of it."""
    with pytest.raises(UnreadableState) as caught:
        decode_room("!r", b'[{"type":"' + TOKEN.encode() + b'\xff"},')
    assert_discreet(caught.value)
