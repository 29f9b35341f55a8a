"""What came of one bot: a value that travels from a worker, and that a file of results keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from toolkit.decisions.record import NOTHING_DECIDED, Record
from toolkit.model import Plan


class State(StrEnum):
    """How a bot stands after a run."""

    IN_SYNC = "in_sync"
    DRIFT = "drift"
    FAILED = "failed"


@dataclass(frozen=True)
class Written:
    """What `apply` or `undo` did at one bot. `refused` was asked for and isn't written, `left` was decided
    otherwise; `undoes` is the run that was taken back."""

    units: tuple[str, ...] = ()
    rows: int = 0
    run: str | None = None
    backup: str | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    left: Mapping[str, str] = field(default_factory=dict)
    warning: str = ""
    undoes: str | None = None


@dataclass(frozen=True)
class Line:
    """A bot in numbers, as `FLEET_COLUMNS["bots"]` has them; `looked` are milliseconds since 1970."""

    bot: str
    state: State
    reason: str | None = None
    account: str | None = None
    rooms: int | None = None
    units: int | None = None
    ready: int | None = None
    to_decide: int | None = None
    ignored: int | None = None
    rows_written: int | None = None
    run: str | None = None
    looked: int | None = None

    def told(self) -> dict[str, Any]:
        """As JSON values, in the order of the frame."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True)
class Outcome:
    """A bot's line and its findings by column; the plan only where it is to be shown."""

    line: Line
    drift: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    plan: Plan | None = None
    record: Record = NOTHING_DECIDED
    written: Written | None = None
    left_open: bool = False
    """Whether something that was asked for is left to do: drift, or what could not be written."""

    @property
    def failed(self) -> bool:
        return self.line.state is State.FAILED

    def to_undo(self, before: str | None) -> str | None:
        """The run that `undo` takes back from now on, where it was `before` until now.

        It is that of the last `apply`, as long as there is anything of it; to look changes nothing.
        """
        done = self.written
        if done is None:
            return before
        if done.undoes is None:
            return done.run
        return None if done.undoes == before and not done.refused else before


def failure(bot: str, reason: str, looked: int | None = None) -> Outcome:
    """The outcome of a bot that could not be looked at or written to."""
    return Outcome(Line(bot, State.FAILED, reason, looked=looked))
