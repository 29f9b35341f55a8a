"""A fleet as text for a terminal: a line per bot, what would be or was written at each, and bot × cause."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from toolkit.cli.decided import LONG, render_left
from toolkit.cli.render import render_loose, render_planned, render_undo
from toolkit.cli.render_written import render_refusals
from toolkit.fleet.outcome import Outcome, State
from toolkit.fleet.results import Results, say_states
from toolkit.text.summary import count_of
from toolkit.text.visible import visible

_WORDS = {State.IN_SYNC: "in sync", State.DRIFT: "adrift", State.FAILED: "failed"}
_STYLES = {State.IN_SYNC: "green", State.DRIFT: "yellow", State.FAILED: "bold red"}


def render_bots(results: Results) -> Iterator[RenderableType]:
    """A line per bot: how it stands, how much is wrong, and what, or why it failed."""
    counts = results.counts()
    table = _table("BOT", "STATE", "ROOMS", "UNITS", "TO DECIDE", "WHAT")
    for line in results.lines:
        codes = sorted(counts.get(line.bot, {}).items(), key=lambda item: (-item[1], item[0]))
        told = ", ".join(f"{count} {code}" for code, count in codes)
        if line.reason:
            told = "; ".join(filter(None, (told, visible(line.reason, LONG))))
        elif line.state is State.IN_SYNC and line.ignored:
            told = f"{count_of(line.ignored, 'unit')} ignored"
        table.add_row(
            line.bot,
            Text(_WORDS[line.state], _STYLES[line.state]),
            *(_number(number) for number in (line.rooms, line.units, line.to_decide)),
            Text(told),
        )
    yield table
    yield ""
    yield Text(say_states(results.lines))


def render_causes(results: Results) -> Iterator[RenderableType]:
    """How many bots and units have each cause, and which bots have most of it."""
    counts = results.counts()
    codes: dict[str, dict[str, int]] = {}
    for bot, line in counts.items():
        for code, count in line.items():
            codes.setdefault(code, {})[bot] = count
    if not codes:
        return
    table = _table("CAUSE", "UNITS", "BOTS", "MOST OF THEM")
    for code, bots in sorted(codes.items(), key=lambda item: (-sum(item[1].values()), item[0])):
        most = sorted(bots.items(), key=lambda item: (-item[1], item[0]))
        some = ", ".join(f"{bot} {count:,}" for bot, count in most[:5])
        more = ", …" if len(most) > 5 else ""
        units = f"{sum(bots.values()):,}"
        table.add_row(code, units, f"{len(bots):,}", Text(some + more))
    yield ""
    yield table


def render_plans(outcomes: Sequence[Outcome]) -> Iterator[RenderableType]:
    """What would be written, bot by bot; of those in sync nothing."""
    for outcome in outcomes:
        if outcome.plan is None:
            yield from _failed(outcome)
            continue
        units, loose = outcome.record.open(outcome.plan.units), outcome.plan.loose
        if units or loose:
            yield Text(f"── {outcome.line.bot}: {count_of(len(units), 'unit')}", "bold")
            yield from render_planned(units)
            yield from render_loose(loose)
        elif outcome.line.reason:
            yield Text(f"── {outcome.line.bot}: {visible(outcome.line.reason, LONG)}.", "bold")
    yield ""
    yield Text(say_states([outcome.line for outcome in outcomes]))


def render_back(outcomes: Sequence[Outcome]) -> Iterator[RenderableType]:
    """What taking runs back would write, bot by bot, and what it would leave as it is."""
    for outcome in outcomes:
        if outcome.plan is None or outcome.written is None:
            yield from _failed(outcome)
            continue
        run = visible(outcome.written.undoes or "")
        yield Text(f"── {outcome.line.bot}: take back run {run}", "bold")
        yield from render_undo(outcome.plan)


def render_written(outcomes: Sequence[Outcome]) -> Iterator[RenderableType]:
    """What was written, bot by bot, with the run that takes it back."""
    for outcome in outcomes:
        if outcome.written is None:
            yield from _failed(outcome)
            continue
        done = outcome.written
        rows, units = count_of(done.rows, "row"), count_of(len(done.units), "unit")
        word = "written back" if done.undoes else "written"
        told = f"{rows} of {units} {word}" if done.rows else "nothing to write"
        run = f", run {visible(done.run)}" if done.run else ""
        yield Text(f"{outcome.line.bot}: {told}{run}", "green" if done.rows else "")
        if done.backup:
            yield Padding(Text(f"Backup: {visible(done.backup, LONG)}"), (0, 0, 0, 2))
        for more in (*render_refusals(done.refused), *render_left(done.left)):
            yield Padding(more, (0, 0, 0, 2))
        trouble = (done.warning, outcome.line.reason if outcome.failed else None)
        for why in filter(None, trouble):
            yield Padding(Text(visible(why, LONG), "red"), (0, 0, 0, 2))
    yield ""
    yield Text(say_states([outcome.line for outcome in outcomes]))
    wrote = [outcome.written for outcome in outcomes if outcome.written and outcome.written.rows]
    if wrote:
        again = " --run NAME=RUN" if any(done.undoes for done in wrote) else ""
        yield Text(
            "A running bot still has the old rows in memory: let it reload them, or restart it. "
            f"`matrix-drift fleet undo{again}` takes {'a run' if again else 'all of this'} back."
        )


def _failed(outcome: Outcome) -> Iterator[RenderableType]:
    yield Text(
        f"{outcome.line.bot}: failed: {visible(outcome.line.reason or '', LONG)}", "bold red"
    )


def _number(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in names:
        numbers = name in ("ROOMS", "UNITS", "TO DECIDE", "BOTS")
        table.add_column(
            name, justify="right" if numbers else "left", no_wrap=name in ("BOT", "STATE")
        )
    table.columns[-1].overflow = "fold"
    return table
