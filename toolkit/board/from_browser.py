"""What a view in a browser may ask for: a closed list, and whatever else arrives is refused. Pure."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from toolkit.board.items import LONG
from toolkit.board.views import KEPT, Wanted
from toolkit.board.windows import MOST, PAGE, Column, Query
from toolkit.decisions.ledger import Vote
from toolkit.errors import ToolkitError
from toolkit.model import Choices
from toolkit.text.visible import visible

SELECTED = 500
"""Units that may be selected at once."""
GROUPS = 100
"""Groups that a view may unfold."""
Natural: TypeAlias = Annotated[int, Meta(ge=0)]


class Ask(msgspec.Struct, forbid_unknown_fields=True, tag_field="do", kw_only=True):
    """`view` names who asks, so that the answer is shown there and not on another board."""

    view: str = ""


class Ready(Ask, tag="ready"):
    """It is there: it wants the first lines, and to hear what moves."""


class Bye(Ask, tag="bye"):
    """It is gone."""


class Window(Ask, tag="window"):
    """Lines of the list from `start` on: those that match, sorted by a column or as planned.

    `number` comes back with the answer. `keep` are units whose lines and places it wants besides, and
    `unfolded` are the groups whose lines are seen.
    """

    number: Natural = 0
    start: Natural = 0
    count: Annotated[int, Meta(ge=0, le=MOST)] = PAGE
    keep: Annotated[tuple[str, ...], Meta(max_length=KEPT)] = ()
    status: str = ""
    vote: str = ""
    result: str = ""
    text: str = ""
    quiet: bool = False
    sort: Column = ""
    down: bool = False
    grouped: bool = False
    unfolded: Annotated[tuple[str, ...], Meta(max_length=GROUPS)] = ()

    @property
    def wanted(self) -> Wanted:
        """The same for the model."""
        query = Query(
            status=self.status,
            vote=self.vote,
            result=self.result,
            text=self.text,
            quiet=self.quiet,
            sort=self.sort,
            down=self.down,
            grouped=self.grouped,
        )
        shown = frozenset(self.unfolded)
        return Wanted(query, self.start, self.count, self.keep, self.number, shown)


class Details(Ask, tag="details"):
    """A unit is opened."""

    unit: str


class Decide(Ask, tag="decide"):
    """`change` is what was on display; why and until which day only where a unit is ignored."""

    unit: str
    vote: str
    change: str
    reason: str = ""
    until: str = ""


class Next(Ask, tag="next"):
    """Where the next line stands, after a unit's, that nobody has decided about."""

    unit: str


class Select(Ask, tag="select"):
    """Which units lie between two lines of the list as it was asked for last."""

    first: str
    last: str


class DecideMany(Ask, tag="decide_many"):
    """Units that somebody has selected, each with the change that was on display."""

    units: Annotated[dict[str, str], Meta(max_length=SELECTED)]
    vote: str
    reason: str = ""
    until: str = ""


class Pick(Ask, tag="pick"):
    """A conflict's choice; None takes the picks back."""

    unit: str
    choices: Choices | None


class Count(Ask, tag="count"):
    """What would approving all of a filter or a group mean?"""

    status: str = ""
    text: str = ""
    group: str = ""


class ApproveAll(Ask, tag="approve_all"):
    """`plan` is what was counted."""

    plan: str
    status: str = ""
    text: str = ""
    group: str = ""


class Apply(Ask, tag="apply"):
    """`plan` is what the button spoke of."""

    plan: str


class LookAgain(Ask, tag="look_again"):
    """Read both sides anew."""


class Cancel(Ask, tag="cancel"):
    """End the run that is going on."""


class History(Ask, tag="history"):
    """The runs so far."""


class OpenRun(Ask, tag="open_run"):
    """What a run wrote."""

    run: str


class PlanUndo(Ask, tag="plan_undo"):
    """What taking a run back would write."""

    run: str


class Undo(Ask, tag="undo"):
    """`plan` is what was shown of it."""

    run: str
    plan: str


Message: TypeAlias = (
    Ready
    | Bye
    | Window
    | Details
    | Decide
    | Next
    | Select
    | DecideMany
    | Pick
    | Count
    | ApproveAll
    | Apply
    | LookAgain
    | Cancel
    | History
    | OpenRun
    | PlanUndo
    | Undo
)


def read_message(content: Any) -> Message:
    """A message as a value. Raises `ToolkitError` for what is none."""
    try:
        message: Message = msgspec.convert(content, Message)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ToolkitError(
            f"The board asked for what there isn't: {visible(str(error), LONG)}."
        ) from None
    return message


class Refused(Exception):
    """Why something that a view asked for isn't done, in words that are visible."""


def read_choices(choices: Choices | Mapping[str, Any]) -> Choices:
    """Choices as a view sent them."""
    try:
        return msgspec.convert(choices, Choices)
    except msgspec.ValidationError as error:
        raise Refused(f"The choice can't be read: {visible(str(error))}.") from None


def read_vote(vote: Vote | str) -> Vote:
    """A decision, by its verb or its name."""
    try:
        return _VERBS.get(vote) or Vote(vote)
    except (ValueError, TypeError):
        names = ", ".join(_VERBS)
        raise Refused(f"There is no decision {visible(str(vote))}; there are {names}.") from None


_VERBS = {
    "approve": Vote.APPROVED,
    "reject": Vote.REJECTED,
    "defer": Vote.DEFERRED,
    "ignore": Vote.IGNORED,
    "withdraw": Vote.PENDING,
}
