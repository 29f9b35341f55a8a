"""A shadow run in a notebook: its plan with frames, and itself as static HTML.

The only part of the shadow that needs what notebooks need.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import islice

from toolkit.model import Plan, Unit
from toolkit.session.results import ShownPlan
from toolkit.shadow.result import ShadowResult
from toolkit.text.advice import changed_fields, verb
from toolkit.text.html import untypeset
from toolkit.text.visible import visible

SHOWN = 50
"""Fields in a notebook's output; `run.plan.changes()` has them all."""

_LONG = 300
_LEFT = ' style="text-align: left"'
_HEADS = ("Unit", "Row", "", "Field", "Before", "After")


@dataclass(frozen=True, repr=False)
class ShadowPlan(ShownPlan):
    """A shadow run's plan: the frames of any plan, and the run's own words."""

    run: ShadowResult | None = None

    @property
    def _left(self) -> Plan | None:
        return self.value if self.run and self.value is not self.run.value else None

    def __repr__(self) -> str:
        return "\n".join(self.run.lines(self._left)) if self.run else super().__repr__()

    def _repr_html_(self) -> str:
        return run_html(self.run, self._left) if self.run else super()._repr_html_()


def run_html(run: ShadowResult, left: Plan | None = None) -> str:
    """What it would have written field by field, then what was refused and how it ended.

    The run's own words are visible already; made so twice, an escape would be escaped.
    """
    heads = "".join(f"<th{_LEFT}>{head}</th>" for head in _HEADS)
    lines = list(islice(_lines((left or run.value).units), SHOWN + 1))
    rows = "".join(map(_row, lines[:SHOWN]))
    parts = [f"<p><strong>{escape(run.headline(left))}</strong></p>"]
    if rows:
        parts.append(f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>")
    if len(lines) > SHOWN:
        parts.append("<p>… and more: <code>run.plan.changes()</code> has them all.</p>")
    parts += [f"<p>{escape(line)}</p>" for line in run.asides()]
    markup = untypeset("\n".join(parts))
    return f'<div class="tex2jax_ignore mathjax_ignore">\n{markup}\n</div>'


def _lines(units: Sequence[Unit]) -> Iterator[tuple[str, ...]]:
    for unit in units:
        for write in unit.writes:
            for field in changed_fields(write):
                yield (unit.id, write.key, verb(write), *field)


def _row(cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<td{_LEFT}>{_safe(cell)}</td>' for cell in cells)}</tr>"


def _safe(text: str) -> str:
    return escape(visible(text, _LONG))
