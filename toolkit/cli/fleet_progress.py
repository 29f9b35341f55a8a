"""How far a fleet is, on stderr: on a terminal a bar for all bots and a line for each that is running."""

import contextlib
import sys
from collections.abc import Iterator

from toolkit.cli.output import say
from toolkit.fleet.outcome import Outcome


class Told:
    """Elsewhere than on a terminal only waits are told: what came of a bot is a result."""

    def begun(self, bot: str) -> None:
        """Nobody needs to know."""

    def told(self, bot: str, done: int, total: int, word: str) -> None:
        if word:
            say(f"{bot}: {word}")

    async def ended(self, outcome: Outcome) -> None:
        """That is a result."""


@contextlib.contextmanager
def fleet_progress(bots: int, doing: str) -> Iterator[Told]:
    """Watch a run over so many bots."""
    if not sys.stderr.isatty():
        yield Told()
        return
    with _bars(bots, doing) as bars:
        yield bars


@contextlib.contextmanager
def _bars(bots: int, doing: str) -> Iterator[Told]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        whole = progress.add_task(doing, total=bots)
        running: dict[str, TaskID] = {}
        over: set[str] = set()

        class Bars(Told):
            def begun(self, bot: str) -> None:
                if bot not in running and bot not in over:  # of a lost worker, it begins again
                    running[bot] = progress.add_task(f"  {bot}", total=None)

            def told(self, bot: str, done: int, total: int, word: str) -> None:
                super().told(bot, done, total, word)
                if bot in running:  # a word of a worker may come after its result
                    progress.update(running[bot], completed=done, total=total or None)

            async def ended(self, outcome: Outcome) -> None:
                over.add(outcome.line.bot)
                if (line := running.pop(outcome.line.bot, None)) is not None:
                    progress.remove_task(line)
                progress.advance(whole)

        yield Bars()
