"""What was decided about units, as text for a terminal: who ignores what and why, and what is left alone.

Reasons are a person's own words, or those of whoever may write beside the database: made visible too.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from rich.console import RenderableType
from rich.text import Text

from toolkit.decisions.ignoring import say_ignored
from toolkit.decisions.ledger import Vote
from toolkit.decisions.record import Record
from toolkit.model import Plan, Unit
from toolkit.text.advice import unit_name
from toolkit.text.summary import count_of
from toolkit.text.visible import visible

LONG = 1_000
_SHOWN = 20


def render_decided(record: Record) -> Iterator[RenderableType]:
    """How many units are decided about in the file that a session or board has as well."""
    votes = Counter(record.votes.values())
    told = [f"{votes[vote]:,} {vote.value}" for vote in Vote if vote is not Vote.PENDING]
    if told := [words for words in told if not words.startswith("0 ")]:
        yield Text(f"{'Decided:':<12}{', '.join(told)}")


def render_ignored(units: Iterable[Unit], record: Record) -> Iterator[RenderableType]:
    """What is left as it is on purpose, and what no longer is."""
    ignored = [unit for unit in units if unit.id in record.ignored]
    if ignored:
        yield Text("Ignored, their rows stay as they are:")
    for unit in ignored[:_SHOWN]:
        name = f" ({visible(unit_name(unit))})" if unit_name(unit) else ""
        why = visible(say_ignored(record.ignored[unit.id]), LONG)
        yield Text(f"  {visible(unit.id)}{name}: {unit.status.value}, {why}")
    if len(ignored) > _SHOWN:
        yield Text(f"  … and {len(ignored) - _SHOWN:,} more; --json has them all")
    for unit_id, why in list(record.returned.items())[:_SHOWN]:
        yield Text(f"No longer ignored: {visible(unit_id)}: {visible(why)}.")


def render_left(left: Mapping[str, str]) -> Iterator[RenderableType]:
    """What would have been written, had it not been decided otherwise."""
    for unit_id, how in list(left.items())[:_SHOWN]:
        yield Text(f"Left alone: {visible(unit_id)}: {visible(how, LONG)}")
    if len(left) > _SHOWN:
        yield Text(f"… and {len(left) - _SHOWN:,} more")


def say_in_sync(plan: Plan, record: Record) -> str:
    """That nothing else is wrong, where units are ignored."""
    units = count_of(len(record.ignored), "unit")
    if not plan.in_sync_rooms:
        return f"Nothing else to do: {units} ignored; {plan.words.nothing.format('other ')}."
    return (
        f"In sync but for {units} ignored: {plan.words.whole.format('other ')}{plan.words.right}."
    )
