"""What is said about a unit beside its buttons. Pure."""

from collections.abc import Container

from toolkit.decisions.offers import Offers
from toolkit.model import Code, RowWrite, Unit, UnitKind
from toolkit.quotes import quote_odd
from toolkit.text.advice import NOTEBOOK, action, changed_fields, deed, verb

_FIELD = "the field under “Your choice”"
_BOARD = NOTEBOOK._replace(id=_FIELD, some_id=_FIELD)


def say_action(unit: Unit, offers: Offers) -> str:
    """What approving would do, or what to do first, for somebody with a mouse."""
    if unit.change:
        words = f"would {' and '.join(map(_say_write, unit.change.writes))}"
        return f"needs your yes: {words}" if unit.needs_human else words
    codes = {finding.code for finding in unit.findings}
    wanted = [
        ("pick the owner", offers.owners),
        ("pick the Space", offers.spaces),
        (_say_ids(codes, offers), offers.chat_ids),
        ("look at the row, then pick whether to overwrite it", offers.overwrite),
        ("pick whether to lower the counter", offers.lower_counter),
    ]
    if told := [words for words, offered in wanted if offered]:
        return ", or ".join(told)
    if Code.MULTIPLE_SPACES in codes and unit.kind is UnitKind.ROOM:
        return f"settle first which Space of {quote_odd(unit.owner) if unit.owner else 'the user'} counts"
    if Code.OWNER_UNKNOWN in codes:
        return "nobody is known who could own it: nothing can be written"
    return action(unit, _BOARD)


def _say_ids(codes: Container[Code], offers: Offers) -> str:
    if Code.DUPLICATE_ID in codes:
        return "pick the id for the one room that gets it"
    return f"pick {'an' if offers.noun == 'id' else 'a'} {offers.noun}"


def _say_write(write: RowWrite) -> str:
    """A change of few fields names them; what is inserted or overwritten is the whole row."""
    if verb(write) != "change":
        return deed(write)
    fields = [name for name, _, _ in changed_fields(write) if name]
    return f"{deed(write)} ({', '.join(fields)})" if 0 < len(fields) <= 3 else deed(write)
