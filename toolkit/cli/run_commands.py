"""Commands of `matrix-drift` about runs that wrote: looked back at and taken back; and nothing of what they do."""

from typing import Any

import click

from toolkit.cli import flags
from toolkit.cli.given import where_of


@click.command()
@click.argument("run", required=False, shell_complete=flags.complete("runs"))
@click.option(
    "--all", "with_older", is_flag=True, help="Also runs of an older database of this name."
)
@flags.local
@flags.as_json
@flags.debug
def history(run: str | None, with_older: bool, as_json: bool, **options: Any) -> int:
    """List the runs that wrote to the database, oldest first; or the rows of one RUN.

    The journal outlives a database that is deleted and made anew; what was written to the older one is left
    out.
    """
    from toolkit.cli import past

    where = where_of(options)
    if run is not None:
        return past.show_run(where, run, as_json=as_json)
    return past.history(where, with_older=with_older, as_json=as_json)


@click.command()
@click.argument("run", shell_complete=flags.complete("runs"))
@flags.yes
@flags.local
@flags.backup
@flags.as_json
@flags.debug
def undo(run: str, yes: bool, as_json: bool, **options: Any) -> int:
    """Take back a RUN, as far as nobody has written its rows since. Asks before."""
    from toolkit.cli import write

    return write.undo(where_of(options), run, yes=yes, as_json=as_json)


@click.command()
@click.argument("run", shell_complete=flags.complete("runs"))
@flags.yes
@flags.local
@flags.backup
@flags.as_json
@flags.debug
def restore(run: str, yes: bool, as_json: bool, **options: Any) -> int:
    """Go back to the backup that was made before a RUN, while the bot is stopped. Asks before.

    The database as it is now is kept beside it. What was written since isn't in it any more, whoever wrote it.
    """
    from toolkit.cli import write

    return write.restore(where_of(options), run, yes=yes, as_json=as_json)


RUNS = (history, undo, restore)
