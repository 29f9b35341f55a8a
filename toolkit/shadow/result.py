"""What a shadow run found: a plan, what was refused, how the function ended; and the way to apply units.

A value, complete once the function has ended: what it left running writes nowhere any more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from toolkit.advice import row_name, verb
from toolkit.agreement import user_name
from toolkit.apply import apply_changes
from toolkit.errors import ToolkitError
from toolkit.job import Look, new_job, one_at_a_time
from toolkit.model import Plan, RowWrite, Unit
from toolkit.records import FAMILIES, Raw, decode_object
from toolkit.store import Store
from toolkit.summary import count_of
from toolkit.visible import visible

if TYPE_CHECKING:
    from toolkit.shown import Applied, ShownPlan

_LONG, _SHOWN = 300, 10


@dataclass(frozen=True, repr=False)
class ShadowRun:
    """What a function would have done, had it been run on the real client and store.

    `value` is the plan as a value, `refused` the calls that were not let through, `raised` the
    function's own exception and `returned` its result, both as short texts. `rewritten` counts rows
    that it wrote with what they hold already. `warning` is set if the rows changed while it ran.
    """

    function: str
    value: Plan
    refused: tuple[str, ...]
    raised: str | None
    returned: str
    rewritten: int
    warning: str
    look: Look
    store: Store
    _applied: dict[str, Raw] = field(default_factory=dict)

    @property
    def plan(self) -> "ShownPlan":
        """The plan with its frames; needs what notebooks need."""
        from toolkit.shadow.shown import ShadowPlan  # pandas takes its time to load

        return ShadowPlan(self.value, run=self)

    @property
    def quiet(self) -> bool:
        """Whether it would have written nothing and called nothing."""
        return not (self.value.units or self.refused)

    def why_not(self, unit: Unit) -> str | None:
        """Why a unit is shown and can't be applied, or None if it can."""
        for write in unit.change.writes if unit.change else ():
            if not write.key.startswith(FAMILIES):
                return f"{write.key} is none of the rows that the toolkit writes and can take back"
            if not _is_object(write):
                return f"what {self.function} would write into {write.key} is no JSON object"
        return None

    async def apply(
        self, *unit_ids: str, store: Store | None = None, by: str | None = None
    ) -> "Applied":
        """Write what the function would have written, for the units that a person names.

        Backup, journal and `undo` are those of any run. A unit whose rows changed since the shadow
        run is stale and left alone. `store` is where to write, by default the store of the shadow
        run. Raises `ToolkitError` for a unit that isn't there or can't be applied, before anything
        is written.
        """
        from toolkit.shadow.shown import applied_of

        units = [self._named(unit_id) for unit_id in dict.fromkeys(unit_ids)]
        if not units:
            raise ToolkitError("Name the units to write, such as run.plan.to_frame() shows them.")
        target = self.store if store is None else store
        who = dict.fromkeys((unit.id for unit in units), user_name() if by is None else by)
        async with one_at_a_time(target):
            # Without its token, which is of no use in another connection; with what we wrote since.
            look = Look(self.look.rows | self._applied)
            job = new_job(self.value, units, look, "shadow", datetime.now(UTC), by=who)
            result = await apply_changes(job, target, None)
        for unit in units:
            if result.outcomes[unit.id].applied and unit.change:
                self._applied.update({write.key: write.after for write in unit.change.writes})
        return applied_of(units, result, target)

    def _named(self, unit_id: str) -> Unit:
        unit = self.value.unit(unit_id)
        if unit is None:
            raise ToolkitError(
                f"{self.function} would have written nothing for {unit_id!r}; "
                "run.plan.to_frame() names the units."
            )
        if why := self.why_not(unit):
            raise ToolkitError(f"Can't apply {unit_id!r}: {why}.")
        return unit

    def lines(self) -> Iterator[str]:
        """The run in words, without values of rows."""
        yield self.headline()
        yield from _listed([f"{unit.id} ({_verbs(unit)})" for unit in self.value.units])
        yield from self.asides()

    def headline(self) -> str:
        """Whose run it was, and how much it would have written."""
        units = self.value.units
        rows = sum(len(unit.change.writes) for unit in units if unit.change)
        much = f"{count_of(rows, 'row')} in {count_of(len(units), 'unit')}" if rows else "nothing"
        return f"Nothing was written; {visible(self.function)} would have written {much}."

    def asides(self) -> Iterator[str]:
        """What else there is to say of it: refused calls, its exception, rows written in vain."""
        if self.refused:
            yield f"Refused: {count_of(len(self.refused), 'call')}:"
            yield from _listed(self.refused)
        if self.raised is not None:
            yield f"It raised {visible(self.raised, _LONG)}"
        elif self.returned != "None":
            yield f"It returned {visible(self.returned, _LONG)}"
        if self.rewritten:
            yield f"Written with what they hold already: {count_of(self.rewritten, 'row')}."
        if self.warning:
            yield self.warning

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        from toolkit.shadow.shown import run_html

        return run_html(self)


def _is_object(write: RowWrite) -> bool:
    try:
        decode_object(write.after)
    except ValueError:
        return False
    return True


def _verbs(unit: Unit) -> str:
    writes = unit.change.writes if unit.change else ()
    return ", ".join(f"{verb(write)} {row_name(write.key)}" for write in writes)


def _listed(texts: Sequence[str]) -> Iterator[str]:
    for text in texts[:_SHOWN]:
        yield f"  {visible(text, _LONG)}"
    if len(texts) > _SHOWN:
        yield f"  … and {len(texts) - _SHOWN} more"
