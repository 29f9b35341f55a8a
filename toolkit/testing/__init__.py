"""Doubles and fixtures for tests of bots: a world, homeservers, a recording proxy.

Names are imported on first use, so that building a world needs neither aiohttp
nor Synapse.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.testing.fake import FakeHomeserver
    from toolkit.testing.faults import (
        Alter,
        Cut,
        Delay,
        Drip,
        Fault,
        Garbage,
        Hang,
        Hook,
        Reset,
        Status,
    )
    from toolkit.testing.loopback import RecordedRequest
    from toolkit.testing.proxy import RecordingProxy
    from toolkit.testing.synapse import Account, ApiUser, Synapse, SynapseError
    from toolkit.testing.world import World

_HOMES = {
    "Account": "synapse",
    "Alter": "faults",
    "ApiUser": "synapse",
    "Cut": "faults",
    "Delay": "faults",
    "Drip": "faults",
    "FakeHomeserver": "fake",
    "Fault": "faults",
    "Garbage": "faults",
    "Hang": "faults",
    "Hook": "faults",
    "RecordedRequest": "loopback",
    "RecordingProxy": "proxy",
    "Reset": "faults",
    "Status": "faults",
    "Synapse": "synapse",
    "SynapseError": "synapse",
    "World": "world",
}

__all__ = [
    "Account",
    "Alter",
    "ApiUser",
    "Cut",
    "Delay",
    "Drip",
    "FakeHomeserver",
    "Fault",
    "Garbage",
    "Hang",
    "Hook",
    "RecordedRequest",
    "RecordingProxy",
    "Reset",
    "Status",
    "Synapse",
    "SynapseError",
    "World",
]


def __getattr__(name: str) -> object:
    """Import the module that holds `name` when it is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
