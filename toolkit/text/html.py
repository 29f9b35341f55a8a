"""A plan as a notebook shows it: static HTML and plain text, without scripts, classes or pictures.

GitHub takes styles and classes away, JupyterLab typesets what looks like TeX: it must read well without
the first and in spite of the second. What strangers wrote is made visible, then escaped.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

from toolkit.model import Plan, Status, Unit
from toolkit.text.advice import NOTEBOOK, action, unit_name
from toolkit.text.new_database import tell_new_database
from toolkit.text.summary import OTHERS, Summary, count_of, urgent_units
from toolkit.text.visible import visible

SHOWN = 50
"""Units in a notebook's output; a frame has them all."""

_LONG = 500
# Of JupyterLab's colours those that the review table has; words in them would be hard to read.
_COLOURS = {
    Status.MISSING: "var(--jp-warn-color1)",
    Status.MISMATCHED: "var(--jp-info-color1)",
    Status.CONFLICT: "var(--jp-error-color1)",
}
_TEX = re.compile(r"[$\\]")
_CODE = re.compile(r"`([^`]*)`")
_LEFT = ' style="text-align: left"'


def untypeset(markup: str) -> str:
    r"""Markup in which MathJax finds no formula: it never looks across the borders of an element.

    >>> untypeset("a $x^2$ b")
    'a <span>$</span>x^2<span>$</span> b'

    Backslashes go the same way, for `\(x\)` and `\begin{align}`; attributes must hold neither.
    """
    return _TEX.sub(r"<span>\g<0></span>", markup)


def plan_html(summary: Summary, plan: Plan, decided: Mapping[str, str] | None = None) -> str:
    """Counts, causes, the next thing to do, and the units that matter most, as static HTML."""
    parts = [
        f"<p><strong>{_safe(_heading(summary))}</strong></p>",
        _counts_table(summary),
        *(f"<p>{_safe(line)}</p>" for line in (*tell_new_database(plan), *_besides(summary))),
        _causes_list(summary),
        f"<p><strong>Next:</strong> {_marked(summary.next)}</p>",
        _units_table(plan, decided or {}),
    ]
    markup = untypeset("\n".join(part for part in parts if part))
    return f'<div class="tex2jax_ignore mathjax_ignore">\n{markup}\n</div>'


def plan_text(summary: Summary, plan: Plan, decided: Mapping[str, str] | None = None) -> str:
    """The same as lines of text."""
    lines = [_seen(_heading(summary)), *_counts_lines(summary)]
    lines += map(_seen, (*tell_new_database(plan), *_besides(summary)))
    lines += [f"  {c.count:,} × {c.words}" for c in summary.causes]
    lines.append(f"Next: {_seen(summary.next)}")
    for unit in urgent_units(plan.units)[:SHOWN]:
        lines += ["", *_unit_lines(unit, decided or {})]
    if more := _more(plan):
        lines += ["", more]
    return "\n".join(lines)


# Counts


def _heading(summary: Summary) -> str:
    return f"{summary.account} is in {count_of(summary.joined, 'room')}."


def _tables(summary: Summary) -> tuple[tuple[str, Mapping[Status, int]], ...]:
    words = summary.words
    tables = ((words.rooms, summary.rooms), (words.rows, summary.users))
    return tuple((name, counts) for name, counts in tables if name)


def _counts_table(summary: Summary) -> str:
    heads = "".join(f"<th{_LEFT}>{_word(status)}</th>" for status in summary.rooms)
    rows = [
        f"<tr><th{_LEFT}>{name}</th>"
        + "".join(f"<td{_LEFT}>{count:,}</td>" for count in counts.values())
        + "</tr>"
        for name, counts in _tables(summary)
    ]
    return _table(f"<th></th>{heads}", rows)


def _counts_lines(summary: Summary) -> Iterator[str]:
    for name, counts in _tables(summary):
        words = [f"{count:,} {_word(status)}" for status, count in counts.items() if count]
        yield f"{name + ':':<11} {', '.join(words) or 'none'}"


def _besides(summary: Summary) -> Iterator[str]:
    """What is no unit, and what was decided; only what there is."""
    if summary.skipped:
        reasons = ", ".join(
            f"{count:,} {reason.value.replace('_', ' ')}"
            for reason, count in summary.skipped.items()
        )
        yield f"{summary.words.skipped}: {reasons}."
    counts = {
        "orphaned row": summary.orphans,
        "note": summary.notes,
        "unreadable row": summary.loose,
    }
    if told := [count_of(count, noun) for noun, count in counts.items() if count]:
        yield f"Besides: {', '.join(told)}."
    if summary.others:
        yield f"Other rows: {summary.others:,} ({OTHERS})."
    if words := [f"{count:,} {name}" for name, count in summary.decided.items() if count]:
        yield f"Decided: {', '.join(words)}."


def _causes_list(summary: Summary) -> str:
    if not summary.causes:
        return ""
    items = (f"<li>{c.count:,} × {_safe(c.words)}</li>" for c in summary.causes)
    return f"<ul>{''.join(items)}</ul>"


# Units


def _units_table(plan: Plan, decided: Mapping[str, str]) -> str:
    if not plan.units:
        return ""
    heads = ("Status", "Unit", "Cause, and what next")
    rows = [_unit_row(unit, decided) for unit in urgent_units(plan.units)[:SHOWN]]
    table = _table("".join(f"<th{_LEFT}>{head}</th>" for head in heads), rows)
    more = _more(plan)
    return f"{table}\n<p>{_marked(more)}</p>" if more else table


def _unit_row(unit: Unit, decided: Mapping[str, str]) -> str:
    """Long ids and sentences stand below each other, so that the table fits beside a notebook's files."""
    edge = f"border-left: 4px solid {_COLOURS.get(unit.status, 'transparent')}"
    name, id_ = unit_name(unit), f"<code>{_safe(unit.id)}</code>"
    who = f"{_safe(name)}<br>{id_}" if name else id_
    return (
        f'<tr><td style="text-align: left; {edge}">{_status(unit, decided)}</td>'
        f"<td{_LEFT}>{who}</td>"
        f"<td{_LEFT}>{_safe(_cause(unit))}<br>→ {_safe(action(unit, NOTEBOOK))}</td></tr>"
    )


def _unit_lines(unit: Unit, decided: Mapping[str, str]) -> Iterator[str]:
    name = unit_name(unit)
    yield f"{_status(unit, decided)}: {_seen(unit.id)}" + (f"  {_seen(name)}" if name else "")
    yield f"  {_seen(_cause(unit))}"
    yield f"  → {_seen(action(unit, NOTEBOOK))}"


def _status(unit: Unit, decided: Mapping[str, str]) -> str:
    vote = decided.get(unit.id, "pending")
    return _word(unit.status) if vote == "pending" else f"{_word(unit.status)}, {_seen(str(vote))}"


def _cause(unit: Unit) -> str:
    return "; ".join(dict.fromkeys(finding.cause for finding in unit.findings))


def _more(plan: Plan) -> str:
    left = len(plan.units) - SHOWN
    return f"… and {left:,} more: `session.plan.to_frame()` has them all." if left > 0 else ""


# Words


def _table(heads: str, rows: Sequence[str] | Iterable[str]) -> str:
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _word(status: Status) -> str:
    return status.value.replace("_", " ")


def _seen(text: str) -> str:
    return visible(text, _LONG)


def _safe(text: str) -> str:
    return escape(_seen(text))


def _marked(text: str) -> str:
    """What stands between backticks is code; a stray one of a stranger's makes no markup but that."""
    return _CODE.sub(r"<code>\1</code>", _safe(text))
