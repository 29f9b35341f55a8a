"""Nobody's data is left in an anonymised snapshot, and the same plan comes out of it."""

import base64
import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import toolkit.cli
from tests.attacks import Attacked, attacks
from tests.scenario import Scenario, build_world, load_scenarios
from tests.sources.renamed import GIVEN, NOW, assert_same_plan, choices_in, laws, plan_of, taken
from tests.worlds import BOT, CHAT_ID_EVENT, JUNK, JUNK_KEYS, Sides, worlds
from toolkit.cli import look as cli_look
from toolkit.convention import Convention, chat_number
from toolkit.demo.recorded import Recorded
from toolkit.records import FAMILIES, Raw
from toolkit.sources import anonymise as module
from toolkit.sources.anonymise import anonymise, listen, translate
from toolkit.sources.pseudonyms import STATE_TYPES, Pseudonyms
from toolkit.sources.settings import CONVENTION as SETTINGS
from toolkit.sources.snapshot import Snapshot, load_snapshot, save_snapshot
from toolkit.testing import World


@laws
@given(worlds(), st.booleans())
def test_the_same_plan_comes_out_of_every_world(sides: Sides, lower: bool) -> None:
    assert_same_plan(taken(sides), lower=lower)


def recorded_as(scenario: Scenario) -> Snapshot:
    remote = scenario.data.get("remote", {})
    world, unreadable = build_world(remote), remote.get("unreadable", {})
    rooms = {r: json.dumps(events).encode() for r, events in world.rooms.items()}
    rooms = {r: body for r, body in rooms.items() if r not in unreadable}
    given = scenario.data.get("convention", {})
    return Snapshot("@bot:hs", rooms, unreadable, scenario.rows(), "", given)


@laws
@given(attacks())
def test_the_same_plan_comes_out_of_an_attack(attacked: Attacked) -> None:
    assert_same_plan(taken(attacked.after))


@pytest.mark.parametrize("scenario", load_scenarios(), ids=lambda scenario: scenario.rule)
def test_the_same_plan_comes_out_of_every_scenario(scenario: Scenario) -> None:
    snapshot, lower = recorded_as(scenario), bool(scenario.data.get("lower_counters"))
    assert_same_plan(snapshot, lower=lower)
    names = listen(snapshot)
    try:
        choices_in(names, *scenario.choices.values())
    except (KeyError, TypeError):
        return  # chosen is somebody who is in neither side, or nothing at all
    assert_same_plan(snapshot, scenario.choices, lower=lower)


def test_the_same_plan_comes_out_of_a_bot_that_moved_to_another_account() -> None:
    world = World("@old:hs")
    world.space("!space", owner="@alice:hs")
    world.chat("!chat", "!space", "Чат 4", owner="@alice:hs")
    for room in world.rooms:
        world.member(room, BOT, "join", sender=BOT)
    rooms = {room: world.state(room) for room in world.rooms}
    for users in ([], ["@old:hs"], ["@alice:hs"]):
        assert_same_plan(Snapshot(BOT, rooms, {}, {}, "", {"former_accounts": users}))


def test_the_same_plan_comes_out_of_the_demo() -> None:
    assert_same_plan(Recorded.load().snapshot)


# The same damage


BODIES = (
    b"",
    b"[]",
    b"{}",
    b"null",
    b"no json, zqmaria",
    b'[{"zqmaria"',
    b"[" * 5_000,
    b'\xef\xbb\xbf[{"type":"m.room.create","sender":"@zqmaria:zqhs"}]',
    b'{"errcode":"M_ZQMARIA","error":"zqmaria"}',
    b'["zqmaria",7,null,[],{"type":"m.room.create","state_key":"","sender":"@zqmaria:zqhs"}]',
)
CREATE = {
    "type": "m.room.create",
    "state_key": "",
    "sender": "@zqmaria:zqhs",
    "event_id": "$zqcreate",
    "origin_server_ts": 1_791_234_567_891,
    "content": {"room_version": "12"},
}
WRONG: tuple[Any, ...] = (
    *(None, True, 7, -7, 0.25, 10**30, float("inf"), "", "zqmaria", "zq\ud800maria", "C4", [], {}),
    *(["zqmaria"], ["zqhs", 7], ["zq\ud800"], {"zqmaria": "zqmaria"}, {"room_id": "!zqold:zqhs"}),
    *({"room_id": "!zqold", "event_id": "\udcff"}, "m.space", "ban", "!zqold:zqhs", "@zqeva:zqhs"),
)
LEVELS = ("type", "state_key", "sender", "event_id", "origin_server_ts", "content")
CONTENT = ("type", "room_version", "predecessor", "replacement_room", "name", "via", "membership")
values = st.sampled_from(WRONG)


@st.composite
def odd_events(draw: Any) -> list[Any]:
    """A room's state with pieces of wrong types; mostly with a create event."""
    kinds = st.sampled_from([*sorted(STATE_TYPES), CHAT_ID_EVENT, "com.zqbrand.zqtype"])
    found: list[Any] = [dict(CREATE)] if draw(st.integers(0, 9)) else []
    for _ in range(draw(st.integers(0, 4))):
        content = draw(st.dictionaries(st.sampled_from([*CONTENT, "chat_id", "zqkey"]), values))
        event = {**CREATE, "type": draw(kinds), "content": content, "zqkey": draw(values)}
        event["state_key"] = draw(st.sampled_from(["", "", "@zqeva:zqhs", "!zqroom"]))
        found.append(event)
    for _ in range(draw(st.integers(0, 2))):
        if found:
            event = found[draw(st.integers(0, len(found) - 1))]
            event[draw(st.sampled_from([*LEVELS, "zqkey"]))] = draw(values)
    if draw(st.integers(0, 9)) == 9:
        found.append(draw(values))
    return found


@st.composite
def odd_rows(draw: Any) -> dict[str, Raw]:
    """Rows with fields of wrong types, twice or absent."""
    fields = sorted(module._FIELDS - {"type"})
    rows: dict[str, Raw] = {}
    for _ in range(draw(st.integers(0, 4))):
        key = draw(
            st.sampled_from([*JUNK_KEYS, *(family + "@zqeva:zqhs:C4" for family in FAMILIES)])
        )
        pairs = draw(st.lists(st.tuples(st.sampled_from([*fields, "zqkey"]), values)))
        needed = {"surface_ref": "!zqroom", "space_id": "!s", "next_chat_index": 4, "chat_id": "C4"}
        pairs = [*({**needed, "matrix_user_id": "@zqeva:zqhs"}.items()), *pairs]
        pairs = draw(st.permutations(pairs)) if draw(st.booleans()) else pairs
        text = ", ".join(f"{json.dumps(name)} : {json.dumps(value)}" for name, value in pairs)
        text = "{" + text.replace("Infinity", draw(st.sampled_from(("NaN", "1e400")))) + "}"
        rows[key] = text.encode() if draw(st.booleans()) else text
    return rows


@laws
@given(odd_events(), odd_rows())
def test_what_is_broken_is_broken_in_the_same_way(events: list[Any], rows: dict[str, Raw]) -> None:
    whole = {"!zqroom": json.dumps(events).encode(), "!zqbytes": _cut(events)}
    snapshot = Snapshot("@zqmaria:zqhs", whole, {}, rows, "", dict(GIVEN))
    names = listen(snapshot)
    other = translate(snapshot, names)
    convention = Convention(**other.settings)
    ours, theirs = snapshot.remote(Convention(**GIVEN)), other.remote(convention)
    assert theirs.unreadable == {names.text(room): why for room, why in ours.unreadable.items()}
    for room_id, room in ours.rooms.items():
        assert _facts(theirs.rooms[names.text(room_id)]) == _facts(room, names)
    before, after = snapshot.local(), other.local()
    assert after.unreadable == {names.key(key): why for key, why in before.unreadable.items()}
    assert {k: type(raw) for k, raw in after.rows.items()} == {
        names.key(k): type(raw) for k, raw in before.rows.items()
    }
    assert not found_in(other, "zq")
    assert_same_plan(snapshot)


def _cut(events: list[Any]) -> bytes:
    """The same with bytes that are no UTF-8."""
    return json.dumps(events).encode().replace(b"maria", b"\xffmaria")


def _facts(room: Any, names: Pseudonyms | None = None) -> Any:
    """A decoded room; times by their being there, and odd chat ids by being odd."""
    told = msgspec.to_builtins(msgspec.structs.replace(room, chat_id=None))

    def say(value: Any, field: str = "") -> Any:
        if isinstance(value, dict):
            return {key: say(inner, key) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [say(inner, field) for inner in value]
        if not names or not isinstance(value, str):
            return value
        if field == "name":
            return names.name(value)
        fixed = {"membership": module._MEMBERSHIPS, "room_type": frozenset({"m.space"})}
        return names.keep(value, fixed.get(field, module._VERSIONS))

    odd = room.chat_id if chat_number(room.chat_id) else type(room.chat_id)
    return say(told) | {
        "created": room.created is None,
        "named": room.named is None,
        "chat_id": odd,
    }


@pytest.mark.parametrize("body", BODIES)
def test_a_body_that_is_no_state_stays_none(body: bytes) -> None:
    snapshot = Snapshot("@zqmaria:zqhs", {"!zqroom": body}, {}, {"chat:zq:zq": "{}"})
    other = anonymise(snapshot)
    ours, theirs = snapshot.remote(Convention()), other.remote(Convention())
    assert list(ours.unreadable.values()) == list(theirs.unreadable.values())
    assert len(ours.rooms) == len(theirs.rooms)
    assert not found_in(other, "zq")


@pytest.mark.parametrize("number", range(len(JUNK)))
@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_that_cannot_be_read_still_cannot_for_the_same_reason(
    family: str, number: int
) -> None:
    snapshot = Snapshot(BOT, {}, {}, {f"{family}@zqeva:zqhs:C4": JUNK[number]})
    other = anonymise(snapshot)
    assert list(other.local().unreadable.values()) == list(snapshot.local().unreadable.values())
    assert type(*other.rows.values()) is type(*snapshot.rows.values())
    assert not found_in(other, "zq")


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ("the homeserver answered 403 M_FORBIDDEN", "the homeserver answered 403 M_FORBIDDEN"),
        ("the homeserver answered 403 M_ZQMARIA: zq", "the homeserver answered 403"),
        (
            "the homeserver sent what is no answer (zqmaria)",
            "the homeserver sent what is no answer",
        ),
        ("its state can't be used: @zqmaria", "it could not be read"),
        ("zqmaria", "it could not be read"),
    ],
)
def test_why_a_room_could_not_be_read_is_said_in_our_words(why: str, told: str) -> None:
    assert anonymise(Snapshot(BOT, {}, {"!r": why}, {})).unreadable == {"!r0001": told}


# Nobody's data


def file_of(snapshot: Snapshot) -> str:
    """Everything that stands in the saved file, as it is, unescaped and unpacked; in small letters."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.snapshot"
        save_snapshot(path, snapshot, NOW)
        whole = path.read_bytes()
        loaded = load_snapshot(path)
    assert (loaded.rooms, loaded.rows) == (snapshot.rooms, snapshot.rows)
    packed = re.findall(rb'"(?:packed|blob)":"([^"]*)"', whole)
    parts = [whole, *map(base64.b64decode, packed)]
    for part in packed:
        parts[0] = parts[0].replace(part, b"")
    unescaped = [_open(json.loads(line)) for line in whole.splitlines()]
    unescaped += [_open(part.decode(errors="replace")) for part in parts[1:]]
    return "\n".join([part.decode(errors="replace") for part in parts] + unescaped).lower()


def _open(value: Any) -> str:
    """All texts in a value, also those in JSON in it."""
    if isinstance(value, dict):
        kept = [(key, inner) for key, inner in value.items() if key not in ("packed", "blob")]
        return "\n".join(f"{_open(key)}\n{_open(inner)}" for key, inner in kept)
    if isinstance(value, list):
        return "\n".join(map(_open, value))
    if not isinstance(value, str):
        return repr(value)
    with contextlib.suppress(ValueError, RecursionError):
        inner = json.loads(value)
        return value if isinstance(inner, int | float) else f"{value}\n{_open(inner)}"
    return value


def found_in(snapshot: Snapshot, *strings: str) -> list[str]:
    """Which of the strings stand anywhere in the file; base64 of them also where it isn't unpacked."""
    whole = file_of(snapshot)
    forms = {string: [string.lower(), *_packed(string)] for string in strings}
    return [string for string, told in forms.items() if any(form in whole for form in told)]


def _packed(string: str) -> Iterator[str]:
    raw = string.encode(errors="surrogatepass")
    yield json.dumps(string)[1:-1].lower()
    for shift in range(3):
        packed = base64.b64encode(b" " * shift + raw)[4 if shift else 0 : -4].decode().lower()
        if len(packed) > 8:
            yield packed


WORDS = " ".join((*module._FIELDS, *STATE_TYPES, *module._MEMBERSHIPS, *SETTINGS))
WORDS += """ chat matrix m.space content origin_server_ts format version account time rooms unreadable
rows value blob packed why Чат Chat matrix_user matrix_room unregistered null true false Room text
C999999999 the homeserver answered matrix_user: matrix_room: chat:: unregistered: """
"""What stands in any such file and tells nothing."""


def personal(snapshot: Snapshot) -> set[str]:
    """Every text of the original, whole and in parts, that isn't one of the words of any file."""
    found = {snapshot.account, *snapshot.rooms, *snapshot.unreadable, *snapshot.rows}
    for raw in (*snapshot.rooms.values(), *snapshot.rows.values()):
        if isinstance(raw, str | bytes):
            with contextlib.suppress(ValueError, RecursionError):
                found.update(_open(json.loads(raw)).split("\n"))
    parts = {part for text in found for part in re.split("[^\\w.-]+", text)} | found
    words = WORDS.lower()
    return {
        part
        for part in parts
        if len(part) >= 3 and part.lower() not in words and Convention().chat_id_of(part) is None
        if not re.fullmatch("[0-9]{1,9}([.][0-9])?|-?10+|None|True|False|nan|chat:C[0-9]+", part)
    }


@laws
@given(worlds())
def test_no_text_of_any_world_is_left(sides: Sides) -> None:
    snapshot = taken(sides)
    assert not found_in(anonymise(snapshot), *personal(snapshot))


def test_no_text_of_the_demo_is_left() -> None:
    snapshot = Recorded.load().snapshot
    strings = personal(snapshot)
    assert {"alice", "example.org", snapshot.account} <= strings
    assert len(strings) > 200
    assert not found_in(anonymise(snapshot), *strings)


def a_life() -> Snapshot:
    """Something personal at every place that there is."""
    world = World("@zqbot:zqhs.example:8448", start=1_791_234_567_891)
    space = world.space("!zqspace:zqhs.example", owner="@zqmaria:zqhs.example")
    room = world.chat(
        "!zqroom", space, "zqSupport ticket 4 for zqMaria", owner="@zqmaria:zqhs.example"
    )
    plain: dict[str, object] = {
        "m.room.topic": {"topic": "zqtopic"},
        "m.room.avatar": {"url": "mxc://zqhs/zqavatar", "info": {"zqkey": "zqvalue"}},
        "m.room.canonical_alias": {"alias": "#zqalias:zqhs", "alt_aliases": ["#zqother:zqhs"]},
        "m.room.power_levels": {"users": {"@zqmaria:zqhs.example": 100}, "events": {"zqtype": 1}},
        "m.room.encryption": {"algorithm": "zqmegolm", "zqkey": "zqsecret"},
        "m.room.server_acl": {"allow": ["zqhs.example"]},
        "m.room.pinned_events": {"pinned": ["$zqevent"]},
        "com.zqbrand.chat": {"chat_id": "C4", "zqkey": ["zqdeep", {"zqkey": "zqdeeper"}]},
        "com.zqbrand.crm": {"phone": "zq+491234567", "name": "zqname", "type": "zqtype"},
    }
    for kind, content in plain.items():
        world.event(room, kind, content)
    world.event(room, "m.room.third_party_invite", {"display_name": "zq@mail"}, state_key="zqtoken")
    world.event(room, "m.room.zqmaria", {}, state_key="zqkey")
    world.member(room, "@zqeva:zqelse.where", "leave")
    for event in world.rooms[room]:
        event["unsigned"] = {"prev_content": {"displayname": "zqold"}, "zqkey": 1}
        event["zqkey"] = event["user_id"] = "@zqmaria:zqhs.example"
        if event["type"] == "m.room.member":
            event["content"] |= {"displayname": "zqMaria", "reason": "zqreason"}
    user = {
        "space_id": space,
        "next_chat_index": 5,
        "phone": 491_234_567_891,
        "zqkey": {"zq": "zq"},
    }
    row: dict[str, Any] = {
        "chat_id": "C4",
        "matrix_user_id": "@zqmaria:zqhs.example",
        "space_id": space,
    }
    row |= {
        "display_name": "zqSupport ticket 4 for zqMaria",
        "room_type": "zqtype",
        "zqnote": ["zq"],
    }
    chat = {"surface_ref": room, "platform": "zqplatform", "name": "zqHoliday", "born": 19_811_224}
    rows: dict[str, Raw] = {
        "matrix_user:@zqmaria:zqhs.example": json.dumps(user),
        f"matrix_room:{room}": json.dumps(row).encode(),
        "matrix_room:!zqbad": '{"zqmaria": ',
        "matrix_room:!zqworse": b"zqmaria\xff",
        "chat:@zqmaria:zqhs.example:C4": json.dumps(chat),
        "chat:@zqmaria:zqhs.example:unregistered:!zqold:zqhs": '{"surface_ref": ["zqmaria"]}',
        "chat:zqmaria": 1_791_234_567,
    }
    given = {
        "room_name_patterns": ["Чат {n}", "zqSupport {n}", r"zqSupport ticket (\d+) for \w+"],
        "default_room_name": "zqSupport {n}",
        "state_event_type": "com.zqbrand.chat",
        "helper_accounts": ["@zqadmin:zqhs.example"],
        "former_accounts": ["@zqeva:zqelse.where", "@zqold:zqhs.example"],
        "platform": "zqplatform",
    }
    why = "the homeserver answered 403 M_ZQMARIA: ask @zqadmin"
    rooms = {room_id: world.state(room_id) for room_id in world.rooms} | {"!zqodd": b'"zqmaria"'}
    return Snapshot(world.bot, rooms, {"!zqshut:zqhs": why}, rows, "", given)


def test_nothing_personal_is_left_wherever_it_stands() -> None:
    snapshot = a_life()
    other = anonymise(snapshot)
    assert not found_in(
        other, "zq", "maria", "491234567", "1791234567", "19811224", "secret", "mxc:"
    )
    assert found_in(snapshot, "zq", "maria", "491234567", "19811224", "1791234567", "mxc:")
    assert_same_plan(snapshot)
    assert any(unit.chat_id == "C4" for unit in plan_of(other).units)


def test_accounts_of_the_convention_are_called_as_in_the_rooms_and_rows() -> None:
    snapshot = a_life()
    names, other = listen(snapshot), anonymise(snapshot)
    eva, old = map(names.text, snapshot.settings["former_accounts"])
    assert other.settings["former_accounts"] == [eva, old]
    assert other.settings["helper_accounts"] == [names.text("@zqadmin:zqhs.example")]
    assert len({eva, old, other.account}) == 3
    assert any(eva.encode() in body for body in other.rooms.values())  # a member of the chat


def test_names_stand_for_the_same_chats_and_equal_ones_stay_equal() -> None:
    snapshot = a_life()
    names = listen(snapshot)
    name = names.name("zqSupport ticket 4 for zqMaria")
    assert names.convention.chat_id_of(name) == "C4"
    assert names.name("Чат 12") == "Чат 12"
    assert names.name("zqSupport 4") == "Name 4" == names.convention.room_name("C4")
    assert names.convention.chat_id_of("Name 4") == "C4"
    assert names.convention.chat_id_of(names.name("zqHoliday")) is None


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "Чат 4"),
        ({"room_name_patterns": ["Chat {n}"]}, "Чат 4"),
        ({"room_name_patterns": ["Чат (\\d+)"]}, "Чат 4"),
        ({"room_name_patterns": ["Чат (\\d)\\d*", "Чат {n}"]}, "Чат 12"),
        ({"room_name_patterns": [".*?(\\d+).*"], "default_room_name": "Anfrage {n}"}, "Anfrage 4"),
        ({"room_name_patterns": [".*?(\\d+).*"], "default_room_name": "Anfrage"}, "Anfrage"),
        ({"default_room_name": "Anfrage {n}"}, "Anfrage 4"),
        ({"default_room_name": "Anfrage {n}/{n}"}, "Anfrage 4/4"),
        ({"room_name_patterns": ["x{n}"], "default_room_name": "{n}"}, "x7"),
    ],
)
def test_a_name_reads_the_same_under_any_convention(given: dict[str, Any], name: str) -> None:
    events = [CREATE | {"sender": BOT}, CREATE | {"type": "m.room.name", "content": {"name": name}}]
    snapshot = Snapshot(BOT, {"!r": json.dumps(events).encode()}, {}, {}, "", given)
    names = listen(snapshot)
    before, after = Convention(**given), Convention(**translate(snapshot, names).settings)
    assert after.chat_id_of(names.name(name)) == before.chat_id_of(name)
    if name == before.room_name("C4"):
        assert names.name(name) == after.room_name("C4")


def test_ids_keep_their_kind_and_rooms_their_order() -> None:
    rows: dict[str, Raw] = {f"matrix_room:!{n}{':hs' * (n % 2)}": "{}" for n in range(12_000)}
    names = listen(Snapshot("@bot:hs:8448", {}, {}, rows))
    told = [names.text(key.removeprefix("matrix_room:")) for key in sorted(rows)]
    assert told == sorted(told)
    assert len({*told}) == 12_000
    assert {bool(":" in room) for room in told} == {True, False}
    assert re.fullmatch("@u0001:s[0-9]+:1", names.text("@bot:hs:8448"))


def test_the_order_of_users_says_nothing_and_does_not_change() -> None:
    users = [f"@user{n:03}:hs" for n in range(200)]
    snapshot = Snapshot(BOT, {}, {}, {f"matrix_user:{user}": "{}" for user in users})
    told = list(map(listen(snapshot).text, users))
    assert told != sorted(told)
    assert anonymise(snapshot) == anonymise(snapshot)
    more = msgspec.structs.replace(snapshot, rows=snapshot.rows | {"chat:@x:C1": "{}"})
    assert list(map(listen(more).text, users)) != told


def test_only_the_order_of_creation_is_left_of_times() -> None:
    events = [CREATE | {"origin_server_ts": at} for at in (1_791_234_567_891, 1_000_000_000_000)]
    rooms = {f"!r{n}": json.dumps([event]).encode() for n, event in enumerate(events)}
    remote = anonymise(Snapshot(BOT, rooms, {}, {})).remote(Convention())
    assert [room.created for room in remote.rooms.values()] == [946_684_920_000, 946_684_860_000]


def test_only_the_order_of_naming_is_left_of_times_and_it_is_that_of_creation() -> None:
    name = {"type": "m.room.name", "content": {"name": "Чат 1"}, "sender": BOT}
    times = {"!r0": (3_000_000_000_000, 3_000_000_000_007), "!r1": (2_000_000_000_000, 10**12)}
    rooms = {
        room: json.dumps(
            [
                CREATE | {"origin_server_ts": created},
                CREATE | name | {"origin_server_ts": named},
                CREATE | {"type": "m.room.topic", "origin_server_ts": 1_234_567_890_123},
            ]
        ).encode()
        for room, (created, named) in times.items()
    }
    anonymous = anonymise(Snapshot(BOT, rooms, {}, {}))
    told = [(r.created, r.named) for r in anonymous.remote(Convention()).rooms.values()]
    start, minute = 946_684_800_000, 60_000
    assert told == [(start + 3 * minute, start + 4 * minute), (start + 2 * minute, start + minute)]
    assert b"1234567890123" not in b"".join(anonymous.rooms.values())


def test_a_snapshot_in_which_no_name_has_a_time_has_names_without_one() -> None:
    name = {"type": "m.room.name", "content": {"name": "Чат 1"}, "event_id": "$n"}
    events = [CREATE, {**name, "state_key": "", "sender": BOT}]
    rooms = {"!r": json.dumps(events).encode()}
    [room] = anonymise(Snapshot(BOT, rooms, {}, {})).remote(Convention()).rooms.values()
    assert room.name and room.named is None


# The command


def test_the_command_writes_only_the_anonymous_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def take(where: object) -> Snapshot:
        return a_life()

    saved: list[Snapshot] = []

    def save(path: Path, snapshot: Snapshot, now: datetime) -> None:
        saved.append(snapshot)
        save_snapshot(path, snapshot, now)

    monkeypatch.setattr(cli_look, "_take", take)
    monkeypatch.setattr(cli_look, "save_snapshot", save)
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN", "a token of the anonymous")
    path = tmp_path / "bug.snapshot"
    line = ["snapshot", str(path), "--anonymise", "--homeserver", "https://zq", "--database", "x"]
    assert toolkit.cli.run(line) == 0
    assert saved == [anonymise(a_life())]
    assert load_snapshot(path).rows == saved[0].rows
    assert not found_in(load_snapshot(path), "zq")
    said = capsys.readouterr().err
    assert "anonymised: " in said
    assert len(said.splitlines()) == 1
    assert os.listdir(tmp_path) == [path.name]
