"""Proposals from cells and rooms: which columns are a link, what tells the ids, whose rooms count."""

from __future__ import annotations

from typing import Any

from toolkit.convention import Convention
from toolkit.database.sample import Column, Sample
from toolkit.fitting.proposal import Proposal, constants, needs, propose
from toolkit.fitting.reach import Everything
from toolkit.fitting.trial import try_links
from toolkit.homeserver.room_state import decode_room
from toolkit.layout import TableFacts
from toolkit.model import RemoteState
from toolkit.records import encode_row, link_key
from toolkit.testing import World

BOT, EVA = "@bot:hs", "@eva:hs"


def sample(*rows: tuple[Any, ...], unique: str = "id", columns: str = "id room") -> Sample:
    """A table `t` of texts; `unique` are sets of columns, such as `id a,b`."""
    keys = tuple(frozenset(names.split(",")) for names in unique.split())
    return Sample("t", tuple(map(Column, columns.split())), keys, rows)


def remote(world: World) -> RemoteState:
    kept = Everything().kept_events
    rooms = {room: decode_room(room, world.state(room), kept=kept) for room in world.rooms}
    return RemoteState(BOT, rooms)


def best(table: Sample, world: World | None = None, **more: Any) -> Proposal:
    return propose([table], None if world is None else remote(world), **more)[0]


def rooms(count: int, **more: Any) -> World:
    world = World(BOT)
    for number in range(count):
        world.room(f"!r{number}", **more)
    return world


def rows(count: int, *more: Any) -> list[tuple[Any, ...]]:
    return [(f"id{number}", f"!r{number}", *more) for number in range(count)]


# Columns


def test_without_rooms_a_column_of_room_ids_is_told_by_their_look() -> None:
    table = sample(
        ("a", "!help", "!x:hs"), ("b", "help me", "!y:hs"), ("c", "!", None), columns="id text at"
    )
    found = propose([table], None)
    assert {one.candidate.room for one in found} == {"at"}
    assert found[0].rows == {"table": "t", "id": "id", "room": "at", "insert": False}


def test_a_column_with_a_joined_room_is_one_whatever_else_stands_there() -> None:
    table = sample(("a", "lobby"), ("b", "attic"), ("c", "!r0"))
    assert best(table, rooms(1)).candidate.room == "room"
    assert propose([table], None) == []


def test_a_part_of_the_key_that_never_differs_is_a_condition() -> None:
    table = sample(("a", "", "!r0"), ("b", "", "!r1"), unique="id,bridge", columns="id bridge room")
    found = best(table, rooms(2))
    assert (found.rows["id"], found.rows["where"]) == ("id", {"bridge": ""})
    assert found.candidate.is_key


def test_a_key_that_never_differs_at_all_stays_the_id() -> None:
    table = sample(("", "!r0"), ("", "!r1"), unique="id")
    assert propose([table], remote(rooms(2)))[0].candidate.ids == ("id",)


def test_what_no_file_can_say_is_no_condition() -> None:
    for odd in ("\udcff", b"x", None):
        table = sample(("a", odd, "!r0"), ("b", odd, "!r1"), unique="id,odd", columns="id odd room")
        assert {name for one in propose([table], None) for name in one.candidate.where} == set()


def test_a_table_whose_key_is_the_room_has_an_id_in_another_column() -> None:
    table = sample(
        ("!r0", 7, '{"a": 1}', "x" * 300),
        ("!r1", 8, "[2]", "y" * 300),
        unique="room",
        columns="room number json text",
    )
    found = propose([table], remote(rooms(2)))
    assert [one.candidate.ids for one in found] == [("number",)]
    assert not found[0].candidate.is_key and found[0].candidate.shown == ()


def test_a_key_of_its_own_is_shown_where_nothing_else_keeps_rows_apart() -> None:
    table = sample(
        *[(f"pk{n}", f"id{n}", f"!r{n}") for n in range(2)], unique="pk", columns="pk id room"
    )
    world = rooms(2)
    for number in range(2):
        world.event(f"!r{number}", "x.case", {"id": f"id{number}"})
    found = best(table, world)
    assert (found.rows["id"], found.rows["show"]) == ("id", ["pk"])


def test_rows_that_share_a_room_or_an_id_are_no_links() -> None:
    table = sample(("a", "!r0"), ("a", "!r1"), ("b", "!r2"), ("c", "!r2"), ("", "!r3"))
    [first, *_] = propose([table], remote(rooms(4)))
    assert first.candidate.links == [] and first.witnesses == 0
    assert first.candidate.repeated == 5


def test_a_flag_restricts_rows_to_what_those_of_joined_rooms_say() -> None:
    live = [("a", "!r0", 0), ("b", "!r1", 0), ("b", "!old", 1)]
    table = Sample(
        "t",
        (Column("id"), Column("room"), Column("deleted", boolean=True)),
        (frozenset({"id", "room"}),),
        tuple(live),
    )
    found = best(table, rooms(2))
    assert (found.rows["where"], found.witnesses) == ({"deleted": False}, 2)
    one = best(Sample("t", table.columns, table.unique, tuple(live[1:])), rooms(2))
    assert one.rows["where"] == {"deleted": False}


def test_an_id_may_be_there_again_in_rows_that_were_given_up() -> None:
    rows = tuple(
        (row, f"id{row // 2}", f"!r{row // 2}" if row % 2 else f"!old{row}", 1 - row % 2)
        for row in range(6)
    )
    columns = (Column("pk"), Column("id"), Column("room"), Column("deleted", integer=True))
    world = rooms(3)
    for number in range(3):
        world.name(f"!r{number}", f"Team id{number}")
    found = best(Sample("t", columns, (frozenset({"pk"}),), rows), world)
    assert (found.rows["id"], found.rows["where"]) == ("id", {"deleted": 0})
    assert found.rows["show"] == ["pk"]


def test_a_flag_that_says_nothing_of_rooms_is_taken_by_its_name() -> None:
    columns = (Column("id"), Column("room"), Column("active", integer=True))
    table = Sample("t", columns, (frozenset({"id"}),), (("a", "!x:hs", 1), ("b", "!y:hs", 0)))
    assert best(table).rows["where"] == {"active": 1}
    odd = Sample("t", columns, table.unique, (("a", "!x:hs", 7),))
    assert "where" not in best(odd).rows
    key = Sample("t", columns, (frozenset({"active"}),), ((0, "!x:hs", 1), (1, "!y:hs", 0)))
    assert all("active" not in one.candidate.where for one in propose([key], None)[:1])


def test_a_table_of_messages_is_not_taken_for_the_table_that_lost_a_row() -> None:
    world = rooms(3)
    for number in range(3):
        world.event(f"!r{number}", "x.case", {"id": f"id{number}"})
    links = sample(*rows(2))
    messages = Sample(
        "messages",
        tuple(map(Column, ("event", "chat", "room"))),
        (frozenset({"event"}),),
        tuple((f"$e{n}", f"id{n}", f"!r{n}") for n in range(3)),
    )
    found = propose([messages, links], remote(world))
    assert [(one.candidate.sample.name, one.candidate.ids) for one in found[:2]] == [
        ("t", ("id",)),
        ("messages", ("chat",)),
    ]


# What tells ids


def test_an_event_is_told_by_the_path_that_is_called_like_the_column() -> None:
    table = sample(
        *[(str(n), f"!r{n}") for n in range(2)], unique="ticket_id", columns="ticket_id room"
    )
    world = rooms(2)
    for number in range(2):
        content = {"a": number, "d.e": {"ticket_id": str(number)}, "": number, "n": [number]}
        world.event(f"!r{number}", "x.case", content)
    [tell] = best(table, world).tells
    assert (tell.clue, tell.right) == ({"event": "x.case", "id": '"d.e".ticket_id'}, 2)


def test_of_several_events_the_one_that_tells_most_is_taken_and_nobody_elses() -> None:
    world = rooms(3)
    for number in range(3):
        world.event(f"!r{number}", "x.forged", {"id": f"id{number}"}, sender=EVA)
        world.event(f"!r{number}", "x.wrong", {"id": f"id{number - 1}"})
        world.event(f"!r{number}", "x.true", {"id": f"id{number}"}, state_key="k")
    world.event("!r0", "x.once", {"id": "id0"})
    [tell] = best(sample(*rows(3)), world).tells
    assert tell.clue == {"event": "x.true", "state_key": "*", "id": "id"}


def test_of_a_composite_id_an_event_may_leave_a_part_to_the_rows() -> None:
    table = sample(("a", "x", "!r0"), ("b", "y", "!r1"), unique="id,part", columns="id part room")
    world = rooms(2)
    for number in range(2):
        world.event(f"!r{number}", "x.half", {"id": "ab"[number]})
    found = best(table, world)
    assert (found.candidate.ids, found.untold) == (("id", "part"), ("part",))
    assert found.tells[0].clue == {"event": "x.half", "id": ["id", "part"]}
    for number in range(2):
        world.event(f"!r{number}", "x.whole", {"id": "ab"[number], "part": "xy"[number]})
    found = best(table, world)
    assert (found.tells[0].clue["event"], found.untold) == ("x.whole", ())


def test_an_alias_that_the_bot_sent_tells_the_id() -> None:
    world = rooms(3)
    for number, alias in enumerate(("#t_id0:hs", "#t_id1:hs", 7)):
        world.event(f"!r{number}", "m.room.canonical_alias", {"alias": alias})
    world.event("!r2", "m.room.canonical_alias", {"alias": "#t_id9:hs"}, sender=EVA)
    [tell] = best(sample(*rows(3)), world).tells
    assert (tell.clue, tell.right, tell.wrong) == ({"alias": "#t_{id}:hs"}, 2, 0)
    world.event("!r2", "m.room.canonical_alias", {"alias": 7})
    assert len(best(sample(*rows(3)), world).tells) == 1


def test_what_tells_one_room_of_many_is_chance() -> None:
    world = rooms(6)
    world.name("!r0", "Ticket id0 of today")
    assert best(sample(*rows(6)), world).tells == ()


def test_the_only_other_member_is_asked_last_and_a_helper_is_nobody() -> None:
    table = sample(*[(f"@u{n}:hs", f"!r{n}") for n in range(2)])
    world = World(BOT)
    for number in range(2):
        world.room(f"!r{number}", members=[f"@u{number}:hs", "@admin:hs"], name="x")
    world.member("!r1", "@gone:hs", "leave")
    assert best(table, world).tells == ()
    [tell] = best(table, world, helpers=["@admin:hs"]).tells
    assert (tell.clue, tell.certain) == ({"sole_member": True}, False)


# Whose rooms count


def test_ghosts_are_told_by_what_their_names_have_in_common() -> None:
    for makers, pattern in (
        (("@_irc_a:hs.example", "@_irc_b:hs.example"), [r"@_irc_.+:hs\.example"]),
        (("@gc_1:hs", "@gc_2:other"), "bot"),
        (("@anna:hs", "@andrea:hs"), "bot"),
        (("@gc_1:hs", "@gc_1:hs"), "bot"),
    ):
        world = World(BOT)
        for number, maker in enumerate(makers):
            world.room(f"!r{number}", creator=maker, name=f"Chat of id{number}!")
        found = best(sample(*rows(2)), world)
        assert found.shape["rooms"] == pattern, makers
        assert bool(found.tells) == (pattern != "bot")
        assert bool(found.makers.others) == (pattern == "bot")


def test_the_bots_event_in_rooms_of_users_is_kept_where_another_tells_more() -> None:
    world = World(BOT)
    for number in range(4):
        world.room(f"!r{number}", creator=EVA if number < 1 else BOT)
        world.event(f"!r{number}", "x.all" if number else "x.mark", {"id": f"id{number}"})
    found = best(sample(*rows(4)), world)
    assert found.shape["rooms"] == "bot-event"
    assert [tell.clue["event"] for tell in found.tells] == ["x.mark", "x.all"]


# Owners, constants, trial


def test_an_owner_is_who_is_in_the_rooms() -> None:
    world = rooms(2, members=[EVA])
    table = sample(*rows(2, EVA, "@x:hs"), columns="id room owner other")
    found = best(table, world)
    assert found.rows["owner"] == "owner" and found.members
    strange = best(sample(*rows(2, "@x:hs"), columns="id room owner"), world)
    assert (strange.owner, strange.members) == ("owner", False) and "owner" not in strange.rows
    assert best(sample(("a", "!x:hs", EVA), columns="id room owner")).owner == "owner"


def test_a_user_who_was_alone_so_far_is_no_constant() -> None:
    columns = (Column("user"), Column("id"), Column("room"), Column("owner", needed=True))
    cells = tuple((EVA, f"id{n}", f"!r{n}", EVA) for n in range(2))
    found = best(Sample("t", columns, (frozenset({"user", "id"}),), cells), rooms(2))
    assert "where" not in found.rows and constants(found) == {}
    assert found.rows["id"] == ["user", "id"]


def test_what_an_insert_needs_is_given_if_it_is_always_the_same_and_no_secret() -> None:
    columns = (
        Column("n", integer=True),
        Column("id", needed=True),
        Column("room", needed=True),
        Column("kind", needed=True),
    )
    cells = [(n, f"id{n}", f"!r{n}", "portal") for n in range(2)]
    table = Sample("t", columns, (frozenset({"id"}),), tuple(cells))
    found = best(table, rooms(2))
    assert (needs(found), constants(found)) == (["kind"], {"kind": "portal"})
    varied = Sample("t", columns, table.unique, (cells[0], (1, "id1", "!r1", "dm")))
    assert constants(best(varied, rooms(2))) == {}
    secret = (*columns[:3], Column("access_token", needed=True))
    assert constants(best(Sample("t", secret, table.unique, tuple(cells)), rooms(2))) == {}


def test_a_trial_counts_what_the_planner_says() -> None:
    world = rooms(2)
    layout = best(sample(*rows(2)), world).layout()
    cells: dict[str, dict[str, Any]] = {
        "id0": {"id": "id0", "room": "!r0"},
        "id1": {"id": "id1", "room": None},
        "id2": {"id": "id2", "room": "!gone"},
        "id3": {"id": "id3", "room": 7},
    }
    raw: dict[str, Any] = {link_key("t", [id]): encode_row(row) for id, row in cells.items()}
    twice = [encode_row({"id": "id4", "room": f"!t{n}"}) for n in range(2)]
    raw[link_key("t", ["id4"])] = f"[{','.join(twice)}]"
    raw["link:t:"] = encode_row({"id": None, "room": None})
    trial = try_links(raw, TableFacts(), layout, remote(world), Convention())
    assert trial.sentences() == [
        "Rows: 7; 4 name a room, 1 can't be read, 1 have no id, 2 share their id with another.",
        "Rooms: 2 joined, 1 in sync.",
        "Skipped rooms: 1 no_evidence.",
        "Rows whose room isn't joined: 1.",
    ]
    assert len(try_links(raw, TableFacts(), layout, None, Convention()).sentences()) == 1
    whole = {key: raw[key] for key in ("link:t:id0",)}
    told = try_links(whole, TableFacts(), layout, remote(rooms(1)), Convention()).sentences()
    assert told == ["Rows: 1; 1 name a room.", "Rooms: 1 joined, 1 in sync."]


def test_a_look_before_any_mapping_keeps_all_but_what_rooms_have_thousands_of() -> None:
    everything = Everything()
    assert everything.may_have_made(EVA)
    world = rooms(1, members=[EVA])
    world.event("!r0", "x.case", {})
    assert {event.type for event in remote(world).rooms["!r0"].kept} == {"x.case"}
