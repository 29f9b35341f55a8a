"""Commands and options of `matrix-drift`, and nothing of what they do.

That is imported when a command runs: `--help` loads neither nio nor rich.
"""

from pathlib import Path
from typing import Any

import click

from toolkit import __version__
from toolkit.cli import flags
from toolkit.cli.decision_commands import DECIDING
from toolkit.cli.fleet_commands import fleet
from toolkit.cli.given import NARROWING, VIEW, options_given, view_of, where_of
from toolkit.cli.options import FileDefaults, Where
from toolkit.cli.run_commands import RUNS


@click.group(no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="matrix-drift")
@flags.debug
@click.pass_context
def matrix_drift(context: click.Context) -> None:
    """Find and repair what a Matrix bot's database forgot about rooms that the bot is still in.

    The access token comes from MATRIX_ACCESS_TOKEN, from the file that MATRIX_ACCESS_TOKEN_FILE
    names, or is asked for. Options may also stand in matrix-drift.toml, as `homeserver`,
    `room_name_patterns` and so on.

    Exit codes: 0 in sync or written as asked, 2 drift or something left to decide, 1 error.
    """
    if not {"-h", "--help"} & set(context.obj or ()):  # help must come beside a broken file
        # The file knows no commands: all have the same defaults.
        context.default_map = dict.fromkeys(matrix_drift.commands, FileDefaults())


@matrix_drift.command()
@flags.remote
@flags.local
@flags.new
@flags.snapshot
@flags.lower
@flags.convention
@flags.view
@flags.as_json
@click.option(
    "--strict", is_flag=True, help="Count orphaned rows and rooms that are no chats as drift."
)
@click.option(
    "--watch", is_flag=True, help="Go on, and show what is new within two seconds, until Ctrl+C."
)
@click.option(
    "--every",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="With --watch: look at everything anew so often.  [default: 300]",
)
@click.option(
    "--command", metavar="CMD", help="With --watch: call this with a line of JSON on its stdin."
)
@click.option("--post", metavar="URL", help="With --watch: post the same line there.")
@flags.debug
def check(
    as_json: bool,
    strict: bool,
    watch: bool,
    every: float | None,
    command: str | None,
    post: str | None,
    **options: Any,
) -> int:
    """Say what is wrong, why, and what to do. Writes nothing.

    Orphaned rows and skipped rooms alone are no drift.
    """
    view = view_of(options, as_json)
    if watch:
        if options["snapshot"]:
            raise click.UsageError("A snapshot never changes: leave out --watch or --snapshot.")
        from toolkit.cli import watch as watching
        from toolkit.cli.hooks import Hooks

        hooks, where = Hooks.read(command, post), where_of(options)
        return watching.watch(where, view, hooks, as_json=as_json, strict=strict, every=every)
    if given := options_given("every", "command", "post"):
        raise click.UsageError(f"--{given[0]} is for --watch.")
    from toolkit.cli import look

    return look.check(where_of(options), view, as_json=as_json, strict=strict)


@matrix_drift.command()
@flags.remote
@flags.local
@flags.new
@flags.snapshot
@flags.lower
@flags.convention
@flags.view
@flags.as_json
@click.option(
    "--out", type=flags.PATH, help="Write what can be agreed to into a file for apply --decisions."
)
@click.option(
    "--shadow",
    metavar="MODULE:FUNCTION",
    help="Instead, run the bot's own function where it can write nothing, and show what it would.",
)
@flags.debug
def plan(as_json: bool, out: Path | None, shadow: str | None, **options: Any) -> int:
    """Show what would be written, field by field. Writes nothing to the database."""
    if shadow is not None:
        if out or options_given("snapshot", "allow_new"):
            raise click.UsageError(
                "--shadow runs on the two sides: leave out --snapshot, --new-database and --out."
            )
        if options_given(*VIEW):
            raise click.UsageError(
                "--shadow shows all that a function would write: leave out what narrows it."
            )
        for name in VIEW:
            options.pop(name)
        from toolkit.cli.shadow import plan_shadow

        return plan_shadow(where_of(options), shadow, as_json=as_json)
    from toolkit.cli import look

    if out and options_given(*NARROWING):
        raise click.UsageError(
            "--out writes all that can be agreed to, whatever is shown: leave out what narrows it, "
            "and delete lines of the file."
        )
    view = view_of(options, as_json)
    return look.plan(where_of(options), view, as_json=as_json, out=out)


@matrix_drift.command()
@click.argument("units", nargs=-1, metavar="[UNIT]...", shell_complete=flags.complete("units"))
@click.option("--approve-certain", is_flag=True, help="Write everything that needs no decision.")
@click.option("--decisions", type=flags.PATH, help="Write what this file agrees to.")
@click.option("--owner", help="For one UNIT: whose chats these are.")
@click.option("--space", "space_id", help="For one UNIT: which of several Spaces counts.")
@click.option("--chat-id", help="For one UNIT: the chat that the room is, such as C4.")
@click.option(
    "--id",
    "ids",
    multiple=True,
    shell_complete=flags.complete("ids"),
    help="For one UNIT of shape links: the room's id; of several columns once for each, in their order.",
)
@click.option("--overwrite", is_flag=True, help="For one UNIT: replace a row that can't be read.")
@click.option(
    "--shadow",
    metavar="MODULE:FUNCTION",
    help="Write what the bot's own function would: these UNITs, or each that you agree to.",
)
@flags.max_changes
@flags.yes
@flags.remote
@flags.local
@flags.new
@flags.backup
@flags.lower
@flags.convention
@flags.as_json
@flags.debug
def apply(**options: Any) -> int:
    """Write repairs: these UNITs (room ids, user ids), or what is certain.

    Without UNITs it asks before it writes; to name them is your yes, and so are --decisions and
    --approve-certain. A conflict is one UNIT with the option that `check` names. Backup and journal come first, and
    `undo` takes back what was written.
    """
    shadow, as_json = options.pop("shadow"), options.pop("as_json")
    if shadow is not None:
        return _apply_shadow(shadow, options, as_json=as_json)
    from toolkit.cli import write
    from toolkit.model import NO_CHOICES, Choices

    names = ("owner", "space_id", "chat_id", "overwrite")
    choices = Choices(**{name: options.pop(name) for name in names})
    ids = options.pop("ids")
    wanted = write.Wanted(
        unit_ids=options.pop("units"),
        choices=choices,
        id=ids,
        decisions=options.pop("decisions"),
        certain=options.pop("approve_certain"),
        yes=options.pop("yes"),
        max_changes=options.pop("max_changes"),
    )
    if sum(map(bool, (wanted.unit_ids, wanted.decisions, wanted.certain))) > 1:
        raise click.UsageError("Give units, --approve-certain or --decisions, only one of them.")
    if (ids or choices != NO_CHOICES) and len(wanted.unit_ids) != 1:
        raise click.UsageError(
            "--owner, --space, --chat-id, --id and --overwrite are for exactly one UNIT."
        )
    return write.apply(where_of(options), wanted, as_json=as_json)


for command in (*DECIDING, *RUNS, fleet):
    matrix_drift.add_command(command)


@matrix_drift.command()
@click.argument("words", nargs=-1, metavar="[WORD]")
@flags.debug
def explain(words: tuple[str, ...]) -> int:
    """Say what a code, status or reason means and what to do, or what a rule says by its number.

    Without a WORD it lists them.
    """
    from toolkit.cli import explain as passages

    return passages.explain(words)


@matrix_drift.command()
@flags.remote
@flags.local
@flags.convention
@flags.new
@flags.backup
@flags.debug
def settle(**options: Any) -> int:
    """Ask about one conflict after the other, with the facts that may settle it and a key for each choice.

    At the end it shows what would be written, and writes it if that is agreed to; until then nothing is written.
    """
    from toolkit.cli import settle as settling

    return settling.settle(where_of(options))


@matrix_drift.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@flags.debug
def completion(shell: str) -> int:
    """Print the script by which a SHELL completes commands, options and units.

    For bash, in ~/.bashrc: eval "$(matrix-drift completion bash)"
    """
    from toolkit.cli import completion as shells

    return shells.print_script(matrix_drift, shell)


@matrix_drift.command()
@click.argument("file", type=flags.PATH)
@flags.remote
@flags.local
@flags.convention
@click.option(
    "--anonymise", is_flag=True, help="For a bug report: the same drift, and nobody's data in it."
)
@flags.debug
def snapshot(file: Path, anonymise: bool, **options: Any) -> int:
    """Save both sides into FILE, on which check and plan can run offline.

    It holds ids, names and rows of people as they are, unless they are anonymised.
    """
    from toolkit.cli import look

    return look.snapshot(where_of(options), file, anonymous=anonymise)


@matrix_drift.command()
@click.argument("database", envvar="BOT_DATABASE", required=False)
@flags.address
@flags.reading
@flags.accounts
@flags.debug
def fit(**options: Any) -> int:
    """Propose matrix-drift.toml for DATABASE, which no mapping describes yet. Writes nothing.

    DATABASE is an SQLite file, or postgresql://…; without it that of BOT_DATABASE or of the settings file is taken.

    With a homeserver and a token it also reads the joined rooms, and proposes what tells their ids. The file goes to
    stdout; how many rows and rooms it accounts for, and what can't be told, to stderr.
    """
    from toolkit.cli import fit as fitting

    return fitting.fit(Where.of(options))


@matrix_drift.command()
@click.option("--check", "only_check", is_flag=True, help="Print the drift and end.")
@flags.debug
def demo(only_check: bool) -> int:
    """Show the drift of a small bot on a throw-away Synapse, and the lessons in JupyterLab.

    Ctrl+C ends it and leaves nothing behind.
    """
    from toolkit.cli import demo as show

    return show.demo(only_check=only_check)


@matrix_drift.command()
@click.argument(
    "directory", required=False, type=click.Path(path_type=Path, file_okay=False), metavar="[DIR]"
)
@click.option("--no-open", is_flag=True, help="Don't start JupyterLab; print how to.")
@flags.debug
def notebook(directory: Path | None, no_open: bool) -> int:
    """Put the lessons into DIR (matrix-drift-notebooks) and open them in JupyterLab.

    A notebook that you have changed stays as it is. The lessons are about a recorded world, or about
    your bot if MATRIX_HOMESERVER or matrix-drift.toml names it.
    """
    from toolkit.cli import notebook as lessons

    return lessons.notebook(directory, start=not no_open)


def _apply_shadow(named: str, options: dict[str, Any], *, as_json: bool) -> int:
    """What settles our own plan says nothing about what a function would write."""
    ours = ("decisions", "approve_certain", "owner", "space_id", "chat_id", "ids", "overwrite")
    if given := options_given(*ours, "lower_counters", "allow_new"):
        flag = {"space_id": "space", "allow_new": "new_database"}.get(given[0], given[0])
        raise click.UsageError(
            f"--shadow writes what the function would have written: leave out --{flag.replace('_', '-')}."
        )
    unit_ids, yes = options.pop("units"), options.pop("yes")
    if yes and not unit_ids:
        raise click.UsageError(
            "What a function would write needs a person's yes for each unit: with --yes, name UNITs."
        )
    max_changes = options.pop("max_changes")
    for name in ours:
        options.pop(name)
    from toolkit.cli.shadow import apply_shadow

    return apply_shadow(
        where_of(options), named, unit_ids, max_changes=max_changes, as_json=as_json
    )
