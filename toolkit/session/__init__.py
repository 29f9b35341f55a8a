"""A session in a notebook: its face (`session`), its looks (`looking`), decisions (`deciding`), writing (`applying`).

Loads nothing before it is asked for: the command line must not pay for pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.session.session import Session

__all__ = ["Session"]


def __getattr__(name: str) -> object:
    if name == "Session":
        return import_module("toolkit.session.session").Session
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
