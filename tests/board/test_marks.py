"""A change on one line, as a diff."""

import json

from toolkit.board.marks import Mark, mark_writes, say_marks
from toolkit.model import RowWrite
from toolkit.records import Raw, chat_key, room_key

ROOM, CHAT = room_key("!a"), chat_key("@a:hs", "C1")


def _row(**fields: object) -> Raw:
    return json.dumps(fields, ensure_ascii=False)


def test_rows_come_go_and_are_overwritten_by_their_signs() -> None:
    writes = [RowWrite(ROOM, None, "{}"), RowWrite(CHAT, "{}", None), RowWrite(ROOM, "{oops", "{}")]
    assert say_marks(mark_writes(writes)) == "+ room row, − chat row, ≠ room row"


def test_a_field_has_both_values_and_its_row_where_several_change() -> None:
    renamed = RowWrite(ROOM, _row(display_name="Чат 2"), _row(display_name="Отпуск"))
    assert mark_writes([renamed]) == (Mark("", "display_name", '"Чат 2"', '"Отпуск"'),)
    added = RowWrite(CHAT, _row(x=1), _row(x=1, y=2))
    assert say_marks(mark_writes([renamed, added])) == (
        'room row: display_name "Чат 2" → "Отпуск", chat row: y absent → 2'
    )
    assert say_marks(mark_writes([RowWrite(CHAT, _row(x=1), _row())])) == "x 1 → absent"


def test_of_many_fields_a_few_are_told_and_what_cannot_be_read_has_no_name() -> None:
    many = RowWrite(ROOM, _row(keep=0), _row(a=1, b=2, c=3, d=4, keep=0))
    told = mark_writes([many])
    assert [mark.what for mark in told] == ["a", "b", "c", "1 more of the room row"]
    [odd] = mark_writes([RowWrite(ROOM, _row(a=1), "{oops")])
    assert (odd.what, odd.after) == ("room row", "{oops")


def test_values_are_visible_and_short() -> None:
    [mark] = mark_writes([RowWrite(ROOM, _row(a="x"), _row(a="\u202e" + "y" * 400))])
    assert "\\u{202e}" in mark.after and len(mark.after) <= 60
