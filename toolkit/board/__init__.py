"""Review what was found and decide about it with the mouse: a model that knows, and views that show.

Loads no widget library before a view is made.
"""

from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from toolkit.board.model import ReviewModel
from toolkit.session import Session

if TYPE_CHECKING:
    from toolkit.board.paged import PagedReview

__all__ = ["ReviewModel", "find_model", "review"]

_models: WeakValueDictionary[int, ReviewModel] = WeakValueDictionary()
"""By the id of their session, which they keep alive: an id can't come to name another meanwhile."""

_views: "WeakValueDictionary[tuple[int, int], PagedReview]" = WeakValueDictionary()


def find_model(session: Session) -> ReviewModel:
    """The one model of a session, so that all views of it agree."""
    model = _models.get(id(session))
    if model is None:
        model = _models[id(session)] = ReviewModel(session)
    return model


def review(session: Session, page: int = 20) -> "PagedReview":
    """A list of what isn't in sync, `page` units at a time, to approve and apply with the mouse.

    Show it as often as you like: it is a view of the session, and decisions made in cells show in it.
    """
    from toolkit.board.paged import PagedReview

    model = find_model(session)
    view = _views.get((id(model), page))
    if view is None:
        view = _views[id(model), page] = PagedReview(model, page)
    view.refresh()
    return view
