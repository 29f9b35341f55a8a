"""Which part of a plan a person looks at, in which order, and what has the same cause. Pure.

Nothing of a plan is changed by it: its counts, and what the exit code says, are those of the whole.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from toolkit.convention import chat_number
from toolkit.errors import ToolkitError
from toolkit.model import Code, Finding, Plan, Status, Unit, UnitKind
from toolkit.quotes import quote_odd
from toolkit.records import parse_key
from toolkit.text.advice import row_name
from toolkit.text.collation import natural_key
from toolkit.text.summary import WORDS


@dataclass(frozen=True)
class View:
    """What is asked for: of several values of one kind any, and something of each kind that is given.

    `summary`: one line per cause instead of each unit; None where that depends on how many there are.
    """

    statuses: Sequence[str] = ()
    users: Sequence[str] = ()
    codes: Sequence[str] = ()
    rooms: Sequence[str] = ()
    summary: bool | None = False

    def __post_init__(self) -> None:
        """Raises `ToolkitError` for a code that there isn't: nothing would be found, and look well."""
        for code in set(self.codes) - {*Code}:
            near = ", ".join(get_close_matches(code, [*Code], n=3))
            hint = f"near it are {near}" if near else "`matrix-drift explain` lists them"
            raise ToolkitError(f"There is no code {quote_odd(code)}; {hint}.")

    @property
    def narrowed(self) -> bool:
        """Whether anything may be left out."""
        return bool(self.statuses or self.users or self.codes or self.rooms)

    def units(self, plan: Plan) -> list[Unit]:
        """Those that are asked for: conflicts first, then by owner and chat as a person would count."""
        return sorted(self.part(plan), key=_place)

    def part(self, plan: Plan) -> list[Unit]:
        """The same in the plan's own order, which programs may count on."""
        return [unit for unit in plan.units if self._shows(unit)]

    def loose(self, plan: Plan) -> list[Finding]:
        """Those of the conflicts that belong to no unit."""
        return [finding for finding in plan.loose if self._shows_loose(finding)]

    def _shows(self, unit: Unit) -> bool:
        codes = {finding.code for finding in unit.findings}
        users = {unit.id, unit.owner, *unit.candidates}
        rooms = {unit.id, *unit.room_ids}
        if unit.kind is UnitKind.USER:
            rooms.add(unit.space_id or "")
        return (
            _meets(self.statuses, {unit.status})
            and _meets(self.users, users)
            and _meets(self.codes, codes)
            and _meets(self.rooms, rooms)
        )

    def _shows_loose(self, finding: Finding) -> bool:
        key = parse_key(finding.key)
        return (
            _meets(self.statuses, {Status.CONFLICT})
            and _meets(self.users, {key.user})
            and _meets(self.codes, {finding.code})
            and _meets(self.rooms, {key.room_id})
        )


EVERYTHING = View()


@dataclass(frozen=True)
class Cluster:
    """What has the same cause: the status that it stands under, the words, and the ids of units or keys."""

    status: Status
    code: Code
    words: str
    ids: tuple[str, ...]


def group_causes(units: Iterable[Unit], loose: Iterable[Finding] = ()) -> list[Cluster]:
    """Each cause once: those of conflicts first, then the most frequent.

    A unit may have several; of one in conflict, what else its rows lack waits for that.
    """
    found: dict[tuple[Status, Code, str], dict[str, None]] = {}
    pairs = [(u.status, u.id, f) for u in units for f in (u.conflicts or u.findings)]
    pairs += [(Status.CONFLICT, finding.key, finding) for finding in loose]
    for status, name, finding in pairs:
        found.setdefault((status, finding.code, say_kind(finding)), {})[name] = None
    clusters = [Cluster(*cause, tuple(names)) for cause, names in found.items()]
    return sorted(clusters, key=lambda c: (c.status is not Status.CONFLICT, -len(c.ids)))


def _meets(asked: Sequence[str], there: Iterable[str | None]) -> bool:
    return not asked or not set(asked).isdisjoint(there)


def _place(unit: Unit) -> tuple[bool | int | str, ...]:
    """A user's own row stands before the chats, and those without a number after them."""
    owner = unit.owner or ""
    number = chat_number(unit.chat_id)
    return (
        unit.status is not Status.CONFLICT,
        not owner,
        natural_key(owner),
        unit.kind is not UnitKind.USER,
        number is None,
        number or 0,
        natural_key((unit.chat_id or "") if unit.row else ""),
        natural_key(unit.id),
    )


def say_kind(finding: Finding) -> str:
    """What is wrong without the values of this one."""
    if finding.code is Code.MISSING_ROW:
        return f"{row_name(finding.key)} is missing"
    if finding.field == "display_name" and isinstance(finding.local, str):
        return "the room was renamed"
    if finding.code is Code.DUPLICATE_ID and finding.field:
        return f"{row_name(finding.key)}: the id is another joined room's"
    if finding.field and finding.code is Code.WRONG_FIELD:
        return f"{row_name(finding.key)}: {finding.field} is wrong"
    return WORDS[finding.code]
