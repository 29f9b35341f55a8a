"""The review as one table in a notebook, and the only module that imports anywidget.

The browser shows and asks; the model knows and decides. What is shown goes there by messages and not as
the widget's state, which would be saved with the notebook: to each view the lines that it has room for,
whenever it asks for others, and then what of them has changed. What a page shows before anybody answers, or
where nobody ever will, is the session's own text.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anywidget
from IPython import get_ipython
from traitlets import Dict, Unicode

from toolkit.board import from_browser, to_browser
from toolkit.board.esm import join_modules
from toolkit.board.events import Event
from toolkit.board.items import Answer, fingerprint_of, refused
from toolkit.board.review_model import ReviewModel
from toolkit.board.views import Views, Wanted
from toolkit.board.windows import Query, Window
from toolkit.errors import ToolkitError

FEW = 30
"""Units that are read one by one; of more, groups are shown first."""
_BROWSER = Path(__file__).parent / "browser"


class _Table(anywidget.AnyWidget):
    _esm = join_modules(_BROWSER / "table.js")
    _css = (_BROWSER / "table.css").read_text("utf-8")
    until = Unicode().tag(sync=True)
    """What stands there until a kernel answers."""
    words = Dict().tag(sync=True)
    """What things are called for this bot."""


class ReviewTable:
    """The table; show it in a cell by naming it, as often as you like.

    `model` is what it shows, `task` the running or last apply, which a cell may await, and `widget`
    the table for a layout of your own.
    """

    def __init__(self, model: ReviewModel) -> None:
        self.model = model
        with _outside_of_cells():
            self.widget = _Table(words=to_browser.say_words(model.words))
        self._views = Views()
        self.widget.on_msg(self._on_message)
        model.subscribe(self._on_event)

    @property
    def task(self) -> Any:
        """The running or last apply; None before the first."""
        return self.model.task

    def refresh(self) -> None:
        """Show what is so now, also after a cell has decided something."""
        self.model.refresh()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """The widget, and what stands in its place where no JavaScript runs."""
        self.refresh()
        session = self.model.session
        with _outside_of_cells():
            self.widget.until = repr(session)
        found = self.widget._repr_mimebundle_()
        view = found[0] if isinstance(found, tuple) else found or {}
        return {**view, "text/html": session._repr_html_(), "text/plain": repr(session)}

    def __repr__(self) -> str:
        return repr(self.model.session)

    # -- to the browser ---------------------------------------------------------------------------

    def _send(self, content: Mapping[str, Any], to: str = "") -> None:
        self.widget.send({**content, "to": to})

    def _on_event(self, event: Event) -> None:
        """Before a view is there, nobody listens; then it asks for everything itself."""
        if not self._views:
            return
        if event is Event.ITEMS:
            self._send_news()
            self._send(to_browser.state(self.model))
        elif event is Event.PROGRESS:
            self._send(to_browser.progress(self.model))
        else:
            self._send(to_browser.message(self.model))

    def _send_news(self) -> None:
        """To each view what of its window is new, and to those that nobody remembers that something is."""
        views = self._views
        for view, wanted in views.wanted():
            news = views.update(view, self._look(wanted))
            if news is not None:
                self._send(to_browser.news(news, wanted), view)
        if (others := views.take_forgotten()) is not None:
            self._send({"kind": "again", "but": others})

    def _send_window(self, wanted: Wanted, view: str) -> None:
        window = self._look(wanted)
        self._views.tell(view, wanted, window)
        self._send(to_browser.window(window, wanted), view)

    def _look(self, wanted: Wanted) -> Window:
        return self.model.lines.window(wanted)

    def _first(self) -> Wanted:
        """What is shown before a person asks for anything else: of many units, what is the matter with them."""
        return Wanted(Query(grouped=self.model.counts().units > FEW))

    # -- from the browser -------------------------------------------------------------------------

    def _on_message(self, _: Any, content: Any, __: Any) -> None:
        """It may arrive on another thread than the session's."""
        self.model.soon(lambda: self._take(content))

    def _take(self, content: Any) -> None:
        """Whatever was asked, something is answered: who waits in vain thinks that the kernel is gone."""
        known = content if isinstance(content, dict) else {}
        to, unit, about = (_text(known.get(name)) for name in ("view", "unit", "do"))
        self._views.hold(to, unit)
        wanted = self._views.wanted_by(to) if _goes_on(known) else None
        here = self.model.lines.key(wanted, unit) if wanted else -1
        try:
            answer = self._answer(from_browser.read_message(content))
        except ToolkitError as error:
            answer = refused(str(error))
        told: dict[str, Any] = {}
        if answer is not None:
            told = {"words": str(answer), "accepted": answer.accepted}
        if wanted and (answer is None or answer.accepted):
            at = self.model.lines.next_open(wanted, here)
            told["next"] = {"at": at, "number": wanted.number}
        self._send({"kind": "answer", "unit": unit, "about": about, **told}, to)

    def _answer(self, ask: from_browser.Message) -> Answer | None:
        model = self.model
        match ask:
            case from_browser.Ready():
                self._send_window(self._first(), ask.view)
                self._send(to_browser.state(model), ask.view)
            case from_browser.Window():
                self._send_window(ask.wanted, ask.view)
            case from_browser.Details():
                self._send(to_browser.details(model.details(ask.unit)), ask.view)
            case from_browser.Decide():
                return model.decide(
                    ask.unit, ask.vote, change=ask.change, reason=ask.reason, until=ask.until
                )
            case from_browser.DecideMany():
                return model.decide_many(ask.units, ask.vote, reason=ask.reason, until=ask.until)
            case from_browser.Next():
                pass  # it goes with the answer
            case from_browser.Select():
                self._select(ask)
            case from_browser.Pick():
                return model.pick(ask.unit, ask.choices)
            case from_browser.Count():
                batch = model.would_approve(ask.status, ask.text, ask.group)
                told = to_browser.question(batch, ask.status, ask.text, ask.group)
                self._send(told, ask.view)
            case from_browser.ApproveAll():
                return self._approve_all(ask)
            case from_browser.Apply():
                return self._apply(ask)
            case from_browser.LookAgain():
                model.look_again()
            case from_browser.Cancel():
                return model.cancel()
            case _:
                return self._look_back(ask)
        return None

    def _look_back(self, ask: from_browser.Message) -> Answer | None:
        model = self.model
        match ask:
            case from_browser.History():
                self._send(to_browser.history(model.history()), ask.view)
            case from_browser.OpenRun():
                self._send(to_browser.opened("run", model.open_run(ask.run)), ask.view)
            case from_browser.PlanUndo():
                self._send(to_browser.opened("undo", model.plan_undo(ask.run)), ask.view)
            case from_browser.Undo():
                model.start_undo(ask.run, ask.plan)
            case _:  # it says goodbye
                self._views.leave(ask.view)
        return None

    def _approve_all(self, ask: from_browser.ApproveAll) -> Answer:
        batch = self.model.would_approve(ask.status, ask.text, ask.group)
        if fingerprint_of(batch.changes) != ask.plan:
            return refused("The list has changed since it was counted; count it again.")
        return self.model.approve_all(ask.status, ask.text, ask.group, changes=batch.changes)

    def _select(self, ask: from_browser.Select) -> None:
        """Of a list that nobody remembers nothing is selected: the view asks for it again anyway."""
        wanted = self._views.wanted_by(ask.view)
        if wanted is not None:
            most = from_browser.SELECTED
            units, more = self.model.lines.between(wanted, ask.first, ask.last, most)
            self._send(to_browser.selected(units, more), ask.view)

    def _apply(self, ask: from_browser.Apply) -> Answer | None:
        """The click is about what the button said; a second one finds the run that is going on."""
        model = self.model
        if not model.busy:
            if not model.counts().approved_units:
                return refused("Nothing is approved.")
            if model.approved() != ask.plan:
                return refused(
                    "What is approved has changed since the click: see what Apply says now."
                )
        model.start_apply()
        return None


@contextmanager
def _outside_of_cells() -> Iterator[None]:
    """What is told here answers no cell, so that nbclient, and whoever executes with it, saves no state of
    the widget: where there is state, a page shows the widget, which nobody answers, instead of the table."""
    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        yield
        return
    kernel.get_parent = lambda channel=None: {}
    try:
        yield
    finally:
        del kernel.get_parent


def _goes_on(content: Mapping[str, Any]) -> bool:
    """Whether the next line is looked for: after a decision it is, and not after one was taken back."""
    return content.get("do") == "next" or (
        content.get("do") == "decide" and content.get("vote") != "withdraw"
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
