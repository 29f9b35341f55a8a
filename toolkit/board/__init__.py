"""Review what was found and decide about it with the mouse: a model that knows, and views that show.

Loads no widget library before a view is made.
"""

from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from toolkit.board.review_model import ReviewModel
from toolkit.session.session import Session
from toolkit.shadow import ShadowRun

if TYPE_CHECKING:
    from toolkit.board.table import ReviewTable

__all__ = ["ReviewModel", "find_model", "review"]

_models: WeakValueDictionary[int, ReviewModel] = WeakValueDictionary()
"""By the id of their session, which they keep alive: an id can't come to name another meanwhile."""

_tables: "WeakValueDictionary[int, ReviewTable]" = WeakValueDictionary()


def find_model(session: Session) -> ReviewModel:
    """The one model of a session, so that all views of it agree."""
    model = _models.get(id(session))
    if model is None:
        model = _models[id(session)] = ReviewModel(session)
    return model


def review(what: Session | ShadowRun) -> "ReviewTable":
    """A table of what isn't in sync, to look at, decide, apply and take back with mouse or keys.

    Of a shadow run: of what its function would have written. Show it as often as you like: it is a
    view of the session (`run.session`), and decisions made in cells show in it.
    """
    from toolkit.board.table import ReviewTable

    model = find_model(what.session if isinstance(what, ShadowRun) else what)
    table = _tables.get(id(model))
    if table is None:
        table = _tables[id(model)] = ReviewTable(model)
    return table
