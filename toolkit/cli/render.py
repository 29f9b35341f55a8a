"""Plans, and what is new in them, as text for a terminal.

Only shows: what stands here was decided in `plan` and said in `advice`. Every text from the homeserver
or the rows passes `visible`, and none is ever read as markup.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from toolkit.cli.case_tables import LONG, CaseTables
from toolkit.cli.decided import render_decided, render_ignored
from toolkit.cli.render_written import render_writes
from toolkit.cli.verdict import render_verdict
from toolkit.decisions.case import Casebook
from toolkit.decisions.ledger import Vote
from toolkit.decisions.record import NOTHING_DECIDED, Record
from toolkit.model import Finding, Plan, Rung, Status, Unit, UnitKind
from toolkit.text.advice import (
    action,
    loose_action,
    unit_name,
    what,
)
from toolkit.text.near import say_none
from toolkit.text.new_database import tell_new_database
from toolkit.text.summary import OTHERS, count_of
from toolkit.text.view import EVERYTHING, Cluster, View, group_causes
from toolkit.text.visible import visible
from toolkit.watch.news import News

_STYLES = {
    Status.MISSING: "yellow",
    Status.MISMATCHED: "cyan",
    Status.CONFLICT: "bold red",
}
_MARKS = {Status.MISSING: "+ ", Status.MISMATCHED: "~ ", Status.CONFLICT: "? "}
_SHOWN_KEYS = 20
_EXAMPLES = 3


# Checking


def render_check(
    plan: Plan,
    view: View = EVERYTHING,
    record: Record = NOTHING_DECIDED,
    cases: Casebook | None = None,
) -> Iterator[RenderableType]:
    """Counts of all, then what is wrong with each unit that is asked for, and what to do next.

    `cases` knows the facts of those in conflict.
    """
    yield _counts(plan, record)
    yield from render_new_database(plan)
    yield from render_decided(record)
    units = record.open(view.units(plan))
    yield from _shown(plan, view, units)
    if view.summary:
        yield from _causes(group_causes(units, view.loose(plan)))
    elif units:
        yield ""
        yield _units_table(units, record, CaseTables(cases))
    asides = [*render_ignored(view.units(plan), record), *_asides(plan, view)]
    yield from asides
    if asides or view.summary or not units:  # each unit ends with an empty line
        yield ""
    yield from _hint(view)
    yield render_verdict(plan, record)


def render_news(
    words: str, plan: Plan, view: View, news: News, record: Record, cases: Casebook | None = None
) -> Iterator[RenderableType]:
    """When and why there was a look, what is new as `check` shows it, what is settled, and how much is left."""
    yield ""
    yield _line(words, "bold")
    told = {*news.appeared, *news.changed}
    units = [unit for unit in record.open(view.units(plan)) if unit.id in told]
    if units:
        yield _units_table(units, record, CaseTables(cases))
    for finding in (*view.loose(plan), *plan.notes):
        if finding.id in told:
            yield _line(_note(finding))
    for title, names in (
        ("Orphaned", [key for key in plan.orphans if key in told]),
        ("Settled", news.settled),
    ):
        if names:
            yield _line(f"{title}:")
            yield _listed([visible(name, LONG) for name in names[:_SHOWN_KEYS]], len(names))
    left = len(record.open(plan.units)) + len(plan.loose)
    yield (
        _line(f"In drift now: {count_of(left, 'unit')}.") if left else render_verdict(plan, record)
    )


def render_new_database(plan: Plan) -> Iterator[RenderableType]:
    """Of a database that is looked at as empty: where it is, and what comes back into it."""
    yield from (_line(visible(line, LONG)) for line in tell_new_database(plan))


def _shown(plan: Plan, view: View, units: Sequence[Unit]) -> Iterator[RenderableType]:
    """How much of the whole is left out."""
    if not view.narrowed:
        return
    yield _line(f"{'Shown:':<12}{len(units):,} of {count_of(len(plan.units), 'unit')}")
    if not units and not view.loose(plan):
        yield from (_line(visible(why, LONG), "yellow") for why in say_none(plan, view))


def _causes(clusters: Sequence[Cluster]) -> Iterator[RenderableType]:
    """One line per cause, with the first of those that have it."""
    if not clusters:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("COUNT", justify="right")
    table.add_column("STATUS", no_wrap=True)
    table.add_column("CODE: WHAT IS WRONG", overflow="fold")
    table.add_column("SUCH AS", overflow="fold")
    for found in clusters:
        some = ", ".join(visible(name) for name in found.ids[:_EXAMPLES])
        table.add_row(
            f"{len(found.ids):,}",
            Text(_marked(found.status), _STYLES.get(found.status, "")),
            Text(visible(f"{found.code.value}: {found.words}")),
            Text(some + (", …" if len(found.ids) > _EXAMPLES else "")),
        )
    yield ""
    yield table


def _counts(plan: Plan, record: Record) -> Text:
    """How many user rows and rooms stand how."""
    units = record.open(plan.units)
    of = {kind: Counter(unit.status for unit in units if unit.kind is kind) for kind in UnitKind}
    of[UnitKind.ROOM][Status.IN_SYNC] = len(plan.in_sync_rooms)
    of[UnitKind.USER][Status.IN_SYNC] = len(plan.in_sync_users)
    text = Text()
    if plan.account:
        joined = count_of(len(plan.joined), "room")
        text.append(f"{visible(plan.account)} is in {joined}.\n")
    for kind, name in ((UnitKind.ROOM, plan.words.rooms), (UnitKind.USER, plan.words.rows)):
        if not name:
            continue
        counts = [(status, of[kind][status]) for status in Status if of[kind][status]]
        text.append(f"{name + ':':<12}")
        for index, (status, count) in enumerate(counts):
            text.append(", " if index else "")
            text.append(f"{count} {_word(status)}", _STYLES.get(status, ""))
        if ignored := sum(u.kind is kind and u.id in record.ignored for u in plan.units):
            text.append(f"{', ' if counts else ''}{ignored} ignored")
        text.append("none\n" if not (counts or ignored) else "\n")
    text.append(f"{'Besides:':<12}{count_of(len(plan.skipped), 'room')} skipped, ")
    text.append(f"{count_of(len(plan.orphans), 'row')} orphaned")
    if count := plan.others:
        text.append(f"\n{'Other rows:':<12}{count:,} ({OTHERS})")
    return text


def _units_table(units: Iterable[Unit], record: Record, cases: CaseTables) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("STATUS", no_wrap=True)
    table.add_column("UNIT: WHAT IS WRONG, WHY, AND WHAT NEXT", overflow="fold")
    for unit in units:
        status = Text(_standing(unit, record), _STYLES.get(unit.status, ""))
        table.add_row(status, Group(_unit_head(unit), *_told(unit, cases), ""))
    return table


def _unit_head(unit: Unit) -> Text:
    name = unit_name(unit)
    text = Text(visible(unit.id), "bold")
    return text.append(f"  {visible(name)}", "not bold") if name else text


def render_unit(unit: Unit, cases: CaseTables) -> Iterator[RenderableType]:
    """What a unit is called, what is wrong with it, and the facts that may settle it."""
    yield _unit_head(unit)
    yield from _findings(unit.findings)
    yield from cases.of(unit)


def _findings(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    """What is wrong, rows with the same cause together."""
    for cause in dict.fromkeys(finding.cause for finding in findings):
        facts = "; ".join(visible(what(f), LONG) for f in findings if f.cause == cause)
        yield Text(facts)
        yield Padding(Text(visible(cause, LONG), "dim"), (0, 0, 0, 2))


def _told(unit: Unit, cases: CaseTables) -> Iterator[RenderableType]:
    """What is wrong, the facts that may settle it, and what to do."""
    yield from _findings(unit.findings)
    yield from cases.of(unit)
    yield _next(unit)


def _next(unit: Unit) -> Text:
    return Text(f"→ {visible(action(unit), LONG)}", "cyan")


def _hint(view: View) -> Iterator[RenderableType]:
    """How to see more than causes."""
    if view.summary:
        yield _line(
            "`--no-summary` shows each unit; `--status`, `--user`, `--code` and `--room` those you name."
        )


def _asides(plan: Plan, view: View = EVERYTHING) -> Iterator[RenderableType]:
    """What belongs to no unit: skipped rooms, orphaned rows, notes; and of a part, its conflicts."""
    if not view.summary:
        yield from render_loose(view.loose(plan))
    if view.narrowed:
        return
    if plan.skipped:
        reasons = Counter(skip.reason.value for skip in plan.skipped)
        words = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        yield _line(f"{plan.words.skipped}: {words}.")
    if plan.orphans:
        yield _line("Orphaned rows, which belong to no joined room and are never deleted:")
        yield _listed([visible(key, LONG) for key in plan.orphans[:_SHOWN_KEYS]], len(plan.orphans))
    if plan.notes:
        yield _line("Notes:")
        notes = sorted(
            plan.notes, key=lambda note: not note.open
        )  # what forbids "in sync" is shown
        yield _listed([_note(note) for note in notes[:_SHOWN_KEYS]], len(notes))


def render_loose(findings: Iterable[Finding]) -> Iterator[RenderableType]:
    """Conflicts about rows of no unit, and what a person can do about each."""
    for finding in findings:
        yield _line(f"Conflict: {_note(finding)}")
        yield Padding(Text(f"→ {visible(loose_action(finding), LONG)}", "cyan"), (0, 0, 0, 2))


def _standing(unit: Unit, record: Record) -> str:
    """The status, and what was decided about it."""
    vote = record.vote(unit)
    return _marked(unit.status) + ("" if vote is Vote.PENDING else f", {vote.value}")


# Planning, writing


def render_plan(
    plan: Plan,
    view: View = EVERYTHING,
    record: Record = NOTHING_DECIDED,
    cases: Casebook | None = None,
) -> Iterator[RenderableType]:
    """Which units wait for a decision, and what would be written, field by field."""
    units = record.open(view.units(plan))
    yield from render_new_database(plan)
    yield from _shown(plan, view, units)
    yield from render_planned(units, view, cases)
    if view.summary:
        yield from _causes(group_causes((), view.loose(plan)))
    yield from render_ignored(view.units(plan), record)
    yield from _asides(plan, view)
    yield from _hint(view)
    yield render_verdict(plan, record, shown=True)


def render_planned(
    units: Iterable[Unit], view: View = EVERYTHING, cases: Casebook | None = None
) -> Iterator[RenderableType]:
    """These units, those that a person decides first."""
    units = list(units)
    ready = [unit for unit in units if unit.certain]
    open_ = [unit for unit in units if not unit.certain]
    if open_:
        yield _line(f"For a person to decide: {count_of(len(open_), 'unit')}", "bold")
        tables = CaseTables(cases)
        yield from _causes(group_causes(open_)) if view.summary else _decisions(open_, tables)
        yield ""
    if ready:
        yield _line(f"Ready to be written: {count_of(len(ready), 'unit')}", "bold")
        if view.summary:
            yield from _causes(group_causes(ready))
            yield ""
        else:
            yield from render_changes(ready)


def _decisions(units: Iterable[Unit], cases: CaseTables) -> Iterator[RenderableType]:
    """Units with what is wrong, what to do about it, and what would then be written."""
    for unit in units:
        yield ""
        yield _unit_head(unit)
        yield Padding(Group(*_told(unit, cases)), (0, 0, 0, 2))
        if unit.change:
            yield _writes(unit)


def render_changes(units: Iterable[Unit]) -> Iterator[RenderableType]:
    """Units with the rows that would be written, field by field."""
    units = list(units)
    for unit in units:
        yield ""
        yield _unit_head(unit)
        if unit.evidence.rung is not Rung.NONE:
            yield Padding(_line(f"known by {unit.evidence.rung.value}", "dim"), (0, 0, 0, 2))
        yield _writes(unit)
    if units:
        yield ""


def _writes(unit: Unit) -> RenderableType:
    return Padding(render_writes(unit.writes), (0, 0, 0, 2))


def render_undo(plan: Plan) -> Iterator[RenderableType]:
    """What taking back a run would write, and what it would leave as it is."""
    yield from render_changes(unit for unit in plan.units if unit.change)
    for unit in plan.units:
        for finding in unit.findings:
            yield _line(f"Stays: {_note(finding)}")


# Words


def _line(text: str, style: str = "") -> Text:
    return Text(text, style)


def _listed(shown: Sequence[str], count: int) -> RenderableType:
    """The first lines of so many."""
    lines = [Text(text) for text in shown]
    if count > len(shown):
        lines.append(Text(f"… and {count - len(shown)} more; --json has them all"))
    return Padding(Group(*lines), (0, 0, 0, 2))


def _note(finding: Finding) -> str:
    """Made visible in parts: where a key ends could not be seen in the middle of a line."""
    about = f"{visible(finding.key, LONG)}: " if finding.key else ""
    return about + visible(finding.cause, LONG)


def _marked(status: Status) -> str:
    """A status with the mark of what is to be done: to insert, to change, to decide."""
    return _MARKS.get(status, "") + _word(status)


def _word(status: Status) -> str:
    return status.value.replace("_", " ")
