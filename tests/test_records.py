"""Rows: how their keys split, what of their values can be read, and what a repair leaves alone."""

import json
from typing import Any

import pytest

from toolkit.records import (
    NULL,
    ChatRow,
    Raw,
    RoomRow,
    UserRow,
    chat_key,
    decode_object,
    encode_row,
    load_records,
    repair_row,
    room_key,
    split_chat_key,
    user_key,
)

DEEP = '{"space_id": "!s", "next_chat_index": 1, "x": ' + "[" * 100_000 + "]" * 100_000 + "}"
RIGHT = '{"space_id": "!s", "next_chat_index": 1}'


@pytest.mark.parametrize(
    ("key", "user_id", "chat_id"),
    [
        ("chat:@alice:hs:C4", "@alice:hs", "C4"),
        ("chat:@alice:hs:8448:C4", "@alice:hs:8448", "C4"),
        ("chat:@alice:[::1]:8448:C4", "@alice:[::1]:8448", "C4"),
        ("chat:@a:hs:unregistered:!r", "@a:hs", "unregistered:!r"),
        ("chat:@a:hs:unregistered:!r:hs:8448", "@a:hs", "unregistered:!r:hs:8448"),
        ("chat:@a:hs:unregistered:!r:unregistered:!q", "@a:hs", "unregistered:!r:unregistered:!q"),
        ("chat:@a:unregistered:C4", "@a:unregistered", "C4"),
        ("chat:@a:unregistered:unregistered:!r", "@a:unregistered", "unregistered:!r"),
        ("chat:@unregistered:C4", "@unregistered", "C4"),
        ("chat:C4", "", "C4"),
        ("chat:", "", ""),
    ],
)
def test_a_chat_key_splits_at_the_placeholder_or_the_last_colon(
    key: str, user_id: str, chat_id: str
) -> None:
    assert split_chat_key(key) == (user_id, chat_id)


def test_keys_are_built_as_they_are_split() -> None:
    assert split_chat_key(chat_key("@a:hs", "C4")) == ("@a:hs", "C4")
    assert (user_key("@a:hs"), room_key("!r")) == ("matrix_user:@a:hs", "matrix_room:!r")


def test_rows_are_read_into_their_tables() -> None:
    state = load_records(
        [
            ("matrix_user:@a:hs", RIGHT),
            ("matrix_room:!r", '{"chat_id": "C1", "matrix_user_id": "@a:hs", "space_id": "!s"}'),
            ("chat:@a:hs:C1", b'{"surface_ref": "!r", "user_id": 5}'),
        ]
    )
    assert state.users == {"@a:hs": UserRow("!s", 1)}
    assert state.rooms == {"!r": RoomRow("C1", "@a:hs", "!s")}
    assert state.chats == {("@a:hs", "C1"): ChatRow("!r", user_id=5)}
    assert not state.unreadable
    assert set(state.rows) == {"matrix_user:@a:hs", "matrix_room:!r", "chat:@a:hs:C1"}


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (NULL, "it is NULL"),
        (b"\xff\xfe", "it is not UTF-8"),
        (b'{"space_id": "!s", "next_chat_index": 1, "n": "\xff"}', "it is not UTF-8"),
        ('{"space_id": "!s\udcff", "next_chat_index": 1}', "it is not UTF-8"),
        ("", "it is not JSON"),
        ("hello", "it is not JSON"),
        ('{"space_id": "!s", "next_chat_index": NaN}', "`next_chat_index`"),
        ('{"space_id": "!s", "next_chat_index": Infinity}', "`next_chat_index`"),
        (f'{{"space_id": "!s", "next_chat_index": 1, "n": {"1" * 5000}}}', "it is not JSON"),
        (RIGHT + RIGHT, "it is not JSON"),
        (RIGHT[:-1], "it is not JSON"),
        ("\ufeff" + RIGHT, "it is not JSON"),
        (DEEP, "it is not JSON"),
        (5, "it is not JSON"),
        (1.5, "it is not JSON"),
        ("5", "it is JSON, but not an object"),
        ("null", "it is JSON, but not an object"),
        ('"text"', "it is JSON, but not an object"),
        ("[1, 2]", "it is JSON, but not an object"),
        ("{}", "missing `space_id`"),
        ('{"space_id": "!s"}', "missing `next_chat_index`"),
        ('{"space_id": 5, "next_chat_index": 1}', "`space_id`"),
        ('{"space_id": "!s", "next_chat_index": "1"}', "`next_chat_index`"),
        ('{"space_id": "!s", "next_chat_index": 1.5}', "`next_chat_index`"),
        ('{"space_id": "!s", "next_chat_index": true}', "`next_chat_index`"),
        ('{"space_id": "!s", "next_chat_index": null}', "`next_chat_index`"),
        ('{"space_id": "!s", "next_chat_index": 1e400}', ""),
    ],
)
def test_a_poisoned_row_is_told_apart_and_the_others_are_read(raw: Raw, why: str) -> None:
    state = load_records([("matrix_user:@bad:hs", raw), ("matrix_user:@good:hs", RIGHT)])
    assert set(state.users) == {"@good:hs"}
    assert set(state.unreadable) == {"matrix_user:@bad:hs"}
    assert why in state.unreadable["matrix_user:@bad:hs"]
    assert state.rows["matrix_user:@bad:hs"] == raw


def test_why_a_row_is_unreadable_never_quotes_it() -> None:
    raw = '{"space_id": "!secret", "next_chat_index": "private", "medical": "history"}'
    why = load_records([("matrix_user:@a:hs", raw)]).unreadable["matrix_user:@a:hs"]
    assert not [word for word in ("secret", "private", "history") if word in why]


def test_a_row_of_each_family_needs_its_own_fields() -> None:
    keys = ["matrix_user:@a:hs", "matrix_room:!r", "chat:@a:hs:C1"]
    assert set(load_records([(key, "{}") for key in keys]).unreadable) == set(keys)


def test_a_number_where_the_value_should_be_text_is_no_object() -> None:
    state = load_records([("matrix_user:@a:hs", 7)])
    assert state.unreadable == {"matrix_user:@a:hs": "it is not JSON"}
    assert state.rows == {"matrix_user:@a:hs": 7}


def test_unknown_fields_and_odd_values_of_fields_that_are_not_needed_are_read() -> None:
    raw = '{"surface_ref": "!r", "chat_id": [1], "platform": {}, "x": 1e999, "y": 123456789012345678901}'
    row = load_records([("chat:@a:hs:C1", raw)]).chats["@a:hs", "C1"]
    assert (row.chat_id, row.platform) == ([1], {})


def test_a_repair_of_a_blob_stays_a_blob() -> None:
    assert repair_row(b'{"a":1}', {"a": 2}) == b'{"a":2}'


def test_a_row_is_decoded_as_the_bot_gets_it() -> None:
    assert decode_object('{"a": [1, null]}') == {"a": [1, None]}
    assert decode_object(b'{"a": "\xd0\xb6"}') == {"a": "ж"}


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (NULL, "NULL"),
        ("[]", "not an object"),
        (b"\xff", "UTF-8|not JSON"),
        ("{", "not JSON"),
        (5, "not JSON"),
        (DEEP, "not JSON"),
    ],
)
def test_what_is_no_object_is_not_decoded(raw: Raw, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode_object(raw)


def test_a_row_is_written_as_it_will_be_read() -> None:
    fields = {"name": "Чат\u202e\u0000<", "n": 2**63, "nested": {"x": [1.5, None, True]}}
    assert json.loads(encode_row(fields)) == fields
    assert decode_object(encode_row(fields)) == fields


ODD = (
    '{"space_id":"!s","next_chat_index":2,"score":NaN,"paid_until":"2027-01-01"}',
    '{"space_id": "!s", "next_chat_index": 2, "debt": -Infinity, "x": [1e400, {"y": NaN}]}',
    '{"space_id":"!s","mood":"\\ud83d","next_chat_index":2}',
    '{ "\\ude00" : "half a name" ,\n "имя":"\\ud83d\\ud83d", "space_id":"!s","next_chat_index":2 }',
)
"""Rows that Python's json writes and reads, and stricter readers refuse."""


@pytest.mark.parametrize("raw", [*ODD, *(row.encode() for row in ODD)])
def test_readable_is_what_python_reads(raw: str | bytes) -> None:
    state = load_records([("matrix_user:@a:hs", raw)])
    assert state.users == {"@a:hs": UserRow("!s", 2)}
    assert not state.unreadable
    assert repr(decode_object(raw)) == repr(json.loads(raw))


@pytest.mark.parametrize("raw", ODD)
def test_a_repair_of_such_a_row_keeps_the_other_fields_to_the_byte(raw: str) -> None:
    after = repair_row(raw, {"next_chat_index": 7, "new": "Чат"})
    assert isinstance(after, str)
    wanted = {**json.loads(raw), "next_chat_index": 7, "new": "Чат"}
    assert repr(json.loads(after)) == repr(wanted)
    for kept in ("NaN", "-Infinity", "1e400", '"\\ud83d"', '"\\ude00"', '"имя"', '"2027-01-01"'):
        assert (kept in after) == (kept in raw)
    assert repair_row(raw.encode(), {"next_chat_index": 7, "new": "Чат"}) == after.encode()


@pytest.mark.parametrize("raw", ODD)
def test_what_the_bot_read_it_can_write_back(raw: str) -> None:
    fields = decode_object(raw)
    assert repr(json.loads(encode_row(fields))) == repr(json.loads(raw))


def test_a_new_row_is_a_blob_only_where_its_family_holds_nothing_else() -> None:
    rows: list[tuple[str, Raw]] = [
        ("matrix_user:@a:hs", RIGHT.encode()),
        ("chat:@a:hs:C1", b"{}"),
        ("chat:@a:hs:C2", "{}"),
        ("matrix_room:!r", NULL),
    ]
    state = load_records(rows)
    assert state.encode("matrix_user:@b:hs", {"a": 1}) == b'{"a":1}'
    assert state.encode("chat:@b:hs:C1", {"a": 1}) == '{"a":1}'
    assert state.encode("matrix_room:!s", {"a": 1}) == '{"a":1}'
    empty = load_records(rows[:1])
    assert empty.encode("chat:@b:hs:C1", {"a": 1}) == b'{"a":1}'  # as the other families'


def test_what_an_object_of_another_kind_calls_itself_is_kept() -> None:
    state = load_records(
        [
            ("chat:1:C1", '{"platform": "telegram", "surface_ref": -100}'),
            ("matrix_room:!r", '{"room_type": "dm"}'),
            ("chat:1:C2", '{"platform": 5}'),
            ("matrix_user:@a:hs", '{"platform": "telegram"}'),
        ]
    )
    assert state.kinds == {"chat:1:C1": "telegram", "matrix_room:!r": "dm"}
    assert len(state.unreadable) == 4


def _itself() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize("value", [object(), {1: {2, object()}}, _itself()])
def test_what_json_cannot_hold_is_not_written(value: object) -> None:
    with pytest.raises(ValueError, match="can't be written as JSON"):
        encode_row({"name": value})


def test_half_a_character_where_a_number_belongs_is_said_in_words() -> None:
    row = r'{"space_id":"!a","next_chat_index":"4\ud800"}'
    told = load_records([("matrix_user:@alice:hs", row)]).unreadable
    assert told == {
        "matrix_user:@alice:hs": "a needed field holds half a character, which is no text"
    }
