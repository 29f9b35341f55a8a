"""The numbers above the list and what Apply would write, kept up to date unit by unit. Pure."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from toolkit.decisions.ledger import Vote
from toolkit.model import Status, UnitKind


@dataclass(frozen=True, slots=True)
class Counts:
    """How many units stand how, and how much is approved, also by what it is: room, user, other unit."""

    units: int = 0
    by_status: Mapping[Status, int] = field(default_factory=dict)
    by_vote: Mapping[Vote, int] = field(default_factory=dict)
    approved_units: int = 0
    approved_rows: int = 0
    approved: Mapping[str, int] = field(default_factory=dict)


NOUNS = ("room", "user", "other unit")


class Approved(NamedTuple):
    """A unit that is approved, with what would be written for it; `change` "" is nothing yet."""

    unit: str
    kind: UnitKind
    change: str
    rows: int


class Tally:
    """Counts the units of one plan, and names what is approved."""

    def __init__(self, statuses: Iterable[Status], votes: Mapping[str, Vote]) -> None:
        self._statuses = Counter(statuses)
        self._votes = Counter(votes.values())
        self._approved: dict[str, Approved] = {}
        self._nouns: Counter[str] = Counter()
        self._rows = self._sum = 0

    def move(self, before: Vote, now: Vote) -> None:
        """A unit stands otherwise."""
        self._votes[before] -= 1
        self._votes[now] += 1

    def approve(self, unit: str, now: Approved | None) -> None:
        """What would be written for a unit if it is approved; None: it isn't."""
        for one, sign in ((self._approved.pop(unit, None), -1), (now, 1)):
            if one is None:
                continue
            self._sum += sign * _number(one)
            if one.change:
                self._nouns[_noun(one)] += sign
                self._rows += sign * one.rows
        if now is not None:
            self._approved[unit] = now

    def counts(self) -> Counts:
        """As they stand now; what there is none of isn't named."""
        return Counts(
            self._statuses.total(),
            +self._statuses,
            +self._votes,
            self._nouns.total(),
            self._rows,
            +self._nouns,
        )

    def name(self) -> str:
        """Names exactly the approved units with their changes, whatever order they were approved in.

        A sum of wide digests follows each step, where a digest of all of them would begin anew.
        """
        return hashlib.sha256(f"{len(self._approved)} {self._sum}".encode()).hexdigest()[:16]


def _number(one: Approved) -> int:
    text = f"{len(one.unit)} {one.unit} {one.change}"
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogatepass")).digest())


def _noun(one: Approved) -> str:
    """A row that a bot's own function wrote may be about neither a room nor a user."""
    if one.kind is UnitKind.USER:
        return "user"
    return "room" if one.unit.startswith("!") else "other unit"
