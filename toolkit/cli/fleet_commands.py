"""Commands and options of `matrix-drift fleet`, and nothing of what they do."""

from pathlib import Path
from typing import Any

import click

from toolkit.cli import flags

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)


_which = flags.together(
    click.argument("file", default="fleet.toml", type=FILE, metavar="[FILE]"),
    click.option("--only", multiple=True, metavar="NAME", help="This bot alone; may be repeated."),
    click.option(
        "--results", type=FOLDER, help="Where results are kept; fleet-results beside the file."
    ),
)
_running = flags.together(
    click.option(
        "--at-once",
        type=click.IntRange(min=1),
        default=8,
        metavar="N",
        help="So many bots at a time in this process.  [default: 8]",
    ),
    click.option(
        "--processes",
        type=click.IntRange(min=0),
        metavar="N",
        help="So many processes beside this one decode and plan.  [default: as many as are worth it]",
    ),
    click.option(
        "--deadline",
        type=click.FloatRange(min=0, min_open=True),
        default=300.0,
        metavar="SECONDS",
        help="Give up on a bot that has no deadline of its own.  [default: 300]",
    ),
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Do it on a Dask cluster: tls://HOST:PORT, or tcp:// without encryption.",
    ),
    click.option(
        "--tls-ca", type=FILE, help="The authority that the cluster's certificates are of."
    ),
    click.option("--tls-cert", type=FILE, help="The certificate to show to the scheduler."),
    click.option("--tls-key", type=FILE, help="Its key."),
)


@click.group(invoke_without_command=True)
@flags.debug
@click.pass_context
def fleet(context: click.Context) -> None:
    """Look at many bots at once: each is a table [bots.NAME] of FILE, which is fleet.toml.

    Exit codes: 0 all in sync or written as asked, 2 drift or something left to decide, 1 a bot failed.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@fleet.command()
@_which
@_running
@flags.as_json
@flags.debug
def check(as_json: bool, **options: Any) -> int:
    """Say of each bot what is wrong. Writes nothing but the results."""
    return _call("check", _running_on(options), as_json=as_json)


@fleet.command()
@_which
@_running
@click.option("--out", type=FOLDER, help="Write a NAME.decisions.json for each bot into a folder.")
@flags.as_json
@flags.debug
def plan(as_json: bool, out: Path | None, **options: Any) -> int:
    """Show what would be written at each bot, field by field. Writes nothing but the results."""
    return _call("plan", _running_on(options), out, as_json=as_json)


_insecure = click.option(
    "--insecure-scheduler", is_flag=True, help="Write over a scheduler without TLS all the same."
)


@fleet.command()
@_which
@click.option(
    "--decisions",
    type=click.Path(path_type=Path),
    help="Write what this file agrees to for one bot, or a folder for each.",
)
@click.option("--approve-certain", is_flag=True, help="Write everything that needs no decision.")
@click.option(
    "--max-changes",
    type=click.IntRange(min=0),
    metavar="N",
    help="Write nothing to a bot if that would be more than N rows.",
)
@_running
@_insecure
@flags.as_json
@flags.debug
def apply(
    decisions: Path | None,
    approve_certain: bool,
    max_changes: int | None,
    insecure_scheduler: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Write repairs to every bot, as `apply` does for one: with a backup and a journal for each."""
    if decisions is None and not approve_certain:
        raise click.UsageError("Say what is to be written: --decisions, or --approve-certain.")
    return _call(
        "apply",
        {**_running_on(options), "insecure": insecure_scheduler},
        (decisions, approve_certain, max_changes),
        as_json=as_json,
    )


@fleet.command()
@_which
@click.option(
    "--run",
    "runs",
    multiple=True,
    metavar="NAME=RUN",
    help="Take back this run of a bot instead, of no others but these and --only; may be repeated.",
)
@flags.yes
@_running
@_insecure
@flags.as_json
@flags.debug
def undo(
    runs: tuple[str, ...], yes: bool, insecure_scheduler: bool, as_json: bool, **options: Any
) -> int:
    """Take back what the last `fleet apply` wrote to each bot, as `undo` does for one. Asks before."""
    named = dict(run.partition("=")[::2] for run in runs)
    if not all(named.values()) or len(named) < len(runs):
        raise click.UsageError("Name a run as --run NAME=RUN, one of each bot.")
    return _call(
        "undo",
        {**_running_on(options), "insecure": insecure_scheduler},
        named,
        yes=yes,
        as_json=as_json,
    )


@fleet.command()
@_which
@click.option(
    "--picture", type=FILE, help="Draw bot × cause into a file, such as fleet.png or .svg."
)
@flags.as_json
@flags.debug
def report(file: Path, as_json: bool, **options: Any) -> int:
    """Show the results: how each bot stood, and how often each cause was found. Asks no homeserver."""
    return _call("report", file, options.pop("only"), **options, as_json=as_json)


def _running_on(options: dict[str, Any]) -> dict[str, Any]:
    context = click.get_current_context()
    line = click.core.ParameterSource.COMMANDLINE
    given = [name for name in options if context.get_parameter_source(name) is line]
    if options["scheduler"] is None and (
        tls := [name for name in given if name.startswith("tls_")]
    ):
        raise click.UsageError(f"--{tls[0].replace('_', '-')} is for a --scheduler.")
    if options["scheduler"] is not None and (
        here := [name for name in ("at_once", "processes") if name in given]
    ):
        raise click.UsageError(
            "With --scheduler its workers say how many bots at a time, and do all of it: leave out "
            f"--{here[0].replace('_', '-')}."
        )
    return options


def _call(name: str, *arguments: Any, **named: Any) -> int:
    """Begin only now to load what a fleet takes, and say what is missing of it."""
    try:
        from toolkit.cli import fleet as commands
    except ModuleNotFoundError as error:
        if "matrix-drift[fleet]" not in str(error):
            raise
        missing = str(error)
    else:
        code: int = getattr(commands, name)(*arguments, **named)
        return code
    from toolkit.errors import ToolkitError

    raise ToolkitError(missing)
