"""Commands of `matrix-drift` that decide about units and write nothing, and nothing of what they do."""

from typing import Any

import click

from toolkit.cli import flags
from toolkit.cli.given import where_of


def _deciding(command: flags.F) -> flags.F:
    """What every command about decisions takes: units, where to look, and nothing that writes."""
    units = click.argument(
        "units",
        nargs=-1,
        required=True,
        metavar="UNIT...",
        shell_complete=flags.complete("units"),
    )
    shared = flags.together(
        units,
        flags.remote,
        flags.local,
        flags.snapshot,
        flags.lower,
        flags.convention,
        flags.as_json,
        flags.debug,
    )
    decorated: flags.F = shared(command)
    return decorated


@click.command()
@click.option("--reason", required=True, metavar="TEXT", help="Why they may stay as they are.")
@click.option("--until", metavar="DATE", help="The last day, such as 2027-05-01.  [default: none]")
@_deciding
def ignore(units: tuple[str, ...], reason: str, until: str | None, **options: Any) -> int:
    """Let these UNITs stay as they are, and count as drift no more. Writes nothing to the database.

    They come back once something else would be written, or the conflict is another one.
    """
    return _decide("ignored", units, options, reason=reason, until=until)


@click.command()
@_deciding
def reject(units: tuple[str, ...], **options: Any) -> int:
    """Leave the rows of these UNITs as they are, also in `apply`, as long as the same would be written."""
    return _decide("rejected", units, options)


@click.command()
@_deciding
def defer(units: tuple[str, ...], **options: Any) -> int:
    """Put these UNITs off: `apply` leaves them alone as long as the same would be written."""
    return _decide("deferred", units, options)


@click.command()
@_deciding
def withdraw(units: tuple[str, ...], **options: Any) -> int:
    """Take back what was decided about these UNITs: ignored, rejected, deferred or approved."""
    return _decide("pending", units, options)


def _decide(vote: str, units: tuple[str, ...], options: dict[str, Any], **more: Any) -> int:
    as_json = options.pop("as_json")
    from toolkit.cli import decide
    from toolkit.decisions.ledger import Vote

    asked = decide.Asked(Vote(vote), units, **more)
    return decide.decide(where_of(options), asked, as_json=as_json)


DECIDING = (ignore, reject, defer, withdraw)
