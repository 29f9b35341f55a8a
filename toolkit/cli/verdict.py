"""How a plan ends on a terminal: whether all is right, else how much is left and the commands that go on from there."""

from collections.abc import Collection, Iterator

from rich.text import Text

from toolkit.cli.decided import say_in_sync
from toolkit.decisions.record import Record
from toolkit.model import Plan
from toolkit.text.advice import settled, unsettled
from toolkit.text.new_database import new_database
from toolkit.text.summary import count_of


def render_verdict(plan: Plan, record: Record, *, shown: bool = False) -> Text:
    """Whether all is right, else what to do next; `shown`: the rows stand above."""
    plan = record.part(plan)
    words = plan.words
    if plan.in_sync:
        if record.ignored:
            return Text(say_in_sync(plan, record), "green")
        if not plan.in_sync_rooms:
            return Text(f"In sync: {words.nothing.format('')}{words.lacking}.")
        return Text(f"In sync: {words.whole.format('')}{words.right}.", "green")
    if not (plan.units or plan.loose):
        return Text(f"{words.uncompared}: see the notes above.")
    left = record.left(plan.units)
    new, ready = _new(plan), sum(unit.id not in left for unit in settled(plan))
    told = []
    if ready:
        look = "" if shown else f"`matrix-drift plan{new}` shows the rows, "
        told.append(
            f"{count_of(ready, 'unit')} can be repaired: {look}`matrix-drift apply{new}` writes them."
        )
    told += map(str, render_open(plan, left))
    if left:
        told.append(
            f"{count_of(len(left), 'unit')} rejected or deferred: `apply` writes such a one only by its "
            "name, `matrix-drift withdraw 'UNIT'` takes the decision back."
        )
    if codes := _open_codes(plan):
        told.append(f"`matrix-drift explain CODE` says more of each: {', '.join(codes)}.")
    return Text("\n".join(told))


def _new(plan: Plan) -> str:
    """The option without which a new database is refused."""
    return " --new-database" if new_database(plan) else ""


def _open_codes(plan: Plan) -> list[str]:
    """The conflicts that there are, each once, as they are called in the report and the docs."""
    found = [finding.code for unit in plan.units for finding in unit.conflicts]
    return sorted({code.value for code in [*found, *(finding.code for finding in plan.loose)]})


def render_open(plan: Plan, left: Collection[str] = ()) -> Iterator[Text]:
    """How many units and rows wait for a person, and how to settle one."""
    if count := sum(unit.id not in left for unit in unsettled(plan)):
        one, new = "needs" if count == 1 else "need", _new(plan)
        ignore = "" if new else ", or `matrix-drift ignore 'UNIT'`"  # that one wants a database
        yield Text(
            f"{count_of(count, 'unit')} {one} a decision: `matrix-drift settle{new}` asks about each; one at a "
            f"time: `matrix-drift apply{new} 'UNIT'` with what its arrow says{ignore}."
        )
    if count := len(plan.loose):
        rows, mend = ("belongs", "it") if count == 1 else ("belong", "them")
        yield Text(
            f"{count_of(count, 'row')} {rows} to no unit: mend {mend} by hand, as the arrow in "
            "`matrix-drift check` says."
        )
