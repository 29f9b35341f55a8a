"""Going back to the backup of a run: which file that is, and what the journal says of it afterwards.

That is the other way back beside `undo`: it takes everything back that was written since, whoever
wrote it, so it is done only while the bot is stopped.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from toolkit.database.identity import identify, name_file
from toolkit.database.journal import RESTORE, Journal, Run
from toolkit.database.restore import replace_database
from toolkit.errors import StoreError
from toolkit.quotes import quote_odd
from toolkit.records import Raw
from toolkit.writing.job import new_name
from toolkit.writing.lineage import tell_apart
from toolkit.writing.undo import find_run


class Restore(msgspec.Struct, frozen=True):
    """Going back to a backup: the database as it is now will be `kept`. All paths are absolute."""

    name: str
    run: str
    time: str
    database: Path
    backup: Path
    kept: Path
    wrote_to: str | None = None

    @property
    def replaces(self) -> bool:
        """Whether there is a database now; one that was deleted comes back all the same."""
        return self.database.exists()


def plan_restore(
    database: Path,
    run_id: str,
    backup_dir: Path | None = None,
    rows: Mapping[str, Raw] | None = None,
) -> Restore:
    """What going back to before this run would do; reads only. `rows` are those of the database, if they
    can be read: by them it is known whether the run is of an older one.

    Raises `StoreError` for an unknown run and for one whose backup is gone. A backup that was moved is
    found beside the database (its folder may have moved, or be a container's) and in `backup_dir`.
    """
    database = database.resolve()
    past = tell_apart(Journal(database).runs(), identify(database), rows)
    run = find_run(past, run_id)
    if run.backup is None:
        raise StoreError(f"There is no backup of run {quote_odd(run_id)}; nothing was written.")
    made = Path(run.backup)
    folders = [made.parent, database.parent, *([backup_dir] if backup_dir else [])]
    places = [(folder / made.name).absolute() for folder in folders]
    backup = next(filter(Path.is_file, places), None)
    if backup is None:
        raise StoreError(
            f"The backup of run {quote_odd(run_id)} is gone: there is no {made}. Name the folder "
            "that it was moved to by --backup-dir, or take the run back by `matrix-drift undo`."
        )
    name = new_name(datetime.now(UTC))
    kept = database.with_name(f"{database.name}.{name}.before-restore.backup")
    return Restore(name, run.id, run.time, database, backup, kept, run.database)


def restore(planned: Restore) -> str:
    """Replace the database; the journal tells of it as of a run, whose backup is what was replaced.

    Returns a warning if the journal could not be told: the database is replaced by then.
    """
    replaces, before = planned.replaces, name_file(planned.database)
    replace_database(planned.database, planned.backup, planned.kept)
    kept = str(planned.kept) if replaces else None
    now = datetime.now(UTC).isoformat()
    try:
        goes_on = tuple(filter(None, (before, planned.wrote_to)))
        file = name_file(planned.database)
        run = Run(planned.name, now, RESTORE, (), kept, None, True, file, goes_on)
        Journal(planned.database).finish(run)
    except StoreError as error:
        return f"The database is replaced, but: {error}"
    return ""
