"""Votes kept up to date decision by decision are those that looking at everything gives."""

from collections.abc import Iterator, Mapping
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from toolkit.decisions.decision import Decision, Ignored
from toolkit.decisions.ledger import Ledger, Vote
from toolkit.decisions.standing import REMEMBERED, Standing
from toolkit.model import NO_CHOICES, Change, Choices, Plan, RowWrite, Status, Unit, UnitKind

OWNERS = ("@a:hs", "@b:hs", None)
SPACES = ("!s", "!t", None)
CHANGES = (None, *(Change((RowWrite("matrix_room:!r", None, row),)) for row in ("{}", "[]")))
PICKS = (NO_CHOICES, Choices(space_id="!s"), Choices(chat_id="C1"))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Units of few owners and Spaces, so that many hang together."""
    units = tuple(
        Unit(
            id=f"!u{number}",
            kind=draw(st.sampled_from(UnitKind)),
            status=Status.MISSING,
            findings=(),
            owner=draw(st.sampled_from(OWNERS)),
            space_id=draw(st.sampled_from(SPACES)),
            change=draw(st.sampled_from(CHANGES)),
        )
        for number in range(draw(st.integers(0, 6)))
    )
    return Plan(account="@bot:hs", joined=(), units=units, foreign=draw(st.booleans()))


IDS = st.sampled_from([f"!u{number}" for number in range(6)] + ["!gone"])
DECISIONS = st.builds(
    Decision,
    change=st.sampled_from([change and change.fingerprint for change in CHANGES]),
    choices=st.sampled_from(PICKS),
    agreed=st.booleans(),
)
IGNORED = st.builds(
    Ignored,
    change=st.sampled_from([change and change.fingerprint for change in CHANGES]),
    until=st.sampled_from([None, date.min]),
)
VOTES = st.sampled_from([vote for vote in Vote if vote is not Vote.IGNORED])
STEPS = st.lists(
    st.tuples(VOTES, st.dictionaries(IDS, DECISIONS))
    | st.tuples(st.just(Vote.IGNORED), st.dictionaries(IDS, IGNORED)),
    max_size=8,
)


def standings(plan: Plan, steps: list[tuple[Vote, Mapping[str, Decision]]]) -> Iterator[Standing]:
    standing = Standing(plan, Ledger())
    yield standing
    for vote, decisions in steps:
        standing = standing.after(standing.ledger.decide(vote, decisions))
        yield standing


@given(plans(), STEPS)
def test_step_by_step_is_all_at_once(
    plan: Plan, steps: list[tuple[Vote, Mapping[str, Decision]]]
) -> None:
    for standing in standings(plan, steps):
        anew = Standing(plan, standing.ledger)
        assert list(standing.votes.items()) == list(anew.votes.items())
        assert standing.ledger.choices == Ledger(standing.ledger.votes).choices
        assert list(standing.votes) == [unit.id for unit in plan.units]


@given(plans(), STEPS, st.data())
def test_what_was_not_touched_stands_as_before(
    plan: Plan, steps: list[tuple[Vote, Mapping[str, Decision]]], data: st.DataObject
) -> None:
    found = list(standings(plan, steps))
    first = data.draw(st.integers(0, len(found) - 1))
    before, after = found[first], found[-1]
    touched = after.touched_since(before)
    assert touched is not None
    assert {u for u in after.votes if after.votes[u] is not before.votes[u]} <= touched


def test_who_was_away_too_long_or_comes_from_elsewhere_looks_at_everything() -> None:
    unit = Unit(id="!u0", kind=UnitKind.ROOM, status=Status.MISSING, findings=())
    plan = Plan(account="@bot:hs", joined=(), units=(unit,))
    first = standing = Standing(plan, Ledger())
    for _ in range(REMEMBERED + 1):
        standing = standing.after(standing.ledger.decide(Vote.DEFERRED, {"!u0": Decision()}))
    assert standing.touched_since(first) is None
    branch = first.after(first.ledger.decide(Vote.REJECTED, {"!u0": Decision(agreed=False)}))
    assert branch.votes == {"!u0": Vote.REJECTED} and standing.touched_since(branch) is None
    read = first.after(Ledger({"!u0": (Vote.REJECTED, Decision(agreed=False))}))
    assert read.votes == branch.votes and read.touched_since(first) is None
