"""Choices that somebody tries before deciding: kept in memory, and planned with as if they were made."""

from collections.abc import Container
from dataclasses import replace
from operator import is_

from toolkit.board.items import Item, make_item
from toolkit.decisions.offers import Offering, say_choices
from toolkit.model import NO_CHOICES, Choices, Unit, find_unit
from toolkit.session.session import Session


class Drafts:
    """The open picks of one session; `picked` is another mapping after each change."""

    def __init__(self, session: Session) -> None:
        self.picked: dict[str, Choices] = {}
        self._session = session
        self._about: tuple[object, ...] = ()
        self._tried: dict[tuple[str, Choices], tuple[Unit | None, Item | None]] = {}

    def of(self, unit: str) -> Choices:
        """What is picked for a unit so far."""
        return self.picked.get(unit, NO_CHOICES)

    def keep(self, unit: str, choices: Choices) -> None:
        """Pick this for a unit, instead of what was picked for it."""
        self.picked = self.picked | {unit: choices}

    def drop(self, unit: str) -> None:
        """Take the pick for a unit back."""
        self.picked = {u: choices for u, choices in self.picked.items() if u != unit}

    def drop_all_but(self, units: Container[str]) -> None:
        """Forget what was picked for units that are no longer there."""
        self.picked = {u: choices for u, choices in self.picked.items() if u in units}

    def try_out(self, known: Item, picked: Choices) -> tuple[Unit | None, Item]:
        """The unit, and its line, if these choices were made; nothing is kept."""
        if picked == NO_CHOICES:
            return self._session.state.plan.unit(known.unit), known
        found, made = self._try(known, picked)
        return found, known if made is None else _as_known(made, picked, known)

    def _try(self, known: Item, picked: Choices) -> tuple[Unit | None, Item | None]:
        """Planned once for the same choices on the same sides."""
        unit = known.unit
        state = self._session.state
        about = (state.plan, state.local, state.remote)
        if not same(about, self._about):
            self._about, self._tried = about, {}
        if (unit, picked) not in self._tried:
            plan, made = self._session.plan_with(unit, picked), None
            if found := find_unit(plan, unit):
                offers = Offering(plan, state.local).offers(found)
                made = make_item(found, offers, state.remote, known.label)
            self._tried[unit, picked] = found, made
        return self._tried[unit, picked]


def _as_known(made: Item, picked: Choices, known: Item) -> Item:
    """The line as it would be with these picks; what it is called and counted as stays."""
    there = {option.choices for option in known.options}
    who = known.who if made.owner == known.owner else made.who
    options = (*known.options, *(o for o in made.options if o.choices not in there))
    return replace(
        made,
        unit=known.unit,
        id=known.id,
        label=known.label,
        who=who,
        status=known.status,
        cause=known.cause,
        vote=known.vote,
        again=known.again,
        ignored=known.ignored,
        returned=known.returned,
        result=known.result,
        options=options,
        choices=picked,
        picked=say_choices(picked, made.offers.noun),
    )


def same(these: tuple[object, ...], those: tuple[object, ...]) -> bool:
    """Whether they hold the very same values: one that was made anew counts as another."""
    return len(these) == len(those) and all(map(is_, these, those))
