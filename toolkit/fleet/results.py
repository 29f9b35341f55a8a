"""What a folder of results says of the whole fleet: as frames, as a picture, and in a sentence."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from toolkit.fleet.dataset import Kept
from toolkit.fleet.outcome import Line, State
from toolkit.frames import Frame, bots_frame, causes_frame, count_codes, fleet_frame
from toolkit.text.collation import natural_key
from toolkit.text.summary import WORDS, count_of
from toolkit.text.visible import visible

if TYPE_CHECKING:
    from toolkit.plots import Picture

_SHOWN = 10


@dataclass(frozen=True, repr=False)
class Results:
    """How the bots of a fleet stood when each was last looked at. Frames are copies."""

    kept: Sequence[Kept]

    @property
    def lines(self) -> list[Line]:
        """Each bot in numbers, by name."""
        return sorted((kept.line for kept in self.kept), key=lambda line: natural_key(line.bot))

    @property
    def bots(self) -> Frame:
        """A line per bot, index `bot`."""
        return bots_frame([line.told() for line in self.lines])

    @property
    def drift(self) -> Frame:
        """The findings of all bots: the columns of a session's `drift`, with `bot` before them."""
        return self._drift.copy()

    @cached_property
    def _drift(self) -> Frame:
        drifts = {kept.line.bot: kept.drift for kept in self.kept}
        return fleet_frame({line.bot: drifts[line.bot] for line in self.lines})

    @property
    def causes(self) -> Frame:
        """In how many units of each bot each code was found: index `bot`, a column per code."""
        known = {line.bot: line.state is not State.FAILED for line in self.lines}
        return causes_frame(self.counts(), known)

    def plot(self) -> "Picture":
        """Bot × cause as a picture."""
        from toolkit.plots import BotLine, draw_fleet  # matplotlib takes its time to load

        counts = self.counts()
        return draw_fleet(
            [
                BotLine(
                    line.bot,
                    {WORDS[code]: count for code, count in counts.get(line.bot, {}).items()},
                    (line.reason or "for no reason given") if line.state is State.FAILED else "",
                    (line.reason or "") if line.state is State.DRIFT else "",
                )
                for line in self.lines
            ]
        )

    def counts(self) -> dict[str, dict[str, int]]:
        """The same without zeros: bot -> code -> units."""
        return count_codes(self._drift)

    def part(self, names: Collection[str]) -> "Results":
        """Of these bots alone."""
        return Results([kept for kept in self.kept if kept.line.bot in names])

    def __len__(self) -> int:
        return len(self.kept)

    def __repr__(self) -> str:
        lines = [say_states(self.lines)]
        troubled = [line for line in self.lines if line.state is not State.IN_SYNC]
        lines += [f"  {visible(line.bot)}: {say_line(line)}" for line in troubled[:_SHOWN]]
        if len(troubled) > _SHOWN:
            lines.append(f"  … and {len(troubled) - _SHOWN} more")
        return "\n".join(lines)


def say_states(lines: Sequence[Line]) -> str:
    """How many bots stand how.

    >>> say_states([Line("a", State.IN_SYNC), Line("b", State.FAILED)])
    '2 bots: 1 in sync, 1 failed.'
    """
    counts = {state: sum(line.state is state for line in lines) for state in State}
    words = {State.IN_SYNC: "in sync", State.DRIFT: "adrift", State.FAILED: "failed"}
    told = [f"{count} {words[state]}" for state, count in counts.items() if count]
    return f"{count_of(len(lines), 'bot')}{': ' if told else ''}{', '.join(told)}."


def say_line(line: Line) -> str:
    """What is the matter with a bot, in a line.

    >>> say_line(Line("a", State.DRIFT, units=3, ready=2, to_decide=1))
    '3 units adrift, 1 to decide'
    """
    if line.state is State.FAILED:
        return visible(f"failed: {line.reason}", 1_000)
    if line.reason and not (line.units or line.to_decide):
        return visible(line.reason, 1_000)
    told = [f"{count_of(line.units or 0, 'unit')} adrift"]
    if line.to_decide:
        told.append(f"{line.to_decide} to decide")
    if line.reason:
        told.append(f"not written: {visible(line.reason, 1_000)}")
    return ", ".join(told)
