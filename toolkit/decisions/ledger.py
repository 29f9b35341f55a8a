"""What a person decided about each unit, and the file beside the database that keeps it.

A vote is about the change that was shown: when another one is planned by now, the unit is pending
again. The file is the one that `matrix-drift apply --decisions` takes: a line for each unit, sorted,
without times, so that git shows what changed.
"""

import json
import os
import re
import secrets
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import msgspec

from toolkit.database.files import share_like
from toolkit.decisions.decision import Decision, agreed_units, read_decisions, user_name
from toolkit.errors import SnapshotError, ToolkitError
from toolkit.model import NO_CHOICES, Choices, Plan, Unit
from toolkit.text.advice import action

VERSION = 1
_FEW = 1000
"""Decisions at once from which on the file's text is made anew."""


class Vote(StrEnum):
    """How a unit stands with the person who decides."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    DEFERRED = "deferred"


_SECTIONS = {
    "decisions": Vote.APPROVED,
    "rejected": Vote.REJECTED,
    "deferred": Vote.DEFERRED,
}


_NO = Decision(agreed=False)


class Ledger(msgspec.Struct, frozen=True, dict=True):
    """Votes by unit; a value: deciding makes another one."""

    votes: dict[str, tuple[Vote, Decision]] = {}

    def decide(self, vote: Vote, decisions: Mapping[str, Decision]) -> Self:
        """The same with these units decided; `PENDING` takes decisions back."""
        kept = self.votes.copy()
        choices = self.choices.copy()
        for unit in decisions:
            kept.pop(unit, None)
            choices.pop(unit, None)
        if vote is not Vote.PENDING:
            kept |= {unit: (vote, decision) for unit, decision in decisions.items()}
        if vote is Vote.APPROVED:
            choices |= _picks(decisions)
        made = type(self)(kept)
        first, decided = self._since
        made.__dict__["choices"] = choices
        made.__dict__["_since"] = first, decided.union(decisions)
        return made

    @cached_property
    def _since(self) -> tuple[dict[str, tuple[Vote, Decision]], frozenset[str]]:
        """The votes of the ledger that this one was made from by deciding, and what was decided since."""
        return self.votes, frozenset()

    def settled(self) -> Self:
        """The same ledger, from which what is decided next is told."""
        made = type(self)(self.votes)
        made.__dict__["choices"] = self.choices
        return made

    def decided_since(self, other: "Ledger") -> frozenset[str] | None:
        """What was decided, and may stand otherwise than in the other ledger; None if that isn't known."""
        first, decided = self._since
        return decided if first is other.votes else None

    @property
    def approved(self) -> dict[str, Decision]:
        """What `reconcile_matrix_state` takes."""
        return {u: decision for u, (vote, decision) in self.votes.items() if vote is Vote.APPROVED}

    @cached_property
    def choices(self) -> dict[str, Choices]:
        """What was picked, for the planner; also for approvals that their change has outlived."""
        return _picks(self.approved)

    def moved(self, plan: Plan) -> set[str]:
        """Units whose vote was about another change than the plan holds now."""
        return {unit.id for unit in plan.units if self.outlived(unit)}

    def outlived(self, unit: Unit) -> bool:
        """Whether the vote on a unit was about another change than it has now."""
        return unit.id in self.votes and not self._fits(unit)

    def vote_on(self, unit: Unit) -> Vote:
        """The vote on a unit by itself, whatever goes along with what."""
        if unit.id in self.votes and self._fits(unit):
            return self.votes[unit.id][0]
        return Vote.PENDING

    @property
    def decisions(self) -> dict[str, Decision]:
        """Every vote as the bot's function takes it. What is no yes is a no, also to going along."""
        return {
            unit: decision if vote is Vote.APPROVED else _NO
            for unit, (vote, decision) in self.votes.items()
        }

    def binding(self, plan: Plan) -> dict[str, Decision]:
        """What to hand to the bot's function: each approval that holds, and what goes along with it.

        Approvals of what the plan no longer holds are left out; picks under the id of a Space that
        is called by its owner since then still count.
        """
        moved, there = self.moved(plan), {unit.id for unit in plan.units}
        given = {
            unit: _NO if unit in moved else decision
            for unit, decision in self.decisions.items()
            if unit in there or decision.change is None
        }
        along = (unit for unit in agreed_units(plan, given) if unit.id not in given)
        return given | as_shown(along)

    def standing(self, plan: Plan) -> dict[str, Vote]:
        """The vote on each unit of the plan; a user row goes with an approved room."""
        standing = {unit.id: self.vote_on(unit) for unit in plan.units}
        along = agreed_units(plan, self.binding(plan))
        return standing | {unit.id: Vote.APPROVED for unit in along}

    def _fits(self, unit: Unit) -> bool:
        vote, decision = self.votes[unit.id]
        if decision.change is None and (vote is Vote.APPROVED or not decision.agreed):
            return True  # a yes to whatever it leads to, or a no to all
        return unit.change.agreed_in(decision.change) if unit.change else decision.change is None


def _picks(decisions: Mapping[str, Decision]) -> dict[str, Choices]:
    picked = {unit: decision.choices for unit, decision in decisions.items()}
    return {unit: choices for unit, choices in picked.items() if choices != NO_CHOICES}


def as_shown(units: Iterable[Unit]) -> dict[str, Decision]:
    """The vote of whoever sits here on each unit's change; without one, on there being none."""
    by = user_name()
    return {
        unit.id: Decision(unit.change.fingerprint if unit.change else None, unit.choices, by)
        for unit in units
    }


# The file


def load_ledger(path: Path) -> Ledger:
    """Read such a file, also one whose last line was deleted. Raises `SnapshotError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SnapshotError(f"Can't read the decisions {path}: {error.strerror}.") from None
    except UnicodeError:
        raise SnapshotError(f"Can't read the decisions {path}: it is not UTF-8.") from None
    value = _parse(path, text)
    if not isinstance(value, dict) or not isinstance(value.get("decisions"), dict):
        raise SnapshotError(
            f"{path} holds no decisions; `matrix-drift plan --out FILE` makes some."
        )
    if value.get("version") != VERSION:
        raise SnapshotError(
            f"The decisions {path} have version {value.get('version')!r}, and this matrix-drift "
            f"reads {VERSION}."
        )
    ledger = Ledger()
    for section, vote in _SECTIONS.items():
        found = _read_section(path, value.get(section, {}))
        ledger = ledger.decide(vote, found)
        if vote is Vote.APPROVED:
            no = {unit: decision for unit, decision in found.items() if not decision.agreed}
            ledger = ledger.decide(Vote.REJECTED, no)
    return ledger


def save_ledger(path: Path, ledger: Ledger, plan: Plan, like: Path | None = None) -> None:
    """Write the file whole or not at all, no wider open than the file `like`.

    Raises `SnapshotError`.
    """
    write_text(path, dump_ledger(ledger, plan), like)


def write_text(path: Path, text: str, like: Path | None = None) -> None:
    """The same for the text of a file of decisions."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        handle = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            if like is not None:
                share_like(handle, like)
            with open(handle, "w", encoding="ascii") as file:
                file.write(text)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SnapshotError(f"Can't write the decisions {path}: {error.strerror}.") from None


def dump_ledger(ledger: Ledger, plan: Plan) -> str:
    """The file's text: JSON, a line to a unit, in words what would be done."""
    return LedgerText(ledger, plan).text()


class LedgerText:
    """The file's text, of which a decision makes its own lines anew and no others."""

    def __init__(self, ledger: Ledger, plan: Plan) -> None:
        self._ledger, self._plan = ledger, plan
        self._lines: dict[Vote, tuple[list[str], list[str]]] = {}
        for vote in _SECTIONS.values():
            units = sorted(unit for unit, (given, _) in ledger.votes.items() if given is vote)
            self._lines[vote] = units, [self._line(unit) for unit in units]

    def after(self, ledger: Ledger, plan: Plan) -> "LedgerText":
        """The text of a ledger that was made by deciding; this one is of no use any more."""
        decided = ledger.decided_since(self._ledger) if plan is self._plan else None
        if decided is None or len(decided) > _FEW:
            return LedgerText(ledger, plan)
        self._ledger = ledger
        for unit in decided:
            for units, lines in self._lines.values():
                place = bisect_left(units, unit)
                if units[place : place + 1] == [unit]:
                    del units[place], lines[place]
            if unit in ledger.votes:
                units, lines = self._lines[ledger.votes[unit][0]]
                place = bisect_left(units, unit)
                units.insert(place, unit)
                lines.insert(place, self._line(unit))
        return self

    def text(self) -> str:
        """All of it."""
        sections = ""
        for section, vote in _SECTIONS.items():
            lines = self._lines[vote][1]
            if lines or vote is Vote.APPROVED:
                sections += f', "{section}": {{\n' + ",\n".join(lines) + "\n}"
        return f'{{"version": {VERSION}{sections}}}\n'

    def _line(self, unit: str) -> str:
        decision = self._ledger.votes[unit][1]
        return f"{json.dumps(unit)}: {json.dumps(_line(decision, self._plan.unit(unit)))}"


def _line(decision: Decision, unit: Unit | None) -> dict[str, Any]:
    line: dict[str, Any] = msgspec.to_builtins(decision)
    if not line.get("choices"):
        line.pop("choices", None)
    return line | ({"what": action(unit)} if unit else {})


def _parse(path: Path, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once_each)
    except RecursionError:
        raise SnapshotError(f"Can't read the decisions {path}: it is no JSON.") from None
    except json.JSONDecodeError as error:
        # Whoever deletes the last line leaves the comma of the one before; no text has line breaks.
        mended = re.sub(r",\s*\n\s*\}", "\n}", text)
        if mended != text:
            return _parse(path, mended)
        raise SnapshotError(
            f"Can't read the decisions {path}: it is no JSON (line {error.lineno}: {error.msg})."
        ) from None
    except ValueError as error:  # a name twice, or a number of thousands of digits
        raise SnapshotError(f"Can't read the decisions {path}: {error}.") from None


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two lines about one unit nobody could tell which one counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"it names {twice!r} twice")
    return found


def _read_section(path: Path, value: Any) -> dict[str, Decision]:
    if not isinstance(value, dict):
        raise SnapshotError(f"Can't read the decisions {path}: a section is no object.")
    try:
        return read_decisions(value)
    except ToolkitError as error:
        raise SnapshotError(f"Can't read the decisions {path}: {error}") from None
