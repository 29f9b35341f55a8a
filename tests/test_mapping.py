"""What a mapping says, and what is refused in a sentence that names the key."""

import copy
import re
from typing import Any

import pytest

from tests import link_code
from toolkit.errors import ConventionError, ToolkitError
from toolkit.layout import Clue, Field, Layout, Shape, id_pattern, split_path
from toolkit.model import RemoteState, RoomState
from toolkit.planning.links.plan import plan_links
from toolkit.planning.links.rows import load_links

LINKS: dict[str, Any] = {
    "shape": {"kind": "links", "rooms": ["@_irc_.+:hs\\.example", "@old:hs"], "type": "space"},
    "rows": {
        "link": {
            "table": "portal",
            "id": ["gcid", "gc_receiver"],
            "room": "mxid",
            "owner": "owner",
            "show": ["name", "owner"],
            "where": {"bridge_id": "", "live": True},
            "insert": {"kind": "portal"},
        }
    },
    "evidence": [
        {"name": "{gcid} for {gc_receiver}"},
        {"event": "m.bridge", "state_key": "*", "id": ["channel.id", 'channel."fi.mau.receiver"']},
        {"alias": "#chat_{gcid}_{gc_receiver}:.+"},
    ],
}
CHATS: dict[str, Any] = {
    "rows": {
        "user": {
            "table": "users",
            "user_id": "mxid",
            "space_id": "space",
            "next_chat_index": "next",
        },
        "room": {
            "table": "rooms",
            "room_id": "id",
            "room_type": {"fixed": "chat"},
            "chat_id": {"column": "n", "prefix": "C"},
            "display_name": "name",
            "matrix_user_id": "mxid",
            "space_id": "space",
        },
        "chat": {
            "table": "chats",
            "user_id": "mxid",
            "chat_id": {"column": "n", "prefix": "C"},
            "platform": {"fixed": "matrix"},
            "surface_ref": "room",
        },
    }
}


def test_a_mapping_of_links_is_read_as_the_file_has_it() -> None:
    layout = Layout.of(**LINKS)
    assert layout.links and layout.mapped and layout.shape.type == "space"
    link = layout.link
    assert (link.ids, link.room) == (("gcid", "gc_receiver"), "mxid")
    assert link.columns == ("gcid", "gc_receiver", "mxid", "owner", "name")
    assert (link.where, link.constants) == ({"bridge_id": "", "live": True}, {"kind": "portal"})
    assert [clue.kind for clue in layout.clues] == ["name", "event", "alias"]
    assert layout.clues[1].paths == (("channel", "id"), ("channel", "fi.mau.receiver"))
    assert layout.kept_events == {"m.bridge", "m.room.canonical_alias"}
    assert layout.makers and layout.makers.fullmatch("@_irc_anna:hs.example")
    assert not layout.makers.fullmatch("@old:hs.evil")
    assert Layout.of(**LINKS) == layout


def test_a_mapping_of_chats_is_read_as_the_file_has_it() -> None:
    layout = Layout.of(**CHATS)
    assert layout.mapped and not layout.links
    assert layout.families["room"].fields["chat_id"] == Field(column="n", prefix="C")
    assert "name" not in layout.families["chat"].fields
    assert layout.kept_events == set()


def test_without_a_mapping_the_bot_is_of_shape_chats_in_its_key_value_table() -> None:
    assert Layout.of() == Layout() and not Layout().mapped and Layout().makers is None
    assert Layout().shape == Shape("chats", "bot", "room")


def changed(told: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """The mapping with another value (None: without it) under a key with dots."""
    found = copy.deepcopy(told)
    *above, last = key.split(".")
    place: Any = found
    for name in above:
        place = place[int(name) if name.isdigit() else name]
    if value is None:
        del place[last]
    else:
        place[int(last) if last.isdigit() else last] = value
    return found


@pytest.mark.parametrize(
    ("told", "key", "value", "said"),
    [
        (LINKS, "shape.kind", "rooms", "shape.kind: it must be one of 'chats' and 'links'."),
        (
            LINKS,
            "shape.rooms",
            "all",
            "shape.rooms: it must be one of 'bot' and 'bot-event', or a list",
        ),
        (LINKS, "shape.type", "dm", "shape.type: it must be one of 'room' and 'space'."),
        (LINKS, "shape.rooms", ["("], "shape.rooms: '(' is no pattern"),
        (LINKS, "shape.rooms", [], "shape.rooms is empty"),
        (LINKS, "shape.mood", "x", "shape: there is no key `mood`."),
        (LINKS, "rows.link.table", None, "rows.link: `table` is missing."),
        (LINKS, "rows.link.room", 3, "rows.link.room: expected `str`, got `int`."),
        (
            LINKS,
            "rows.link.room",
            "gcid",
            "rows.link.room is the column 'gcid', which rows.link.id names",
        ),
        (LINKS, "rows.link.id", [], "rows.link.id must name each column of the id once."),
        (
            LINKS,
            "rows.link.id",
            ["gcid", "gcid"],
            "rows.link.id must name each column of the id once.",
        ),
        (LINKS, "rows.link.where", {"mxid": ""}, "the column 'mxid' is part of the link"),
        (LINKS, "rows.link.insert", {"gcid": ""}, "the column 'gcid' is part of the link"),
        (LINKS, "rows.link", None, "rows.link is missing"),
        (LINKS, "rows.user", CHATS["rows"]["user"], "rows.user belongs to shape.kind 'chats'"),
        (
            LINKS,
            "evidence.0.name",
            "Chat {gcid}",
            "evidence[0].name: it has no {gc_receiver} in it.",
        ),
        (
            LINKS,
            "evidence.0.name",
            "{gcid} {other}",
            "evidence[0].name: {other} is no column of the id.",
        ),
        (LINKS, "evidence.2.alias", "{gcid}{gc_receiver}(", "evidence[2].alias: it is no pattern"),
        (
            LINKS,
            "evidence.0.name",
            "{gcid} {gcid} {gc_receiver}",
            "evidence[0].name: it is no pattern",
        ),
        (
            LINKS,
            "evidence.0",
            {},
            "evidence[0] must have exactly one of name, alias, event, sole_member.",
        ),
        (LINKS, "evidence.0.alias", "x", "evidence[0] must have exactly one of"),
        (
            LINKS,
            "evidence.0.id",
            "a.b",
            "evidence[0] has no event, so id and state_key say nothing.",
        ),
        (
            LINKS,
            "evidence.1.id",
            "channel.id",
            "evidence[1].id must be 2 paths, in the order of rows.link.id",
        ),
        (LINKS, "evidence.1.id", ["channel.id", "a..b"], "evidence[1].id must be 2 paths"),
        (
            LINKS,
            "evidence.0",
            {"sole_member": True},
            "evidence[0].sole_member needs an id of one column.",
        ),
        (LINKS, "evidence", "claim", "evidence must name a function as 'package.module:function'"),
        (
            CHATS,
            "rows.chat",
            None,
            "rows.chat is missing: where rows stand in tables, all three do.",
        ),
        (CHATS, "rows.room.table", "Users", "rows: user, room and chat need a table each."),
        (CHATS, "rows.room.room_id", {"fixed": "!a"}, "rows.room.room_id is part of the key"),
        (CHATS, "rows.room.space_id", "ID", "rows.room: each field needs a column of its own."),
        (
            CHATS,
            "rows.room.space_id",
            {},
            "rows.room.space_id must have exactly one of column and fixed.",
        ),
        (
            CHATS,
            "rows.room.room_type",
            {"fixed": "x", "prefix": "C"},
            "rows.room.room_type has a prefix",
        ),
        (CHATS, "rows.room.space_id", None, "rows.room: `space_id` is missing."),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence_that_names_the_key(
    told: dict[str, Any], key: str, value: Any, said: str
) -> None:
    with pytest.raises(ConventionError) as caught:
        Layout.of(**changed(told, key, value))
    assert said in str(caught.value)
    assert str(caught.value).endswith(".") and ".." not in str(caught.value).replace("a..b", "")
    assert isinstance(caught.value, ToolkitError) and caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"evidence": [{"name": "x"}]}, "evidence belongs to shape.kind 'links'"),
        (
            {"shape": {"rooms": ["@a:hs"]}},
            "shape.rooms and shape.type belong to shape.kind 'links'",
        ),
        ({"rows": LINKS["rows"]}, "rows.link belongs to shape.kind 'links'"),
        (
            {
                "shape": {"kind": "links", "rooms": "bot-event"},
                "rows": LINKS["rows"],
                "evidence": [{"name": "{gcid}{gc_receiver}"}],
            },
            "shape.rooms is 'bot-event', and no evidence has an event",
        ),
        ({"evidence": {"name": "x"}}, "evidence: expected `str | array`, got `object`."),
        ({"shape": 3}, "shape: expected `object`, got `int`."),
    ],
)
def test_what_does_not_go_together_is_refused(told: dict[str, Any], said: str) -> None:
    with pytest.raises(ConventionError, match=re.escape(said)):
        Layout.of(**told)


def test_a_mapping_made_of_values_is_refused_in_the_same_words() -> None:
    with pytest.raises(ConventionError, match=r"rows\.link is missing"):
        Layout(Shape("links"))


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("id", ("id",)),
        ("a.b.c", ("a", "b", "c")),
        ('"a.b"', ("a.b",)),
        ('a."b.c".d', ("a", "b.c", "d")),
        ("", ()),
        (".", ()),
        ("a.", ()),
        ("a..b", ()),
        ('a."b', ()),
        ('"a"b', ()),
    ],
)
def test_a_path_is_keys_between_dots(path: str, keys: tuple[str, ...]) -> None:
    assert split_path(path) == keys


@pytest.mark.parametrize(
    ("pattern", "integers", "text", "found"),
    [
        (r"Ticket #{id} \(.+\)", {"n"}, "Ticket #7 (Anna)", "7"),
        (r"Ticket #{n} \(.+\)", {"n"}, "Ticket #7 (Anna) (x)", "7"),
        ("#{id}", {"n"}, "#007", None),
        ("#{id}", {"n"}, "#-7", "-7"),
        ("#{id}", {"n"}, "#٧", None),
        ("#{id}", set(), "#007", "007"),
        ("#{id}", set(), "#", None),
        (r"\{id\} {id}", set(), "{id} x", "x"),
        ("a{2}{id}", set(), "aab", "b"),
        ("a{1,2}{id}", {"n"}, "aa7", "7"),
        ("{id}", set(), "two\nlines", None),
    ],
)
def test_a_pattern_tells_an_id_for_the_whole_text(
    pattern: str, integers: set[str], text: str, found: str | None
) -> None:
    match = id_pattern(pattern, ("n",), frozenset(integers)).fullmatch(text)
    assert (match and match["part0"]) == found


def test_a_clue_is_of_one_kind() -> None:
    assert Clue(sole_member=True).kind == "sole_member" and not Clue().is_one


def of_code(function: str) -> Layout:
    return Layout.of(LINKS["shape"], LINKS["rows"], function)


def test_code_of_the_bots_own_is_loaded_when_it_is_needed_and_sees_every_event() -> None:
    layout = of_code("tests.link_code:claim")
    assert layout.load_code() is link_code.claim and layout.clues == ()
    assert layout.kept_events and "anything" in layout.kept_events
    odd: Any = 7
    assert odd not in layout.kept_events
    assert Layout.of(**LINKS).load_code() is None


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("tests.link_code:nothing", "evidence: there is no function 'tests.link_code:nothing'."),
        ("tests.link_code:absent", "evidence: there is no function 'tests.link_code:absent'."),
        ("tests.no_such:claim", "there is no function 'tests.no_such:claim' (No module named"),
    ],
)
def test_code_that_is_not_there_is_said(function: str, said: str) -> None:
    with pytest.raises(ConventionError) as caught:
        of_code(function).load_code()
    assert said in str(caught.value)


def test_what_code_of_the_bots_own_raises_ends_the_look_and_is_told_by_its_name_alone() -> None:
    layout = of_code("tests.link_code:claim_badly")
    rooms = {"!r": RoomState(room_id="!r", creator="@old:hs", room_type="m.space")}
    remote = RemoteState("@bot:hs", rooms)
    with pytest.raises(ConventionError) as caught:
        plan_links(remote, load_links({}, layout), layout)
    assert str(caught.value) == (
        "The evidence of the bot's own code raised KeyError for the room !r."
    )
    assert caught.value.__cause__ is None and caught.value.__context__ is None
