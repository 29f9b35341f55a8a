"""What a shadow run found: a plan, what was refused, how the function ended; and the way to apply units.

A value, complete once the function has ended: what it left running writes nowhere any more.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from toolkit.calls import Reconciled
from toolkit.convention import Convention
from toolkit.database.contract import Store, transactional
from toolkit.database.look import Look, load_look
from toolkit.decisions.decision import user_name
from toolkit.errors import StoreError, ToolkitError
from toolkit.model import Plan, RowWrite, Unit
from toolkit.planning.links.rows import LinkState
from toolkit.progress import Progress
from toolkit.quotes import quote_odd
from toolkit.records import Raw, decode_object, parse_key
from toolkit.repairs import AnyReport, Done, load_past_of
from toolkit.shadow.link_plan import why_only_shown
from toolkit.shadow.plan import rows_before
from toolkit.sources.sides import Sides
from toolkit.text.advice import row_name, verb
from toolkit.text.summary import count_of
from toolkit.text.visible import visible
from toolkit.writing.apply import apply_changes
from toolkit.writing.job import Result, Told, new_job
from toolkit.writing.lineage import Past
from toolkit.writing.link_report import build_link_report
from toolkit.writing.report import build_report
from toolkit.writing.turns import one_at_a_time

if TYPE_CHECKING:
    from toolkit.session.results import Applied

_LONG, _SHOWN = 300, 10


class Seen:
    """The rows and the runs as of the shadow run, or of the last time since that it wrote some."""

    rows: Mapping[str, Raw]
    _past: Past | StoreError

    @classmethod
    async def load(cls, store: Store, rows: Mapping[str, Raw]) -> Self:
        """With the runs that the journal of this store tells of now."""
        seen = cls()
        await seen.move(Sides(Convention(), store=store), rows)
        return seen

    async def move(self, sides: Sides, rows: Mapping[str, Raw]) -> None:
        """These are the rows by now. A journal that can't be read matters only to who asks for the runs."""
        self.rows = rows
        try:
            self._past = await load_past_of(sides, rows)
        except StoreError as error:
            self._past = error

    @property
    def past(self) -> Past:
        """Raises `StoreError` if the journal couldn't be read."""
        if isinstance(self._past, StoreError):
            raise self._past
        return self._past


@dataclass(frozen=True, repr=False)
class ShadowResult:
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
    seen: Seen
    store: Store
    links: LinkState | None = None
    """The rows as the function left them, of a bot of shape links."""
    elsewhere: tuple[str, ...] = ()
    """What it wrote to, by name, that the mapping of such a bot doesn't name."""

    @property
    def sides(self) -> Sides:
        """Where it writes. A store that only reads is opened for that, as a session's database is."""
        store = self.store
        if transactional(store) and store.read_only:
            return Sides(
                Convention(),
                database=store.address,
                table=store.settings,
                backup_dir=store.backup_dir,
            )
        return Sides(Convention(), store=store)

    @property
    def quiet(self) -> bool:
        """Whether it would have written nothing and called nothing."""
        return not (self.value.units or self.refused or self.elsewhere)

    def why_not(self, unit: Unit) -> str | None:
        """Why a unit is shown and can't be applied, or None if it can."""
        if self.links is not None:
            return why_only_shown(unit, self.links)
        for write in unit.writes:
            if not parse_key(write.key).family:
                return f"{quote_odd(write.key)} is none of the rows that the toolkit writes and can take back"
            if not _is_object(write):
                return f"what {self.function} would write into {quote_odd(write.key)} is no JSON object"
        return None

    async def apply(
        self, *unit_ids: str, store: Store | None = None, by: str | None = None
    ) -> "Applied":
        """Write what the function would have written, for the units that a person names.

        Backup, journal and `undo` are those of any run. A unit whose rows changed since the shadow
        run is stale and left alone. `store` is where to write, by default the store of the shadow
        run, opened once more if it only reads. Raises `ToolkitError` for a unit that isn't there or
        can't be applied, before anything is written.
        """
        from toolkit.session.results import Applied  # as above

        units = self.named(unit_ids)
        if not units:
            raise ToolkitError("Name the units to write, such as run.plan.to_frame() shows them.")
        who = dict.fromkeys((unit.id for unit in units), user_name() if by is None else by)
        sides = self.sides if store is None else Sides(Convention(), store=store)
        async with sides.open_store(read_only=False) as target:
            result = await self.write(units, target, who)
            rows = (await load_look(target)).rows
            if self._is_own(target):
                await self._see(rows)
        return Applied(self.report(result), result.record, result.left, warning=result.warning)

    def named(self, unit_ids: Iterable[str]) -> list[Unit]:
        """The units of these names. Raises `ToolkitError` for one that isn't there or is only shown."""
        return [self._named(unit_id) for unit_id in dict.fromkeys(unit_ids)]

    async def write(
        self,
        units: Sequence[Unit],
        store: Store,
        by: Mapping[str, str],
        progress: Progress | None = None,
        until: float | None = None,
        told: Told | None = None,
    ) -> Result:
        """Write units of its plan, each only while all that it rests on is as the function met it.

        No unit is begun past `until`, by the monotonic clock. `told` hears of the run.
        """
        wanted = {unit.id for unit in units}
        units = [unit for unit in self.value.units if unit.id in wanted]
        async with one_at_a_time(store):
            now = (await load_look(store)).rows
            # Without its token, which is of no use in another connection.
            look = Look(rows_before(self.value, self.look.rows, now))
            job = new_job(
                self.value,
                units,
                look,
                "shadow",
                datetime.now(UTC),
                by=by,
                until=until,
                progress=progress,
                told=told,
            )
            return await apply_changes(job, store, None)

    def report(self, result: Result) -> AnyReport:
        """What came of writing, told as the bot's own functions tell it."""
        return self.done(result).report

    def done(self, result: Result) -> Done:
        """The same, with what the writer says of its run."""
        units = tuple(unit for unit in self.value.units if unit.id in result.outcomes)
        plan = Plan(account=self.value.account, joined=(), units=units)
        if self.links is None:
            return Reconciled(build_report(plan, result.reasons), result)
        return Reconciled(build_link_report(plan, result.reasons, self.links.table.room), result)

    def _is_own(self, store: Store) -> bool:
        """Whether it is the database of the shadow run, whoever has opened it."""
        if not (transactional(store) and transactional(self.store)):
            return store is self.store
        return store.identity == self.store.identity

    async def _see(self, rows: dict[str, Raw]) -> None:
        """Remember the rows and runs as they are after a run."""
        await self.seen.move(self.sides, rows)

    def _named(self, unit_id: str) -> Unit:
        unit = self.value.unit(unit_id)
        if unit is None:
            raise ToolkitError(
                f"{self.function} would have written nothing for {unit_id!r}{self._others()}; "
                "nothing was written."
            )
        if why := self.why_not(unit):
            raise ToolkitError(f"Can't apply {unit_id!r}: {why}; nothing was written.")
        return unit

    def _others(self) -> str:
        ids = [quote_odd(unit.id) for unit in self.value.units]
        more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
        return f", but for {', '.join(ids[:_SHOWN])}{more}" if ids else " and for no other unit"

    def lines(self, left: Plan | None = None) -> Iterator[str]:
        """The run in words, without values of rows; of its plan what is `left`, by default all."""
        yield self.headline(left)
        units = (left or self.value).units
        named = [f"{quote_odd(unit.id)} ({_verbs(unit) or 'moved since'})" for unit in units]
        yield from _listed(named)
        yield from self.asides()

    def headline(self, left: Plan | None = None) -> str:
        """Whose run it was, and how much it would have written."""
        if left is not None:
            return f"Left of what {visible(self.function)} would have written: {_much(left)}."
        return f"Nothing was written; {self.told()}"

    def told(self) -> str:
        """How much it would have written, of which some may be written by now."""
        return f"{visible(self.function)} would have written {_much(self.value)}."

    def asides(self) -> Iterator[str]:
        """What else there is to say of it: refused calls, its exception, rows written in vain."""
        if self.refused:
            yield f"Refused: {count_of(len(self.refused), 'call')}:"
            yield from _listed(self.refused)
        if self.raised is not None:
            yield f"It raised {visible(self.raised, _LONG)}"
        elif self.returned != "None":
            yield f"It returned {visible(self.returned, _LONG)}"
        if self.elsewhere:
            names = ", ".join(map(quote_odd, self.elsewhere))
            yield f"It wrote to more than the mapping names, which is never written here: {names}"
        if self.rewritten:
            yield f"Written with what they hold already: {count_of(self.rewritten, 'row')}."
        if self.warning:
            yield visible(self.warning, _LONG)

    def __repr__(self) -> str:
        return "\n".join(self.lines())


def _is_object(write: RowWrite) -> bool:
    try:
        decode_object(write.after)
    except ValueError:
        return False
    return True


def _much(plan: Plan) -> str:
    units = [unit for unit in plan.units if unit.change]
    rows = sum(len(unit.writes) for unit in units)
    return f"{count_of(rows, 'row')} in {count_of(len(units), 'unit')}" if rows else "nothing"


def _verbs(unit: Unit) -> str:
    writes = unit.writes
    return ", ".join(f"{verb(write)} {row_name(write.key)}" for write in writes)


def _listed(texts: Sequence[str]) -> Iterator[str]:
    for text in texts[:_SHOWN]:
        yield f"  {visible(text, _LONG)}"
    if len(texts) > _SHOWN:
        yield f"  … and {len(texts) - _SHOWN} more"
