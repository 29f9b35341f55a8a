"""Settling conflicts in a terminal: one after the other, a key for each choice, and nothing written before the end.

What is asked, and what comes of an answer, says `toolkit.session.settling`; here are the screens and keys.
"""

import asyncio
from collections.abc import Iterator, Mapping
from string import ascii_uppercase

import click
from rich.console import RenderableType
from rich.text import Text

from toolkit.cli.case_tables import CaseTables
from toolkit.cli.decide import look_to_decide
from toolkit.cli.look import exit_code, look_decided, road_of
from toolkit.cli.options import Where
from toolkit.cli.output import (
    Cancelled,
    ask,
    open_in_browser,
    press,
    progress,
    say,
    show,
    someone_there,
)
from toolkit.cli.render import render_changes, render_unit
from toolkit.cli.render_written import render_report
from toolkit.cli.verdict import render_verdict
from toolkit.cli.write import run_to_write, show_aftermath
from toolkit.decisions.decision import Decision
from toolkit.decisions.offers import Option
from toolkit.errors import ToolkitError
from toolkit.model import Plan, Unit
from toolkit.quotes import quote_odd
from toolkit.repairs import Done, Repairs
from toolkit.session.deciding import Deciding
from toolkit.session.settling import Question, Settling
from toolkit.text.advice import deed
from toolkit.text.summary import count_of
from toolkit.text.visible import visible

_KEYS = "123456789" + ascii_uppercase
_COMMON = (
    "  t  type another id   o  open in the browser      i  ignore, with a reason\n"
    "  s  skip              u  take the last step back  q  stop asking"
)
_YES, _TYPE, _OPEN, _IGNORE, _SKIP, _UNDO, _QUIT, _NO = "ytoisuqn"


def settle(where: Where) -> int:
    """Ask about each unit that needs a person, show what would be written, and write it if that is agreed to."""
    if not someone_there():
        raise ToolkitError(
            "Nobody is there to be asked: `matrix-drift apply 'UNIT'` takes one decision without questions."
        )
    where = where.with_token()
    road = road_of(where)
    deciding = asyncio.run(look_to_decide(road))
    settling = Settling(deciding, road.sides.convention)
    if settling.ask() is None:
        approved = _approved(deciding)
        say(
            f"Nothing is left to decide; {count_of(len(approved), 'unit')} approved before:"
            if approved
            else "There is nothing to settle."
        )
    try:
        units = _decide(where, deciding, settling)
    except (click.Abort, KeyboardInterrupt):
        units = None
    if units is None:
        raise Cancelled(
            f"nothing was written. What you decided stands in {deciding.file}: `matrix-drift settle` goes "
            "on from there."
        )
    if units:
        _write_all(road, deciding, units)
    else:
        say("Nothing was written.")
    left = look_decided(where)
    show([render_verdict(left.plan, left.record)])
    return exit_code(left.plan, False, left.record)


def _decide(where: Where, deciding: Deciding, settling: Settling) -> list[Unit] | None:
    """Ask until it is agreed what to write, perhaps nothing; None if not now."""
    while True:
        _ask_about_each(settling)
        units = _approved(deciding)
        if not units:
            return units
        show(render_changes(units))
        answer = _press_one_of(
            f"Write {count_of(len(units), 'unit')} to {where.shown_database}?"
            " y: yes, u: take the last step back, n: not now",
            _YES + _UNDO + _NO,
        )
        if answer != _UNDO:
            return units if answer == _YES else None
        _undo(settling)


def _press_one_of(question: str, keys: str) -> str:
    say(question)
    while (answer := press("> ")) not in keys:
        _say_no_key(answer)
    return answer


def _ask_about_each(settling: Settling) -> None:
    shown: tuple[Unit, str] | None = None
    while question := settling.ask():
        options = dict(zip(_KEYS, question.options, strict=False))
        if (question.unit, question.picked) != shown:
            show(_screen(question, options))
            shown = question.unit, question.picked
        answer = press("> ")
        if answer == _QUIT:
            return
        if _take(settling, question, options, answer):
            shown = None


def _take(
    settling: Settling, question: Question, options: Mapping[str, Option], answer: str
) -> bool:
    """Do what a key says; whether the question is to be shown again or is another one."""
    unit = question.unit
    if answer in options:
        return _said(unit, settling.pick(options[answer].choices), options[answer].label)
    if answer == _YES and unit.change:
        return _said(unit, settling.agree(), "agreed")
    if answer == _SKIP:
        settling.skip()
        say(f"{quote_odd(unit.id)}: left open.")
        return True
    if answer == _UNDO:
        return _undo(settling)
    try:
        if answer == _TYPE:
            typed = ask(f"{settling.plan.words.typed}:")
            return _said(unit, settling.pick(settling.read(typed)), typed)
        if answer == _IGNORE:
            settling.ignore(ask("Why may it stay as it is?"))
            say(f"{quote_odd(unit.id)}: ignored.")
            return True
    except ToolkitError as error:
        say(str(error))
        return False
    if answer == _OPEN and (case := question.cases.open(unit)):
        for side in case.sides:
            say(f"{side.title}: {side.link}")
            open_in_browser(side.link)
        return False
    _say_no_key(answer)
    return False


def _undo(settling: Settling) -> bool:
    back = settling.undo()
    say(f"Taken back: {quote_odd(back)}." if back else "There is nothing to take back.")
    return bool(back)


def _say_no_key(key: str) -> None:
    say(f"The key {key!r} does nothing here.")


def _said(unit: Unit, why: str, picked: str) -> bool:
    say(f"Not settled by that: {why}." if why else f"{quote_odd(unit.id)}: {picked}.")
    return not why


def _screen(question: Question, options: Mapping[str, Option]) -> Iterator[RenderableType]:
    """What is known of a unit, and the keys."""
    yield ""
    yield Text(f"{count_of(question.left, 'unit')} left to decide", "dim")
    yield from render_unit(question.unit, CaseTables(question.cases, offered=False))
    if question.picked:
        yield Text(f"picked so far: {visible(question.picked)}")
    yield ""
    for key, option in options.items():
        yield _key(key, option.label + (f": {option.why}" if option.why else ""))
    if question.unit.change:
        deeds = " and ".join(map(deed, question.unit.writes))
        yield _key(_YES, f"agree: {deeds}")
    yield Text(_COMMON, "dim")


def _key(key: str, words: str) -> Text:
    return Text(f"  {key}  ", "bold").append(words, "not bold")


# The end


def _approved(deciding: Deciding) -> list[Unit]:
    """Everything that is approved by now, here or before."""
    plan = deciding.state.plan
    decisions = deciding.state.ledger.binding(plan)
    return [unit for unit in plan.units if _says_yes(decisions.get(unit.id), unit)]


def _says_yes(decision: Decision | None, unit: Unit) -> bool:
    return bool(unit.change and decision and decision.agreed and decision.change)


def _write_all(road: Repairs, deciding: Deciding, units: list[Unit]) -> None:
    plan = deciding.state.plan
    done = run_to_write(_write(road, plan, deciding.state.ledger.binding(plan)))
    deciding.forget(done.result.applied)
    show(render_report(done.report, [unit.id for unit in units]))
    show_aftermath(done.result)
    if done.result.warning:
        say(done.result.warning)


async def _write(road: Repairs, plan: Plan, decisions: dict[str, Decision]) -> Done:
    with progress("Looking again, writing") as tell:
        return await road.write(plan, decisions, tell, None)
