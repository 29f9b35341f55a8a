"""Laws of meeting one room: what follows from links alone is what a look at everything says, or less."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, event, given, settings

from tests.bench import Bench
from tests.homeserver.meeting import Meeting, Quiet, meet_each, written
from tests.scenario import BOT as SCENE_BOT
from tests.scenario import Scenario, build_world, load_scenarios
from tests.worlds import CONVENTION, Sides, worlds
from toolkit.errors import RemoteIncomplete, StoreError
from toolkit.model import Plan, RemoteState
from toolkit.planning.plan import plan_repairs
from toolkit.records import NULL, LocalState

laws = settings(
    max_examples=int(os.environ.get("LAW_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def plan_of(remote: RemoteState, local: LocalState) -> Plan:
    return plan_repairs(remote, local, CONVENTION)


async def meet(sides: Sides, *, agreed: bool) -> list[Meeting]:
    """Every room of a world, as far as its table and its homeserver can be read at all."""
    client = Quiet(sides.rooms, sides.unreadable)
    everything = [*sides.rooms, *(key.partition(":")[2] for key in sides.rows)] if agreed else ()
    with TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / "bot.db")
        bench.fill({})
        bench.put({key: raw for key, raw in sides.rows.items() if raw is not NULL})
        try:
            return await meet_each(client, bench, plan_of, CONVENTION, decided=everything)
        except (RemoteIncomplete, StoreError):
            event("refused as a whole")
            return []


@laws
@given(worlds())
def test_it_never_writes_what_a_look_at_everything_would_not(sides: Sides) -> None:
    for found in asyncio.run(meet(sides, agreed=False)):
        event("the same" if found.same else "not the same")
        if not found.unseen_links():
            assert written(found.near).items() <= written(found.truth).items(), found.room_id
            assert {*found.near.in_sync_rooms} <= {*found.truth.in_sync_rooms}, found.room_id


@laws
@given(worlds())
def test_what_a_person_agreed_to_is_written_as_a_look_at_everything_would(sides: Sides) -> None:
    for found in asyncio.run(meet(sides, agreed=True)):
        changes = {unit.id: unit.change for unit in found.truth.units if unit.change}
        for unit in found.near.units:
            if unit.change and unit.needs_human:
                assert unit.change == changes.get(unit.id), found.room_id


# -- the scenarios --------------------------------------------------------------------------------


def _enough_is_readable(scenario: Scenario) -> bool:
    remote = scenario.remote()
    return len(remote.unreadable) <= len(remote.rooms)


SCENARIOS = [
    pytest.param(scenario, id=scenario.rule)
    for scenario in load_scenarios()
    if _enough_is_readable(scenario)
]

UNSEEN = {
    # A further Space lists the room, and neither the room nor a row names it.
    "A chat that the bot linked to Spaces of different owners belongs to nobody",
    "A chat that a Space whose owner is only proposed lists as well belongs to nobody",
    "A chat row that points at a chat of Spaces with different owners is not moved",
    # The user has a further Space, and no row names it.
    "Of two Spaces with chats the one that the user row names is taken",
    "Of two Spaces the user row may name an older version of the one",
    "An unreadable user row decides nothing about two Spaces",
    "If nothing decides between two Spaces the user row and the chats of both conflict",
    "Room rows that name neither of two Spaces decide nothing",
    "While a room of a user with two Spaces could not be read nothing decides between them",
    "While a room could not be read that only the user's rows name, nothing decides between two Spaces",
    "The owner of a Space whose replacement could not be read is held back elsewhere too",
    "All owners of Spaces that may have become one unreadable room are held back",
    # The user's Space lies in another one, which it doesn't name, and no row names either.
    "An outer and an inner Space of one member, both with rooms and without a row, leave open which one "
    "counts",
    "An owner with a guest and an archive, whose row is lost, is not mistaken for a container",
    "What one user's Spaces leave open is open for each other user as well",
    "The row of a room in an archive may name the archive as well as the user's Space",
    "The row of a room in an archive names no other user's archive",
    "An archive may lie in an archive",
    "A Space in which nobody ever was is an archive of the Space that it lies in, though that one's owner "
    "isn't known either",
    # A row of an older version: that the room goes on as a chat shows its Space, which is not read for it.
    "An upgraded chat whose rows are right is in sync, old row and all",
    "A room that was simply upgraded makes no noise but its note",
}
"""Rules of which some room of the scenario is told otherwise, because nothing leads to what shows them."""


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_each_rule_is_kept_where_links_or_rows_lead(
    scenario: Scenario, tmp_path: Path
) -> None:
    def planned(remote: RemoteState, local: LocalState) -> Plan:
        lower = bool(scenario.data.get("lower_counters"))
        return plan_repairs(
            remote, local, scenario.convention, scenario.choices, lower_counters=lower
        )

    described = scenario.data.get("remote", {})
    client = Quiet(build_world(described).rooms, described.get("unreadable", {}), SCENE_BOT)
    bench = Bench(tmp_path / "bot.db")
    bench.fill({})
    bench.put(scenario.rows())
    found = await meet_each(client, bench, planned, scenario.convention, scenario.choices)
    differing = {each.room_id for each in found if not each.same}
    hidden = {each.room_id for each in found if each.unseen_links()}
    assert differing <= hidden
    assert (scenario.rule in UNSEEN) == bool(differing), differing
