"""What a repair of a row leaves alone: all but the values that it means to change, to the byte."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.records import decode_object, load_records, repair_row

KEEPS = {
    "escaped names": ('{"\\u0441\\/": 1, "space_id": %s}', "space_id"),
    "an escaped name of its own": ('{"\\u0073pace_id":%s}', "space_id"),
    "unknown fields that stand there twice": ('{"x":1,"space_id":%s,"x": 2}', "space_id"),
    "white space": ('\n{ "a" :\t1.0e+5 ,\r\n  "space_id"\n:  %s  }\n ', "space_id"),
    "numbers": ('{"a":1.0,"b":1e5,"c":-0,"d":1e400,"e":NaN,"space_id":%s}', "space_id"),
    "a long number": ('{"a":1' + "0" * 5000 + ',"space_id":%s}', "space_id"),
    "other values": ('{"a":"\\u0416Ж\\ud83d","b":[{"space_id": "]"} ],"space_id":%s}', "space_id"),
    "depth": ('{"a":' + '[{"b":' * 5000 + "0" + "}]" * 5000 + ', "space_id":%s}', "space_id"),
    "text that looks like fields": ('{"a":"\\"space_id\\": {", "space_id":%s}', "space_id"),
    "names without text": ('{"":"", "space_id":%s ,"":[]}', "space_id"),
    "a value of another type": ('{"space_id" : %s,"a":{}}', "space_id"),
}


@pytest.mark.parametrize("text", [text for text, _ in KEEPS.values()], ids=list(KEEPS))
@pytest.mark.parametrize("before", ['"!old"', "17.0", '{"a": ["}"]}', "[]", "null", '"\\"[\\\\"'])
def test_a_repair_keeps_all_else_to_the_byte(text: str, before: str) -> None:
    raw, after = text % before, text % '"!new"'
    assert repair_row(raw, {"space_id": "!new"}) == after
    assert repair_row(raw.encode(), {"space_id": "!new"}) == after.encode()
    assert repair_row(b"\xef\xbb\xbf" + raw.encode(), {"space_id": "!new"}) == (
        b"\xef\xbb\xbf" + after.encode()
    )


def test_a_field_that_stands_there_twice_says_the_same_to_every_reader() -> None:
    raw = '{"a": 1, "space_id": "!x", "b": 2, "space\\u005fid": [1] }'
    assert repair_row(raw, {"space_id": "!new"}) == (
        '{"a": 1, "space_id": "!new", "b": 2, "space\\u005fid": "!new" }'
    )


@pytest.mark.parametrize(
    ("raw", "after"),
    [
        ("{}", '{"a":1,"b":"Ж"}'),
        (" {\n} ", ' {"a":1,"b":"Ж"\n} '),
        ('{"x":[1, 2]}', '{"x":[1, 2],"a":1,"b":"Ж"}'),
        ('{"x": 0}', '{"x": 0, "a": 1, "b": "Ж"}'),
        ('{ "x" : 0 }', '{ "x" : 0, "a" : 1, "b" : "Ж" }'),
        ('{"x": 0, "a": {}}', '{"x": 0, "a": 1, "b": "Ж"}'),
        ('{"x":0, "y":1}', '{"x":0, "y":1, "a":1, "b":"Ж"}'),
        ('{\n  "x": 0\n}', '{\n  "x": 0,\n  "a": 1,\n  "b": "Ж"\n}'),
        ('{\n\t"x": 0,\n\t"y": {}\n}', '{\n\t"x": 0,\n\t"y": {},\n\t"a": 1,\n\t"b": "Ж"\n}'),
    ],
)
def test_a_field_that_is_absent_is_added_at_the_end_in_the_rows_own_style(
    raw: str, after: str
) -> None:
    assert repair_row(raw, {"a": 1, "b": "Ж"}) == after


_NAMES = st.sampled_from(["space_id", "next_chat_index", "", "Ж", '"', "\\", "{", "\ud83d"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(_NAMES | st.text(), _VALUES),
    st.dictionaries(_NAMES, _VALUES.filter(lambda value: value == value), min_size=1),
    st.sampled_from([None, 0, 2, "\t"]),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:  ")]),
)
def test_a_repaired_row_is_what_it_was_with_the_fields_set(
    row: dict[str, Any], fields: dict[str, Any], indent: Any, plain: bool, marks: tuple[str, str]
) -> None:
    raw = json.dumps(row, indent=indent, ensure_ascii=plain, separators=marks)
    after = repair_row(raw, fields)
    assert isinstance(after, str)
    assert repr(json.loads(after)) == repr(json.loads(raw) | json.loads(json.dumps(fields)))


def test_rows_that_are_read_as_one_stay_readable_when_they_are_repaired() -> None:
    raw = '{"space_id":"!s","next_chat_index":1,"x":' + "[" * 900 + "]" * 900 + "}"
    assert load_records([("matrix_user:@a:hs", raw)]).users

    def deeper(times: int) -> object:
        return deeper(times - 1) if times else repair_row(raw, {"next_chat_index": 2})

    assert deeper(400) == raw.replace('index":1', 'index":2')


def test_a_repair_of_bytes_is_read_as_the_same_fields() -> None:
    raw = '\ufeff{"имя":"Ж","space_id":"!s"}'.encode()
    after = repair_row(raw, {"space_id": "!t"})
    assert decode_object(after) == {"имя": "Ж", "space_id": "!t"}
