"""The review as a paged list of ipywidgets, and the only module that imports them.

One set of rows, filled anew for each page: a widget set per room would be 34,000 models at 2,000
rooms. It shows the model and calls its methods; a click does nothing that a line of code can't do.
"""

from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as widgets
from ipywidgets.widgets.widget_description import DescriptionStyle
from ipywidgets.widgets.widget_string import HTMLStyle

from toolkit.board.items import Details, Item, number
from toolkit.board.listeners import Event
from toolkit.board.model import Batch, ReviewModel
from toolkit.html import untypeset
from toolkit.ledger import Vote
from toolkit.model import Status

_STATUSES = (Status.CONFLICT, Status.MISSING, Status.MISMATCHED)
_COLOURS = {
    Status.CONFLICT: "var(--jp-error-color1)",
    Status.MISSING: "var(--jp-warn-color1)",
    Status.MISMATCHED: "var(--jp-info-color1)",
}
_VOTES = {Vote.APPROVED: "approved", Vote.REJECTED: "skipped", Vote.DEFERRED: "put off"}
_DECIDED = {
    Vote.APPROVED: "var(--jp-success-color1)",
    Vote.REJECTED: "var(--jp-warn-color1)",
    Vote.DEFERRED: "var(--jp-border-color1)",
}
_BACK = "take the pick back"
_VERB = "matrix-drift-verb"
_LEFT = ' style="text-align: left; padding-right: 12px; min-width: 8em"'
_LINE = "matrix-drift-line"
_CSS = f"""<style>
.{_VERB}.jupyter-button {{ word-spacing: 400px; text-overflow: clip }}
.{_LINE} > .widget-html-content {{ flex: 1 1 0; min-width: 0; overflow-wrap: anywhere }}
</style>"""
"""A button's text is its name to a screen reader and says which unit; only its first word is seen."""


class PagedReview:
    """A list of units with buttons; show it in a cell by naming it, as often as you like.

    `model` is what it shows, `task` the running or last apply, which a cell may await, and `widget`
    the whole of it for a layout of your own.
    """

    def __init__(self, model: ReviewModel, page: int = 20) -> None:
        self.model = model
        self._page = 0
        self._open: str | None = None
        self._asked: Batch | None = None
        self._filling = False
        self._shapes = _Shapes()
        self._sheets = [_Sheet(self, self._shapes, page) for _ in range(2)]
        self._build()
        self._stop = model.subscribe(self._on_event)
        self.refresh()

    @property
    def rows(self) -> "list[_Row]":
        """The rows that are on display."""
        return self._sheets[0].filled

    @property
    def task(self) -> Any:
        """The running or last apply; None before the first."""
        return self.model.task

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """The widget, and what stands in its place where no JavaScript runs."""
        self.model.refresh()
        session = self.model.session
        view = self.widget._repr_mimebundle_()
        return {**view, "text/html": session._repr_html_(), "text/plain": repr(session)}

    def __repr__(self) -> str:
        return repr(self.model.session)

    # -- building ---------------------------------------------------------------------------------

    def _build(self) -> None:
        shapes, do = self._shapes, self._do
        statuses = [("everything", ""), *((_word(s), s.value) for s in _STATUSES)]
        votes = [("decided or not", ""), ("pending", Vote.PENDING.value)]
        votes += [(word, vote.value) for vote, word in _VOTES.items()]
        self.counts = shapes.html()
        self.status = shapes.dropdown("Status", statuses)
        self.vote = shapes.dropdown("Decision", votes)
        self.text = widgets.Text(
            placeholder="room, user, words",
            description="Search",
            continuous_update=False,
            layout=shapes.filter,
        )
        for control in (self.status, self.vote, self.text):
            control.observe(lambda _: do(self._filter), names="value")
        self.previous = shapes.button("Previous page", lambda: do(lambda: self._turn(-1)))
        self.next = shapes.button("Next page", lambda: do(lambda: self._turn(1)))
        self.place = shapes.html()
        self.approve_all = shapes.button("", lambda: do(self._approve_all), shapes.wide)
        self.approve_all.tooltip = (
            "Approve all pending units of this filter that need no decision of their own"
        )
        self.list = widgets.VBox([sheet.widget for sheet in self._sheets], layout=shapes.whole)
        self.details = shapes.html()
        self.details.add_class(_LINE)
        self.close = shapes.button("Close details", lambda: do(lambda: self._show(None)))
        self.opened = widgets.VBox([self.details, self.close], layout=shapes.inset)
        self.apply = shapes.button("Apply", lambda: do(self.model.start_apply), shapes.wide)
        self.cancel = shapes.button("Cancel", lambda: do(self.model.cancel))
        self.cancel.tooltip = "End the apply after what is finished"
        self.bar = widgets.IntProgress(max=1, layout=widgets.Layout(width="200px"))
        self.far = shapes.html()
        self.message = shapes.html()
        self.widget = widgets.VBox(
            [
                widgets.HTML(_CSS, layout=shapes.nothing),
                self.counts,
                shapes.line(self.status, self.vote, self.text, self.approve_all),
                self.list,
                shapes.line(self.previous, self.place, self.next),
                shapes.line(self.apply, self.cancel, self.bar, self.far),
                self.message,
            ],
            layout=shapes.whole,
        )

    def _do(self, action: Callable[[], object]) -> None:
        """A handler may be called on another thread than the session's; filling in is no click."""
        if not self._filling:
            self.model.soon(action)

    # -- handlers ---------------------------------------------------------------------------------

    def _filter(self) -> None:
        self._page, self._asked = 0, None
        self._fill_items()

    def _turn(self, by: int) -> None:
        self._page += by
        self._fill_items()

    def _show(self, unit: str | None) -> None:
        self._open = None if unit == self._open else unit
        self._fill_details()

    def _approve_all(self) -> None:
        """The first click says how many, the second approves exactly those."""
        status, text = self.status.value, self.text.value
        if self._asked is None:
            self._asked = self.model.would_approve(status, text)
            self._fill_approve_all()
            return
        asked, self._asked = self._asked, None
        self.model.approve_all(status, text, changes=asked.changes)

    def vote_on(self, item: Item, vote: Vote) -> None:
        """A click on a row's button; on one that is pressed already, it takes the decision back."""
        meant = Vote.PENDING if item.vote is vote else vote
        self.model.decide(item.unit, meant, change=item.change)

    # -- filling ----------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show what is so now, also after a cell has decided something."""
        self._on_event(Event.ITEMS)
        self._on_event(Event.PROGRESS)
        self._on_event(Event.MESSAGE)

    def _on_event(self, event: Event) -> None:
        if event is Event.ITEMS:
            self._fill_items()
        elif event is Event.PROGRESS:
            self._fill_progress()
        else:
            colour = "var(--jp-error-color1)" if self.model.failed else "var(--jp-ui-font-color1)"
            words = f'<div style="white-space: pre-wrap; color: {colour}">{_text(self.model.message)}</div>'
            self.message.value = _html(words if self.model.message else "")

    def _fill_items(self) -> None:
        self._filling = True
        try:
            items = self.model.items(self.status.value, self.text.value, vote=self.vote.value)
            size = self._sheets[0].size
            pages = max(1, -(-len(items) // size))
            self._page = min(max(self._page, 0), pages - 1)
            shown = items[self._page * size : (self._page + 1) * size]
            self._fill_rows(shown)
            self.previous.disabled, self.next.disabled = self._page == 0, self._page == pages - 1
            self.place.value = _html(
                f"Page {self._page + 1} of {pages}, {number(len(items), 'unit')}"
            )
            self._fill_totals()
            self._fill_approve_all()
            self._fill_details()
        finally:
            self._filling = False

    def _fill_rows(self, shown: list[Item]) -> None:
        """Other units come on the other sheet: a click that is still on its way means what it saw."""
        front, back = self._sheets
        if front.filled and [item.unit for item in shown] != front.units:
            back.fill(shown)
            back.show()
            front.hide()
            self._sheets.reverse()
        else:
            front.fill(shown)

    def _fill_totals(self) -> None:
        counts = self.model.counts()
        told = [f"{counts.by_status[s]:,} {_word(s)}" for s in _STATUSES if counts.by_status.get(s)]
        votes = [
            f"{counts.by_vote[v]:,} {word}" for v, word in _VOTES.items() if counts.by_vote.get(v)
        ]
        heading = f"{number(counts.units, 'unit')} to look at" if counts.units else "All in sync"
        self.counts.value = _html(f"<b>{heading}</b>{_list(told)}{_list(votes, ' · ')}")
        units, rows = counts.approved_units, counts.approved_rows
        self.apply.description = (
            f"Apply {number(units, 'unit')}, {number(rows, 'row')}"
            if units
            else "Apply: nothing approved"
        )
        self.apply.disabled = not units or self.model.running
        self.apply.button_style = "primary" if units else ""

    def _fill_approve_all(self) -> None:
        batch = self.model.would_approve(self.status.value, self.text.value)
        if self._asked is not None and self._asked != batch:
            self._asked = None
        words = f"{number(batch.units, 'unit')}, {number(batch.rows, 'row')}"
        sure = f"Approve {words}?" if self._asked else f"Approve all {batch.units:,} of these…"
        self.approve_all.description = sure if batch.units else "None to approve together"
        self.approve_all.disabled = not batch.units
        self.approve_all.button_style = "warning" if self._asked else ""

    def _fill_details(self) -> None:
        """What opens stands below its row, as long as that is on the page."""
        item = self.model.item(self._open) if self._open else None
        if item is None:
            self._open = None
        else:
            self.details.value = _html(_details(self.model.details(item.unit)))
        self._sheets[0].place(self._open, self.opened)

    def _fill_progress(self) -> None:
        running, progress = self.model.running, self.model.progress
        self.apply.disabled = running or not self.model.counts().approved_units
        self.cancel.disabled = not running
        self.bar.layout.visibility = "visible" if running else "hidden"
        self.bar.max, self.bar.value = max(progress.total, 1), progress.done
        words = f"{progress.done:,} of {progress.total:,} {_text(progress.word)}" if running else ""
        self.far.value = _html(words)


class _Row:
    """One line and its buttons; which unit it is about changes with the page."""

    def __init__(self, view: PagedReview, shapes: "_Shapes") -> None:
        self._view, self._shapes = view, shapes
        self.item: Item | None = None
        self.line = shapes.html(shapes.info)
        self.line.add_class(_LINE)
        self.choice = shapes.choice()
        self.choice.observe(lambda _: view._do(self._pick), names="index")
        self.more = self._button("Details", lambda item: view._show(item.unit))
        self.approve = self._button("Approve", lambda item: view.vote_on(item, Vote.APPROVED))
        self.skip = self._button("Skip", lambda item: view.vote_on(item, Vote.REJECTED))
        self.widget = shapes.row(self.line, self.choice, self.more, self.approve, self.skip)

    def _button(self, words: str, action: Callable[[Item], object]) -> Any:
        """What is on display counts from the moment of the click, whenever it is carried out."""

        def clicked() -> None:
            if (item := self.item) is not None:
                self._view._do(lambda: action(item))

        return self._shapes.verb(words, clicked)

    def _pick(self) -> None:
        item, index = self.item, self.choice.index
        if item is None or not index:
            return
        choices = item.options[index - 1].choices if index <= len(item.options) else None
        self._view.model.pick(item.unit, choices)
        self._view._fill_items()  # also where nothing came of it, to show the first line again

    def fill(self, item: Item) -> None:
        """Show this unit."""
        if item == self.item and not self.choice.index:
            return
        self.item = item
        self.line.value = _html(_line(item))
        approved, skipped = item.vote is Vote.APPROVED, item.vote is Vote.REJECTED
        self.approve.button_style = "success" if approved else ""
        self.skip.button_style = "warning" if skipped else ""
        self.approve.disabled = not item.approvable and not approved
        for button, words in (
            (self.more, "Details of"),
            (self.approve, "Withdraw" if approved else "Approve"),
            (self.skip, "Withdraw" if skipped else "Skip"),
        ):
            button.description = f"{words} {item.label}"
            button.tooltip = f"{words} {item.label}, {item.id}"
        self._fill_choice(item)

    def _fill_choice(self, item: Item) -> None:
        labels = [option.label for option in item.options]
        drafted = item.picked and labels
        first = f"picked: {item.picked}" if drafted else "pick one…"
        self.choice.description = _plain(f"Choice for {item.label}")
        self.choice.options = [first, *labels, *([_BACK] if drafted else [])]
        self.choice.index = 0
        self.choice.layout = self._shapes.shown if labels else self._shapes.hidden


class _Sheet:
    """A page of rows, in front or waiting behind."""

    def __init__(self, view: PagedReview, shapes: "_Shapes", size: int) -> None:
        self.size = size
        self.filled: list[_Row] = []
        self._rows = [_Row(view, shapes) for _ in range(size)]
        self.widget = widgets.VBox(layout=widgets.Layout(width="100%"))

    @property
    def units(self) -> list[str]:
        return [row.item.unit for row in self.filled if row.item]

    def fill(self, items: list[Item]) -> None:
        self.filled = self._rows[: len(items)]
        for row, item in zip(self.filled, items, strict=True):
            row.fill(item)

    def place(self, unit: str | None, opened: Any) -> None:
        """Show the rows, and what is open below its own."""
        children = []
        for row in self.filled:
            children.append(row.widget)
            if row.item and row.item.unit == unit:
                children.append(opened)
        self.widget.children = children

    def show(self) -> None:
        self.widget.layout.display = None

    def hide(self) -> None:
        """What is open moves to the other sheet; the rows stay, for clicks that are on their way."""
        self.place(None, None)
        self.widget.layout.display = "none"


class _Shapes:
    """Layouts and styles, each one model for all rows; sizes are fixed, so that no name moves a button."""

    def __init__(self) -> None:
        still = "0 0 auto"
        self.whole = widgets.Layout(width="100%")
        self.wide = widgets.Layout(width="250px", flex=still)
        self.filter = widgets.Layout(width="190px", flex=still)
        self.info = widgets.Layout(flex="1 1 0", min_width="0", overflow="hidden")
        self.shown = widgets.Layout(width="160px", flex=still)
        self.hidden = widgets.Layout(display="none")
        self.described = DescriptionStyle(description_width="60px")
        self._unseen = DescriptionStyle(description_width="0px")
        self._button = widgets.Layout(width="120px", flex=still)
        self._verb = widgets.Layout(width="84px", flex=still)
        self.inset = widgets.Layout(width="100%", padding="4px 16px 8px", overflow="auto")
        self.nothing = widgets.Layout(display="none")
        self._row = widgets.Layout(
            width="100%",
            align_items="center",
            border_bottom="1px solid var(--jp-border-color2)",
            padding="2px 0",
        )
        self._line = widgets.Layout(width="100%", align_items="center", flex_flow="row wrap")
        self._button_style, self._html_style = widgets.ButtonStyle(), HTMLStyle()

    def html(self, layout: Any = None) -> Any:
        layout = layout or widgets.Layout()
        return widgets.HTML(layout=layout, style=self._html_style)

    def button(self, words: str, action: Callable[[], object], layout: Any = None) -> Any:
        button = widgets.Button(
            description=words, layout=layout or self._button, style=self._button_style
        )
        button.on_click(lambda _: action())
        return button

    def verb(self, words: str, action: Callable[[], object]) -> Any:
        """A narrow button of a row, whose full text names the unit."""
        button = self.button(words, action, self._verb)
        button.add_class(_VERB)
        return button

    def dropdown(self, words: str, options: list[tuple[str, str]]) -> Any:
        return widgets.Dropdown(
            description=words, options=options, layout=self.filter, style=self.described
        )

    def choice(self) -> Any:
        """Its description isn't seen, and names it to whoever doesn't see."""
        return widgets.Dropdown(options=[""], layout=self.hidden, style=self._unseen)

    def row(self, *children: Any) -> Any:
        return widgets.HBox(children, layout=self._row)

    def line(self, *children: Any) -> Any:
        return widgets.HBox(children, layout=self._line)


# Markup. Texts of items are visible already; here they are escaped, and kept from MathJax.


def _html(markup: str) -> str:
    return f'<div class="tex2jax_ignore mathjax_ignore" style="line-height: 1.35">{markup}</div>'


def _text(text: str) -> str:
    return untypeset(escape(text))


def _word(status: Status) -> str:
    return status.value.replace("_", " ")


def _list(words: list[str], before: str = ": ") -> str:
    return f"{before}{', '.join(words)}" if words else ""


def _plain(text: str) -> str:
    """For descriptions, which JupyterLab typesets: signs that look the same and start no formula."""
    return text.replace("$", "\uff04").replace("\\", "\uff3c")


def _chip(words: str, colour: str) -> str:
    style = (
        f"border: 1px solid {colour}; border-left-width: 5px; border-radius: 3px; padding: 0 4px"
    )
    return f'<span style="{style}; font-size: 85%">{words}</span>'


def _line(item: Item) -> str:
    chips = _chip(_word(item.status), _COLOURS.get(item.status, "var(--jp-ui-font-color2)"))
    if item.vote in _VOTES:
        chips += " " + _chip(_VOTES[item.vote], _DECIDED[item.vote])
    name = item.name if item.name != item.label else ""
    told = item.action
    if item.result and item.result.why:
        told = f"left alone: {item.result.why}"
    first = f"{chips} <b>{_text(item.label)}</b>{_text(f' · {name}' if name else '')}"
    second = f"{told} · {item.cause}"
    return _cut(first, f"{item.label} · {name}") + _cut(_text(second), second, "font-color2")


def _cut(markup: str, full: str, colour: str = "font-color1") -> str:
    """One line of it; the mouse shows the rest, which is the room's or ours and no markup."""
    style = "white-space: nowrap; overflow: hidden; text-overflow: ellipsis"
    style += f"; color: var(--jp-ui-{colour})"
    return f'<div style="{style}" title="{escape(full)}">{markup}</div>'


def _details(details: Details) -> str:
    item = details.item
    parts = [f"<b>{_text(item.label)}</b> · {_text(item.name)} <code>{_text(item.id)}</code>"]
    for fact in details.facts:
        proof = f" ({_text(fact.evidence)})" if fact.evidence != "none" else ""
        parts.append(f"{_text(fact.what)}: {_text(fact.cause)}{proof}")
    parts.append(f"Next: {_text(item.action)}")
    if item.picked:
        parts.append(f"Picked: {_text(item.picked)}")
    words = "".join(f'<div style="white-space: normal">{part}</div>' for part in parts)
    return words + "".join(_row_table(row) for row in details.rows)


def _row_table(row: Any) -> str:
    lines = "".join(
        f"<tr>{_cell(field.name)}{_cell(field.before)}{_cell(field.after)}</tr>"
        for field in row.fields
    )
    heads = "".join(f"<th{_LEFT}>{word}</th>" for word in ("field", "before", "after"))
    title = f"<div><b>{row.verb}</b> <code>{_text(row.key)}</code></div>"
    return f"{title}<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>"


def _cell(text: str) -> str:
    return f"<td{_LEFT}>{_text(text)}</td>"
