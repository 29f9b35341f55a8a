"""A run over a fleet: every bot once, its result kept as soon as it is there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolkit.aside import aside
from toolkit.decisions.decision import Decision
from toolkit.decisions.ledger_file import load_ledger
from toolkit.errors import ToolkitError
from toolkit.fleet.dataset import FOLDER, load_outcomes, save_outcome
from toolkit.fleet.here import Watcher, run_here
from toolkit.fleet.outcome import Outcome
from toolkit.fleet.results import Results
from toolkit.fleet.settings import FILE, Fleet
from toolkit.fleet.task import Action, Task
from toolkit.text.collation import natural_key

AT_ONCE = 8
DEADLINE = 300.0
"""Seconds for a bot that has no deadline of its own: one that hangs must not hold a fleet up for ever."""

SUFFIX = ".decisions.json"
INSECURE = (
    "Over a scheduler without TLS nothing is written: whoever reaches its port runs code on the workers, which "
    "hold the bots' tokens. Start it with TLS and name it as tls://, or say --insecure-scheduler."
)


@dataclass(frozen=True)
class Where:
    """Which fleet, where its results go, and which machines do the work: none but this one without a scheduler.

    There so many `processes` beside this one decode and plan; by default as many as are worth it.
    """

    fleet: Fleet
    results: Path
    at_once: int = AT_ONCE
    scheduler: str | None = None
    tls: tuple[Path | None, Path | None, Path | None] = (None, None, None)
    insecure: bool = False
    processes: int | None = None

    def check(self, *, writes: bool) -> None:
        """Raise `ToolkitError` for nobody at once, for a scheduler that isn't one, and for one to which nothing may
        be told to write."""
        if self.scheduler is None:
            if self.at_once < 1:
                raise ToolkitError("With at_once below 1 no bot would ever have its turn.")
            return
        kind, _, place = self.scheduler.partition("://")
        if kind not in ("tcp", "tls") or not place:
            raise ToolkitError("The scheduler must be named as tcp://HOST:PORT or tls://HOST:PORT.")
        if writes and kind == "tcp" and not self.insecure:
            raise ToolkitError(INSECURE)


@dataclass
class _Keeping:
    """Who keeps each result, if there is a folder for it, and passes on what it hears."""

    folder: Path | None
    watcher: Watcher | None = None
    outcomes: list[Outcome] = field(default_factory=list)

    def begun(self, bot: str) -> None:
        if self.watcher:
            self.watcher.begun(bot)

    def told(self, bot: str, done: int, total: int, word: str) -> None:
        if self.watcher:
            self.watcher.told(bot, done, total, word)

    async def ended(self, outcome: Outcome) -> None:
        if self.folder is not None:
            await aside(save_outcome, self.folder, outcome)
        kept = replace(outcome, drift={})  # what anybody asks for of that lies on disk now
        self.outcomes.append(kept)
        if self.watcher:
            await self.watcher.ended(outcome)


async def run_fleet(
    where: Where, tasks: Sequence[Task], watcher: Watcher | None = None
) -> list[Outcome]:
    """Run all tasks; what came of them, by name. Raises `ToolkitError` where none can be run.

    What an undo would write is no result, and isn't kept.
    """
    where.check(writes=any(task.action.writes for task in tasks))
    keeps = all(task.action is not Action.PLAN_UNDO for task in tasks)
    keeping = _Keeping(where.results if keeps else None, watcher)
    try:
        await _run_where(where, tasks, keeping)
    except ExceptionGroup as several:  # a bot's failure is an outcome: this is about all of them
        raise several.exceptions[0] from None
    return sorted(keeping.outcomes, key=lambda outcome: natural_key(outcome.line.bot))


async def _run_where(where: Where, tasks: Sequence[Task], watcher: Watcher) -> None:
    if where.scheduler is None:
        await run_here(tasks, where.at_once, watcher, where.processes)
        return
    try:
        from toolkit.fleet.cluster import Cluster, run_on  # Dask takes its time to load
    except ModuleNotFoundError as error:
        raise ToolkitError(
            f"A scheduler needs {error.name}: pip install 'matrix-drift[fleet]'."
        ) from None
    await run_on(Cluster(where.scheduler, *where.tls), tasks, watcher)


def tasks_of(
    fleet: Fleet,
    action: Action,
    decisions: Mapping[str, Mapping[str, Decision]] | None = None,
    *,
    certain: bool = False,
    max_changes: int | None = None,
) -> list[Task]:
    """A task for each bot; bots of which `decisions` say nothing are left out, unless what is certain is written."""
    given = decisions or {}
    idle = action is Action.APPLY and not certain
    return [
        Task(bot, action, given.get(bot.name, {}), certain, max_changes)
        for bot in fleet.bots
        if not idle or given.get(bot.name)
    ]


def tasks_to_undo(where: Where, action: Action, runs: Mapping[str, str]) -> list[Task]:
    """A task for each bot of which a run is named (bot -> run), or is in the results as that of its last `apply`."""
    kept = load_outcomes(where.results) if where.results.exists() else []
    known = {**{found.line.bot: found.to_undo for found in kept}, **runs}
    return [
        Task(bot, action, undoes=run) for bot in where.fleet.bots if (run := known.get(bot.name))
    ]


def load_decisions(fleet: Fleet, path: Path) -> dict[str, dict[str, Decision]]:
    """What a file agrees to for the only bot, or the files of a folder for each: NAME.decisions.json.

    Raises `SnapshotError`, or `ToolkitError` if it can't be told whose they are.
    """
    names = [bot.name for bot in fleet.bots]
    if not path.exists():
        raise ToolkitError(
            f"Can't read the decisions {path}: there is no such file or folder; `fleet plan --out` makes one."
        )
    if not path.is_dir():
        if len(names) > 1:
            raise ToolkitError(
                f"{path} is one file, and there are {len(names)} bots: say with --only whose it is, or name a "
                f"folder with a NAME{SUFFIX} for each."
            )
        return {names[0]: load_ledger(path).decisions}
    files = {name: path / f"{name}{SUFFIX}" for name in names}
    found = {name: load_ledger(file).decisions for name, file in files.items() if file.exists()}
    if not found:
        raise ToolkitError(
            f"The folder {path} holds no NAME{SUFFIX} of a bot; `fleet plan --out` makes some."
        )
    return found


async def check(
    path: str | Path = FILE,
    *,
    only: Iterable[str] = (),
    results: str | Path | None = None,
    at_once: int = AT_ONCE,
    deadline: float = DEADLINE,
    scheduler: str | None = None,
    processes: int | None = None,
    watcher: Watcher | None = None,
) -> Results:
    """Look at every bot of a `fleet.toml`, or at those named, and keep what was found; writes to no database.

    `results` is the folder, by default `fleet-results` beside the file; `processes` beside this one decode and
    plan, 0 for none, by default as many as are worth it. A bot that can't be looked at is a
    line with its reason. Raises `ToolkitError` for a file or scheduler that is none.
    """
    where = place(path, only, results, at_once, deadline, scheduler, processes)
    return await _run(where, tasks_of(where.fleet, Action.CHECK), watcher)


async def apply(
    path: str | Path = FILE,
    *,
    decisions: str | Path | None = None,
    certain: bool = False,
    only: Iterable[str] = (),
    results: str | Path | None = None,
    at_once: int = AT_ONCE,
    deadline: float = DEADLINE,
    max_changes: int | None = None,
    processes: int | None = None,
    watcher: Watcher | None = None,
) -> Results:
    """Write what a folder of decisions agrees to, or also what is certain, each bot with backup and journal."""
    if decisions is None and not certain:
        raise ToolkitError("Say what is to be written: decisions=, or certain=True.")
    where = place(path, only, results, at_once, deadline, processes=processes)
    agreed = load_decisions(where.fleet, Path(decisions)) if decisions is not None else None
    tasks = tasks_of(where.fleet, Action.APPLY, agreed, certain=certain, max_changes=max_changes)
    return await _run(where, tasks, watcher)


async def undo(
    path: str | Path = FILE,
    *,
    runs: Mapping[str, str] | None = None,
    only: Iterable[str] = (),
    results: str | Path | None = None,
    at_once: int = AT_ONCE,
    deadline: float = DEADLINE,
    watcher: Watcher | None = None,
) -> Results:
    """Take back what the last `apply` wrote to each bot, as far as nobody has written its rows since.

    `runs` names others (bot -> run), and then it is about these bots and those of `only` alone. Each bot is
    looked at again afterwards; those of which no run is known are left out.
    """
    named = runs or {}
    where = place(path, {*only, *named}, results, at_once, deadline)
    return await _run(where, tasks_to_undo(where, Action.UNDO, named), watcher)


async def _run(where: Where, tasks: Sequence[Task], watcher: Watcher | None) -> Results:
    await run_fleet(where, tasks, watcher)
    return load(where.results).part({task.bot.name for task in tasks}) if tasks else Results(())


def place(
    path: str | Path,
    only: Iterable[str] = (),
    results: str | Path | None = None,
    at_once: int = AT_ONCE,
    deadline: float = DEADLINE,
    scheduler: str | None = None,
    processes: int | None = None,
) -> Where:
    """The fleet of a file, with the folder of its results beside it unless one is named."""
    file = Path(path)
    fleet = Fleet.read(file).only(only).within(deadline)
    folder = Path(results) if results is not None else file.with_name(FOLDER)
    return Where(fleet, folder, at_once, scheduler, processes=processes)


def load(results: str | Path = FOLDER) -> Results:
    """What a folder of results says, of whatever run each bot's file is. Raises `ToolkitError`."""
    return Results(load_outcomes(Path(results)))
