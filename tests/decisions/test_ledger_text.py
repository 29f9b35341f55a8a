"""The text of a file of decisions, followed decision by decision, is the one that is made of them all."""

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from toolkit.decisions import ledger_file
from toolkit.decisions.decision import Decision
from toolkit.decisions.ledger import Ledger, Vote
from toolkit.decisions.ledger_file import LedgerText, dump_ledger
from toolkit.model import Plan

PLAN = Plan(account="@bot:hs", joined=())
IDS = st.sampled_from(["", "\ud800", *(f"!{number}" for number in range(12))])
STEPS = st.lists(st.tuples(st.sampled_from(Vote), st.frozensets(IDS)), max_size=12)


@given(st.integers(1, 3), st.integers(2, 12), STEPS)
def test_whatever_is_decided_after_the_other(
    block: int, few: int, steps: list[tuple[Vote, frozenset[str]]]
) -> None:
    ledger, text = Ledger(), LedgerText(Ledger(), PLAN)
    with patch.object(ledger_file, "_BLOCK", block), patch.object(ledger_file, "_FEW", few):
        for number, (vote, units) in enumerate(steps):
            ledger = ledger.settled().decide(
                vote, dict.fromkeys(units, Decision(by=str(number), agreed=vote is Vote.APPROVED))
            )
            text = text.after(ledger, PLAN)
            assert text.text().decode() == dump_ledger(ledger, PLAN)


def test_what_was_read_or_planned_anew_is_told_anew() -> None:
    text = LedgerText(Ledger(), PLAN)
    read = Ledger({"!a": (Vote.DEFERRED, Decision())})
    other = Plan(account="@other:hs", joined=())
    assert text.after(read, PLAN).text().decode() == dump_ledger(read, PLAN)
    assert text.after(Ledger(), other) is not text
