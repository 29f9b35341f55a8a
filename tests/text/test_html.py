"""A plan's display: true, whole, static, and harmless."""

from html.parser import HTMLParser

import pytest

from tests.bench import ALICE, small_world
from tests.cli.test_render import with_others
from tests.frames.test_frames import HOSTILE, broken, harmless, look, right
from toolkit.model import Plan
from toolkit.records import chat_key, room_key
from toolkit.text.html import SHOWN, plan_html, plan_text, untypeset
from toolkit.text.summary import summarise


def html(plan: Plan, **votes: str) -> str:
    return plan_html(summarise(plan, votes), plan, votes)


def plain(plan: Plan, **votes: str) -> str:
    return plan_text(summarise(plan, votes), plan, votes)


class Reader(HTMLParser):
    """Tags in order of closing, attributes, and the text between."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "br":  # which has no end
            self.open.append(tag)
        self.names.add(tag)
        self.attributes.update(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(markup: str) -> Reader:
    reader = Reader()
    reader.feed(markup)
    reader.close()
    assert reader.open == []
    return reader


def many() -> Plan:
    world, rows = small_world(), right()
    for number in range(3, 3 + SHOWN + 10):
        world.chat(f"!m{number}", "!alice", f"Чат {number}", owner=ALICE)
    return look(world, rows)[2]


def test_it_shows_counts_causes_and_the_next_thing_to_do() -> None:
    plan = broken()[2]
    for shown in ("".join(read(html(plan)).texts), plain(plan)):
        assert "@bot:hs is in 5 rooms." in shown
        assert "2 × a row is missing" in shown
        assert "Skipped rooms, which are no chats: 2 space." in shown
        assert "Besides: 1 orphaned row, 1 unreadable row." in shown
        assert "Next:" in shown
        assert "session.approve(session.pending())" in shown
        assert "the room was renamed after the row was written" in shown
    assert "Chats:      1 missing, 1 mismatched, 1 conflict" in plain(plan)
    assert "<code>session.approve(session.pending())</code>" in html(plan)


def test_rows_of_other_platforms_are_counted_where_there_are_any() -> None:
    plan = broken()[2]
    told = "Other rows: 4 (of other platforms or kinds of room; left alone)."
    for show in (html, plain):
        assert "Other rows" not in show(plan)
        assert told in show(with_others(plan, 4))


def test_a_decision_stands_beside_the_status() -> None:
    plan = broken()[2]
    votes = {"!a1": "approved"}
    assert ">missing, approved</td>" in html(plan, **votes)
    assert "missing, approved: !a1" in plain(plan, **votes)
    assert "Decided: 1 approved." in plain(plan, **votes)


def test_it_is_static_and_reads_well_where_styles_are_taken_away() -> None:
    reader = read(html(broken()[2]))
    assert reader.names <= {*["p", "div", "span", "strong", "code", "ul", "li", "br"], *_TABLE}
    assert {name for name, _ in reader.attributes} == {"class", "style"}
    styles = {value for name, value in reader.attributes if name == "style"}
    assert all("#" not in (style or "") and "url" not in (style or "") for style in styles)


_TABLE = ("table", "thead", "tbody", "tr", "th", "td")


def test_a_long_plan_is_cut_with_a_word() -> None:
    plan = many()
    assert html(plan).count("<tr>") == 1 + 2 + 1 + SHOWN
    for shown in (html(plan), plain(plan)):
        assert f"… and {len(plan.units) - SHOWN} more: " in shown
    assert "more" not in plain(broken()[2])


def test_no_drift_is_short() -> None:
    plan = look(small_world(), right())[2]
    assert plain(plan).splitlines() == [
        "@bot:hs is in 5 rooms.",
        "Chats:      3 in sync",
        "User rows:  2 in sync",
        "Skipped rooms, which are no chats: 2 space.",
        "Next: Nothing: every chat has its rows, and they are right.",
    ]
    assert html(plan).count("<table>") == 1


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_id_neither_executes_nor_typesets_nor_hides(name: str) -> None:
    """A bot's own rows may name anything as owner, and a homeserver anything as a room."""
    world, rows = small_world(), right()
    room = f"!{name}"
    world.chat(room, "!alice", f"`{name}`", owner=ALICE)
    rows[room_key("!b1")] = (
        f'{{"chat_id":"C1","matrix_user_id":"@`{ascii(name)[1:-1]}","space_id":""}}'
    )
    rows[chat_key(f"@{name}", "C1")] = "{"
    plan = look(world, rows)[2]
    votes = dict.fromkeys((unit.id for unit in plan.units if unit.id != room), "rejected")
    markup, text = html(plan, **votes), plain(plan, **votes)
    assert harmless(markup)
    assert read(markup)
    assert ("<img" in text) == ("&lt;img" in markup) == ("<img" in name)
    for shown in (markup, text):
        assert not set(shown) & set("\x1b\u202e\0\r\t\udcff")
        assert shown.encode()
        assert len(shown) < 20_000


def test_an_odd_id_is_told_from_the_right_one_in_tables_and_in_sentences() -> None:
    """HTML would show several spaces as one, and nobody sees one at an end."""
    world, rows = small_world(), right()
    world.chat("!a1 ", "!alice", "Чат  9", owner=ALICE)
    for key in [key for key in rows if key.startswith("chat:")]:
        rows[key] = "{"
    plan = look(world, rows)[2]
    markup = html(plan).replace("<span>\\</span>", "\\")
    assert "<code>!a1\\u{20}</code>" in markup and "<code>!a1</code>" in markup
    assert "!a1\\u{20}" in plain(plan)
    certain = {unit.id: "rejected" for unit in plan.units if unit.id != "!a1 "}
    assert 'first "!a1 ": ' in plain(plan, **certain)


def test_no_formula_survives() -> None:
    assert untypeset(r"\(x\)") == r"<span>\</span>(x<span>\</span>)"
    assert untypeset("plain <b>text</b>") == "plain <b>text</b>"
