"""What mallory may try, one by one; each name says the attempt, and each changes nothing for others.

Alice and bob have rows that need repair, so that an attack could make a difference. The random
combinations of these attempts are a law in `test_laws.py`.
"""

import json

import pytest

from tests.attacks import ATTACKS, MALLORY, Attack, View
from tests.worlds import BOT, CONVENTION, Sides
from toolkit.model import Code, Plan, Reason, Skip
from toolkit.planning.plan import plan_repairs
from toolkit.records import chat_key, room_key, user_key
from toolkit.testing import World

ALICE, BOB, CAROL = "@alice:example.org", "@bob:example.org", "@carol:example.org"
SPACE, CHAT, RENAMED, LOOSE = "!space", "!chat", "!renamed", "!loose"
EVIL_SPACE, EVIL_CHAT = "!evil-space", "!evil-chat1"


def victims() -> Sides:
    """Alice with rows lost and wrong; bob whose Space isn't certain; carol who has rows and no Space."""
    world = World(BOT)
    world.space(SPACE, owner=ALICE)
    world.chat(CHAT, SPACE, "Чат 1", owner=ALICE)
    world.chat(RENAMED, SPACE, "Holiday", owner=ALICE)
    world.room(LOOSE, name="Чат 3", members={ALICE: "join"})
    world.space("!bob-space", members={BOB: "leave"})
    world.chat("!bob-chat", "!bob-space", "Чат 1")
    rows = {
        user_key(ALICE): {"space_id": SPACE, "next_chat_index": 1},
        room_key(RENAMED): {"chat_id": "C2", "matrix_user_id": ALICE, "space_id": SPACE},
        room_key(LOOSE): {"chat_id": "C3", "matrix_user_id": ALICE, "space_id": SPACE},
        chat_key(ALICE, "C2"): {"surface_ref": LOOSE},
        user_key(CAROL): {"space_id": "!gone", "next_chat_index": 2},
        chat_key(CAROL, "C1"): {"surface_ref": "!gone-chat"},
    }
    return Sides(world.rooms, {key: json.dumps(row) for key, row in rows.items()})


def look(sides: Sides) -> Plan:
    return plan_repairs(sides.remote(), sides.local(), CONVENTION, lower_counters=True)


def run(*steps: tuple[str, str, str, str]) -> tuple[Plan, Plan]:
    """Plans without and with the attack, which must agree about everybody else."""
    attack = Attack(victims())
    for kind, own, target, victim in steps:
        before = json.dumps([attack.world.rooms, attack.rows])
        attack.step(kind, own, target, victim)
        assert json.dumps([attack.world.rooms, attack.rows]) != before, f"{kind} did nothing"
    done = attack.done()
    without, beside = look(done.before), look(done.after)
    view = View(beside, done.rooms)
    assert view.facts() == View(without, done.rooms).facts()
    assert not view.foreign_writes
    return without, beside


def test_the_victims_have_something_to_lose() -> None:
    plan = look(victims())
    codes = {(u.id, f.code) for u in plan.units for f in u.findings}
    assert {(ALICE, Code.COUNTER_TOO_LOW), (CHAT, Code.MISSING_ROW)} <= codes
    assert {(RENAMED, Code.DUPLICATE_CHAT_ID), ("!bob-space", Code.OWNER_LEFT)} <= codes
    assert plan.orphans == (chat_key(CAROL, "C1"), user_key(CAROL))
    assert (LOOSE, Code.NOT_A_CHAT) in codes


@pytest.mark.parametrize("victim", [ALICE, BOB, CAROL])
@pytest.mark.parametrize("target", [SPACE, CHAT, RENAMED, LOOSE, "!bob-space"])
@pytest.mark.parametrize("own", [EVIL_SPACE, EVIL_CHAT])
@pytest.mark.parametrize(
    "kind", [kind for kind in ATTACKS if kind not in ("kick_victim", "send_helper_away")]
)
def test_one_attempt_changes_nothing(kind: str, own: str, target: str, victim: str) -> None:
    run((kind, own, target, victim))


def test_a_link_from_her_space_does_not_fetch_a_room_that_she_was_never_in() -> None:
    _, plan = run(("claim_from_above", EVIL_SPACE, LOOSE, ALICE))
    unit = plan.unit(LOOSE)
    assert unit and Reason.NO_SPACE in [finding.remote for finding in unit.findings]


def test_a_link_from_her_room_to_the_victims_space_makes_it_no_chat_of_the_victim() -> None:
    _, plan = run(
        ("copy_room", EVIL_SPACE, SPACE, ALICE), ("claim_from_below", EVIL_CHAT, SPACE, ALICE)
    )
    assert Skip("!evil-own1", Reason.NOT_CREATED_BY_BOT) in plan.skipped
    assert EVIL_CHAT not in plan.spaces.get(SPACE, ())


def test_links_between_the_spaces_do_not_nest_the_victims_space() -> None:
    _, plan = run(
        ("claim_from_above", EVIL_SPACE, SPACE, ALICE),
        ("claim_from_below", EVIL_SPACE, SPACE, ALICE),
    )
    assert not [f for unit in plan.units if unit.id == ALICE for f in unit.conflicts]


def test_a_tombstone_that_names_the_victims_room_makes_it_no_upgrade() -> None:
    _, plan = run(("forge_tombstone", EVIL_CHAT, CHAT, ALICE))
    assert Skip(EVIL_CHAT, Reason.TOMBSTONED) in plan.skipped
    assert (unit := plan.unit(CHAT)) and unit.room_ids == (CHAT,)


def test_a_room_that_names_the_victims_room_as_predecessor_inherits_nothing() -> None:
    _, plan = run(("forge_predecessor", EVIL_SPACE, CHAT, ALICE))
    assert Skip("!evil-own1", Reason.NOT_CREATED_BY_BOT) in plan.skipped


def test_her_upgraded_room_stays_her_own_chat() -> None:
    _, plan = run(
        ("upgrade_own", EVIL_CHAT, CHAT, ALICE), ("rename_own", "!evil-own1", CHAT, ALICE)
    )
    assert (unit := plan.unit("!evil-own1")) and unit.owner == MALLORY


def test_her_chat_turned_into_a_space_is_no_user_space() -> None:
    _, plan = run(("upgrade_into_space", EVIL_CHAT, CHAT, ALICE))
    assert Skip("!evil-own1", Reason.NOT_CREATED_BY_BOT) in plan.skipped


GONE = {
    "leaves": ("leave_own",),
    "is banned by a second account": ("be_banned",),
    "is kicked by a second account, which leaves too": ("be_kicked", "send_helper_away"),
}
LURED = ("lure_victim", "invite_victim")


@pytest.mark.parametrize("victim", [ALICE, BOB, CAROL])
@pytest.mark.parametrize("lure", LURED)
@pytest.mark.parametrize("rows", ["kept", "lost"])
@pytest.mark.parametrize("way", GONE)
def test_a_space_that_she_leaves_to_the_victim_is_at_most_proposed(
    way: str, rows: str, lure: str, victim: str
) -> None:
    steps = [(lure, EVIL_SPACE, SPACE, victim)]
    steps += [(kind, EVIL_SPACE, SPACE, victim) for kind in GONE[way]]
    steps += [("lose_rows", EVIL_SPACE, SPACE, victim)] if rows == "lost" else []
    _, plan = run(*steps)
    _assert_guess(plan, victim)


@pytest.mark.parametrize("victim", [ALICE, BOB, CAROL])
@pytest.mark.parametrize("way", GONE)
def test_chats_that_she_leaves_to_the_victim_do_not_make_them_the_owner(
    way: str, victim: str
) -> None:
    steps = [("lure_victim", EVIL_SPACE, SPACE, victim)]
    for chat in (EVIL_CHAT, "!evil-chat2"):
        steps += [("lure_victim", chat, SPACE, victim)]
        steps += [(kind, chat, SPACE, victim) for kind in GONE[way]]
    _, plan = run(*steps, ("lose_rows", EVIL_SPACE, SPACE, victim))
    _assert_guess(plan, victim)


def test_bans_here_and_there_do_not_leave_a_kicked_victim_as_the_only_former_member() -> None:
    _, plan = run(
        ("lure_victim", EVIL_SPACE, SPACE, CAROL),
        ("kick_victim", EVIL_SPACE, SPACE, CAROL),
        ("leave_own", EVIL_SPACE, SPACE, CAROL),
        ("be_banned", EVIL_CHAT, SPACE, CAROL),
        ("be_kicked", "!evil-chat2", SPACE, CAROL),
        ("lose_rows", EVIL_SPACE, SPACE, CAROL),
    )
    unit = plan.unit(EVIL_SPACE)
    assert unit and unit.needs_human
    assert user_key(CAROL) in plan.orphans


def test_a_forged_chat_id_or_name_does_not_raise_anybodys_counter() -> None:
    _, plan = run(("forge_chat_id", EVIL_CHAT, CHAT, ALICE), ("rename_own", EVIL_CHAT, CHAT, ALICE))
    assert not [note for note in plan.notes if note.code is Code.IDS_EXHAUSTED]


def test_a_number_at_the_end_of_all_numbers_is_no_note_about_the_victim() -> None:
    _, plan = run(
        ("lure_victim", EVIL_SPACE, SPACE, CAROL),
        ("leave_own", EVIL_SPACE, SPACE, CAROL),
        ("lose_rows", EVIL_SPACE, SPACE, CAROL),
        ("rename_own", EVIL_CHAT, CHAT, CAROL),
    )
    assert not [note for note in plan.notes if note.key == user_key(CAROL)]


def test_an_unreadable_room_of_hers_holds_nobody_else_back() -> None:
    attack = Attack(victims())
    attack.step("claim_from_above", EVIL_SPACE, CHAT, ALICE)
    attack.step("lure_victim", EVIL_SPACE, CHAT, ALICE)
    done = attack.done()
    for unread in (EVIL_SPACE, EVIL_CHAT):
        plan = look(done.after.without(unread))
        assert View(plan, done.rooms).facts() == View(look(done.before), done.rooms).facts()


@pytest.mark.parametrize("first", ["rename_own", "leave_own", "lose_rows"])
def test_a_tombstone_that_names_an_unreadable_room_of_the_victim_holds_nobody_else_back(
    first: str,
) -> None:
    attack = Attack(victims())
    attack.step(first, EVIL_SPACE, CHAT, ALICE)
    for own in (EVIL_SPACE, EVIL_CHAT):
        attack.step("lure_victim", own, "!bob-chat", ALICE)
        attack.step("forge_tombstone", own, "!bob-chat", ALICE)
    done = attack.done()
    without, beside = look(done.before.without("!bob-chat")), look(done.after.without("!bob-chat"))
    assert View(beside, done.rooms).facts() == View(without, done.rooms).facts()


def test_a_server_called_unregistered_breaks_no_key() -> None:
    user = "@mallory:unregistered"
    world = World(BOT)
    world.space(SPACE, owner=user)
    world.chat(CHAT, SPACE, "Чат 1", owner=user)
    sides = Sides(world.rooms, {})
    sides = sides.written(*look(sides).units)
    assert look(sides).in_sync_rooms == (CHAT,)


def _assert_guess(plan: Plan, victim: str) -> None:
    unit = plan.unit(EVIL_SPACE) or plan.unit(MALLORY)
    assert unit is not None or MALLORY in plan.in_sync_users
    if unit and unit.owner == victim:
        assert unit.needs_human and unit.id == EVIL_SPACE
