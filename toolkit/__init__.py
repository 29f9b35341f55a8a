"""Find and repair what a Matrix bot forgot about rooms that it is still in.

Names are loaded when they are first used: a bot pays for what it calls, not for the notebook.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolkit.board import review
    from toolkit.bot import BotRooms, FoundChat
    from toolkit.convention import Convention
    from toolkit.database.chat_manager import (
        ChatContext,
        ChatManager,
        get_room_meta,
        get_user_meta,
        set_room_meta,
        set_user_meta,
    )
    from toolkit.database.postgres.store import PostgresStore
    from toolkit.database.store import InMemoryStore, SQLiteStore
    from toolkit.decisions.decision import Decision
    from toolkit.errors import HomeserverError, RemoteIncomplete, StoreError, ToolkitError
    from toolkit.homeserver.readonly import ReadOnlyClient
    from toolkit.layout import Layout
    from toolkit.links import reconcile_links, reconcile_single_link
    from toolkit.reconcile import reconcile_matrix_state, reconcile_single_room
    from toolkit.session.session import Session
    from toolkit.shadow import ShadowRun, shadow_run

__version__ = "0.1.0"

_HOME = {
    "BotRooms": "bot",
    "ChatContext": "database.chat_manager",
    "ChatManager": "database.chat_manager",
    "Convention": "convention",
    "Decision": "decisions.decision",
    "FoundChat": "bot",
    "HomeserverError": "errors",
    "InMemoryStore": "database.store",
    "Layout": "layout",
    "PostgresStore": "database.postgres.store",
    "ReadOnlyClient": "homeserver.readonly",
    "RemoteIncomplete": "errors",
    "SQLiteStore": "database.store",
    "Session": "session.session",
    "ShadowRun": "shadow",
    "StoreError": "errors",
    "ToolkitError": "errors",
    "get_room_meta": "database.chat_manager",
    "get_user_meta": "database.chat_manager",
    "reconcile_links": "links",
    "reconcile_matrix_state": "reconcile",
    "reconcile_single_link": "links",
    "reconcile_single_room": "reconcile",
    "review": "board",
    "set_room_meta": "database.chat_manager",
    "set_user_meta": "database.chat_manager",
    "shadow_run": "shadow",
}

_EXTRAS = {
    **dict.fromkeys(("anywidget", "ipywidgets", "matplotlib", "numpy", "pandas"), "notebook"),
    "psycopg": "postgres",
}

__all__ = [
    "BotRooms",
    "ChatContext",
    "ChatManager",
    "Convention",
    "Decision",
    "FoundChat",
    "HomeserverError",
    "InMemoryStore",
    "Layout",
    "PostgresStore",
    "ReadOnlyClient",
    "RemoteIncomplete",
    "SQLiteStore",
    "Session",
    "ShadowRun",
    "StoreError",
    "ToolkitError",
    "get_room_meta",
    "get_user_meta",
    "reconcile_links",
    "reconcile_matrix_state",
    "reconcile_single_link",
    "reconcile_single_room",
    "review",
    "set_room_meta",
    "set_user_meta",
    "shadow_run",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        try:
            return getattr(import_module(f"toolkit.{_HOME[name]}"), name)
        except ModuleNotFoundError as error:
            if (extra := _EXTRAS.get((error.name or "").partition(".")[0])) is None:
                raise
            raise ModuleNotFoundError(
                f"toolkit.{name} needs {error.name}, which a bot doesn't: "
                f"pip install 'matrix-drift[{extra}]'.",
                name=error.name,
            ) from None
    raise AttributeError(f"module 'toolkit' has no attribute {name!r}")
