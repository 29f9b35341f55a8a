"""Running a function on the shadow: what it is given, and what is refused before it runs."""

import contextlib
import copy
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MethodType
from typing import TYPE_CHECKING, Any, NamedTuple

from toolkit.database.chat_manager import ChatManagerLike
from toolkit.database.contract import Store, transactional
from toolkit.database.look import Look, load_look
from toolkit.database.store import SQLiteStore
from toolkit.errors import ToolkitError
from toolkit.homeserver.client_memory import user_id_of
from toolkit.homeserver.reading import ClientLike
from toolkit.homeserver.readonly import ReadOnlyClient
from toolkit.homeserver.refused_calls import hide
from toolkit.planning.links.rows import load_links
from toolkit.quotes import quote_odd
from toolkit.records import Raw
from toolkit.shadow.copied import open_copy
from toolkit.shadow.link_plan import plan_link_writes
from toolkit.shadow.plan import plan_writes
from toolkit.shadow.result import Seen, ShadowResult
from toolkit.shadow.store import ShadowStore
from toolkit.writing.chat_rows import works_on

if TYPE_CHECKING:
    from toolkit.session.results import ShownPlan
    from toolkit.session.session import Session


@dataclass(frozen=True, repr=False)
class ShadowRun(ShadowResult):
    """A run, to be looked at in cells and in a notebook, and reviewed like any plan."""

    @property
    def plan(self) -> "ShownPlan":
        """The plan with its frames; needs what notebooks need."""
        from toolkit.shadow.html import ShadowPlan  # pandas takes its time to load

        return ShadowPlan(self.value, run=self)

    @cached_property
    def session(self) -> "Session":
        """What a person decides about it, in memory only; `toolkit.review` shows this session."""
        from toolkit.shadow.session import open_session  # as above

        return open_session(self)

    async def _see(self, rows: dict[str, Raw]) -> None:
        """A board that is open shows at once what a cell has applied."""
        await super()._see(rows)
        if "session" in vars(self):
            self.session.see(rows, self.seen.past)

    def _repr_html_(self) -> str:
        from toolkit.shadow.html import run_html

        return run_html(self)


async def shadow_run(
    fn: Callable[[Any, Any, Any], Any],
    client: ClientLike | None,
    store: Store,
    chat_mgr: ChatManagerLike | None = None,
) -> ShadowRun:
    """Run `fn(client, store, chat_mgr)` so that nothing is written, and see what would have been.

    The function gets a client that only reads, a copy-on-write view of the store, and a copy of the
    chat manager on that view. What it reaches by other ways (a global variable, a path) isn't
    guarded. It may raise: that hides nothing of what came before.

    For a bot of shape links it gets such a client, a store on a copy of the database (whose `path` it may
    open for any SQL), and the layout: `shadow_run(reconcile_links, client, store)`.

    Raises `StoreError` if the rows can't be read, `ToolkitError` for a function or a chat manager
    that holds the real objects and would use them.
    """
    name = _name(fn)
    _refuse_shortcut(fn, name, (client, store, chat_mgr))
    refused: list[str] = []
    guarded = None if client is None else ReadOnlyClient(client, refused)
    token = getattr(client, "access_token", None)
    secret = token if isinstance(token, str) else ""
    account = user_id_of(client)
    if transactional(store) and store.layout.links:
        if not isinstance(store, SQLiteStore):
            raise ToolkitError(
                "A shadow run of shape links copies the bot's tables, and can do so with SQLite only."
            )
        if chat_mgr is not None:
            raise ToolkitError("A bot of shape links has no chat manager: leave chat_mgr out.")
        return await _run_on_copy(
            lambda copy: _call(fn, secret, guarded, copy, store.layout),
            name,
            store,
            account,
            refused,
        )
    look = await load_look(store)
    seen = await Seen.load(store, look.rows)
    shadow = ShadowStore(store, look, refused)
    manager = _on_shadow(chat_mgr, {id(store): shadow, id(client): guarded}, shadow)
    ended = await _call(fn, secret, guarded, shadow, manager)
    return ShadowRun(
        function=name,
        value=plan_writes(shadow.changes(), look.rows, account, name),
        refused=tuple(refused),
        raised=ended.raised,
        returned=ended.returned,
        rewritten=shadow.rewritten(),
        warning=await _moved(store, look),
        look=look,
        seen=seen,
        store=store,
    )


async def _run_on_copy(
    call: "Callable[[SQLiteStore], Awaitable[_Ended]]",
    name: str,
    store: SQLiteStore,
    account: str,
    refused: list[str],
) -> ShadowRun:
    """The same on a copy of the tables: the function's writes are what differs there afterwards."""
    async with open_copy(store) as copied:
        look = copied.look
        seen = await Seen.load(store, look.rows)
        ended = await call(copied.store)
        after = await copied.look_again()
        elsewhere = await copied.changed_elsewhere(after)
    gone = sorted(look.rows.keys() - after.rows.keys())
    refused += [f"DELETE of the row {quote_odd(key)}" for key in gone]
    links = load_links(after.rows, store.layout, after.facts)
    return ShadowRun(
        function=name,
        value=plan_link_writes(look.rows, links, account, name),
        refused=tuple(refused),
        raised=ended.raised,
        returned=ended.returned,
        rewritten=0,
        warning=await _moved(store, look),
        look=look,
        seen=seen,
        store=store,
        links=links,
        elsewhere=elsewhere,
    )


class _Ended(NamedTuple):
    """How a function ended, as short texts without the access token."""

    returned: str
    raised: str | None


async def _call(fn: Callable[..., Any], secret: str, *given: Any) -> _Ended:
    returned, raised = None, None
    try:
        answer = fn(*given)
        returned = await answer if inspect.isawaitable(answer) else answer
    except (Exception, SystemExit) as error:  # the bot's own code may raise anything: it is shown
        raised = hide(f"{type(error).__name__}: {error}", secret)
    return _Ended(hide(_said(returned), secret), raised)


def _name(fn: Any) -> str:
    while isinstance(fn, functools.partial):
        fn = fn.func
    return str(getattr(fn, "__name__", type(fn).__name__))


def _refuse_shortcut(fn: Any, name: str, real: Sequence[Any]) -> None:
    """A function that brings the real objects along wouldn't meet the shadow."""
    if not callable(fn):
        raise ToolkitError(
            f"{name} can't be called: give a function of client, store and chat_mgr."
        )
    if any(own is each for own in _brought(fn) for each in real if each is not None):
        raise ToolkitError(
            f"{name} holds the real client, store or chat manager itself: give a plain function that "
            "uses only its three arguments."
        )


def _brought(fn: Any) -> Iterator[Any]:
    """What a method's object, a partial's arguments or a closure hold."""
    if isinstance(fn, functools.partial):
        yield from fn.args
        yield from fn.keywords.values()
        yield from _brought(fn.func)
    elif isinstance(fn, MethodType):
        yield fn.__self__
        yield from getattr(fn.__self__, "__dict__", {}).values()
    for cell in getattr(fn, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # a name that is not bound yet
            yield cell.cell_contents


def _on_shadow(chat_mgr: Any, real: Mapping[int, Any], shadow: ShadowStore) -> Any:
    """A copy of the chat manager that knows the shadow wherever the original knows the store."""
    if chat_mgr is None:
        return None
    kind = type(chat_mgr).__name__
    try:
        manager = copy.deepcopy(chat_mgr, dict(real))
    except Exception as error:  # what it holds is the bot's own, and may refuse in any way
        raise ToolkitError(
            f"The chat manager ({kind}) can't be put on a shadow, since it holds what can't be "
            f"copied ({type(error).__name__}), such as a connection of its own: pass a manager that "
            "works on the store, or None."
        ) from error
    if not works_on(manager, shadow):
        raise ToolkitError(
            f"The chat manager ({kind}) doesn't work on this store, so it can't be kept from "
            "writing: pass one that holds the store as an attribute, or None."
        )
    return manager


async def _moved(store: Store, look: Look) -> str:
    """Whether the rows are other ones now: the bot may have written, or the function past us."""
    if transactional(store) and await store.version() == look.token:
        return ""
    if (await load_look(store)).rows == look.rows:
        return ""
    return (
        "The rows changed while the function ran: a running bot wrote them, or the function did, "
        "past its arguments. Look again before you trust this."
    )


def _said(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # the bot's own __repr__
        return f"a {type(value).__name__} whose repr raised {type(error).__name__}"
