"""Leaving a unit as it is on purpose: why, until when, and the words for it. Pure but for the clock."""

from collections.abc import Iterable
from datetime import date, datetime

from toolkit.decisions.decision import Decision, Ignored, matter_of, user_name
from toolkit.errors import ToolkitError
from toolkit.model import Unit

LONG = 500
"""Longest reason; it stands in one line of a list."""


def today() -> date:
    """The day where this machine is."""
    return datetime.now().astimezone().date()


def read_reason(reason: str) -> str:
    """One line of text. Raises `ToolkitError`."""
    words = " ".join(str(reason).split())
    if not words:
        raise ToolkitError("To ignore a unit, say why: a reason of some words.")
    if len(words) > LONG:
        raise ToolkitError(f"A reason has at most {LONG} characters, and this has {len(words)}.")
    return words


def read_until(until: str | date | None, today: date) -> date | None:
    """The last day on which something is ignored. Raises `ToolkitError` for what is none, or has passed."""
    if until is None or until == "":
        return None
    try:
        day = until if type(until) is date else date.fromisoformat(str(until))
    except ValueError:
        raise ToolkitError(f"{str(until)!r} is no day: write it as {today.isoformat()}.") from None
    if day < today:
        raise ToolkitError(f"{day} has passed: today is {today}.")
    return day


def as_ignored(units: Iterable[Unit], reason: str, until: date | None) -> dict[str, Decision]:
    """The vote of whoever sits here, about each unit as it is."""
    by = user_name()
    return {
        unit.id: Ignored(
            change=unit.change.fingerprint if unit.change else None,
            by=by,
            matter=matter_of(unit),
            reason=reason,
            until=until,
        )
        for unit in units
    }


def say_ignored(decision: Ignored) -> str:
    """Who ignores it, until when, and why.

    >>> say_ignored(Ignored(by="eva", reason="leaves in May", until=date(2027, 5, 1)))
    'by eva until 2027-05-01: leaves in May'
    """
    who = f"by {decision.by}" if decision.by else ""
    until = f"until {decision.until}" if decision.until else ""
    told = " ".join(filter(None, (who, until)))
    return f"{told}: {decision.reason}" if told else decision.reason


def say_over(decision: Ignored, today: date) -> str:
    """Why something is no longer ignored."""
    if decision.over(today):
        return f"it was ignored until {decision.until}"
    return "it is another change or conflict than was ignored"
