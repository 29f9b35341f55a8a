"""A client that can only read: what isn't on the list of reads is refused, whatever it is called.

It stands before the bot's own nio client, a plain one, or a stand-in. Nothing of it is copied: what it lets
through is read by the bot's client, with its connection and its memory.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Set
from types import MappingProxyType
from typing import Any, NoReturn

from toolkit.errors import RefusedCall
from toolkit.homeserver.following import is_following
from toolkit.homeserver.refused_calls import HiddenAttribute, hide, told_call
from toolkit.homeserver.sliding_sync import is_own_request

READS = frozenset(
    {
        "content_repository_config",
        "devices",
        "discovery_info",
        "get_avatar",
        "get_displayname",
        "get_presence",
        "get_profile",
        "has_event_permission",
        "has_permission",
        "joined_members",
        "joined_rooms",
        "list_direct_rooms",
        "login_info",
        "room_context",
        "room_get_event",
        "room_get_event_relations",
        "room_get_state",
        "room_get_state_event",
        "room_get_threads",
        "room_get_visibility",
        "room_messages",
        "room_resolve_alias",
        "space_get_hierarchy",
        "whoami",
    }
)
"""nio's methods that send nothing but GET requests and change nothing on the homeserver.

`sync` isn't one of them: with `since` it acknowledges messages that the live bot still needs, and
unless told otherwise it shows the bot as online. `download` writes files, `mxc_to_http` quotes the token.
"""

MEMORY = frozenset({"rooms", "invited_rooms", "encrypted_rooms"})
"""What of a client's memory is shown, as a view that can't be written to."""


class ReadOnlyClient:
    """Reads through another client and refuses everything else with `RefusedCall`.

    Refused calls are also appended to `refused`, in words. The access token isn't handed out: whoever
    asks sees it masked, and `send` puts the true one into the request.
    """

    __slots__ = ("_inner", "_refused")

    def __init__(self, client: Any, refused: list[str] | None = None) -> None:
        object.__setattr__(self, "_inner", client)
        object.__setattr__(self, "_refused", [] if refused is None else refused)

    async def send(
        self,
        method: str,
        path: str,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        trace_context: Any = None,
        timeout: Any = None,  # noqa: ASYNC109 - nio's own parameter
    ) -> Any:
        """GET one of the paths that only read, or POST one of the two requests of a sliding sync that do,
        with the account's token and no header of the caller's."""
        verb, token = method.upper(), self._inner.access_token
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        options: dict[str, Any] = {"headers": sent, "timeout": timeout}
        if verb == "POST" and (is_own_request(path, data) or is_following(path, data)):
            sent["Content-Type"] = "application/json"
            options["data"] = data
        elif verb != "GET" or data is not None or not is_read(path):
            plain = path.partition("?")[0]  # a query may quote a token
            self._refuse("send", _sent, (method, plain), {})
        return await self._inner.send(verb, path, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(self._inner, name)
        if name == "access_token":
            return _masked(value)
        if callable(value):
            return _calling(value) if name in READS else self._refusing(name, value)
        if name in MEMORY and isinstance(value, Mapping):
            return MappingProxyType(value)
        if name in MEMORY and isinstance(value, Set):
            return frozenset(value)
        if isinstance(value, str):
            return hide(value, self._secret())
        if value is None or isinstance(value, bool | int | float):
            return value
        raise HiddenAttribute(f"A read-only client doesn't show `{name}`.")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise HiddenAttribute(f"A read-only client can't be changed: `{name}` stays as it is.")

    def __delattr__(self, name: str) -> NoReturn:
        raise HiddenAttribute(f"A read-only client can't be changed: `{name}` stays as it is.")

    def __repr__(self) -> str:
        user_id = getattr(self._inner, "user_id", None)
        return f"<read-only client of {user_id if isinstance(user_id, str) else 'nobody'}>"

    def _secret(self) -> str:
        token = getattr(self._inner, "access_token", None)
        return token if isinstance(token, str) else ""

    def _refusing(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """In the method's place: a coroutine for one, so that it is refused where it is awaited."""

        def refuse(*args: Any, **named: Any) -> NoReturn:
            self._refuse(name, method, args, named)

        async def refuse_later(*args: Any, **named: Any) -> NoReturn:
            self._refuse(name, method, args, named)

        return refuse_later if inspect.iscoroutinefunction(method) else refuse

    def _refuse(
        self, name: str, method: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]
    ) -> NoReturn:
        call = told_call(name, method, args, named, self._secret())
        self._refused.append(call)
        raise RefusedCall(f"Refused, as the homeserver may only be read here: {call}.")


def read_only(client: Any) -> ReadOnlyClient:
    """A read-only client for this one, which may be one already."""
    return client if isinstance(client, ReadOnlyClient) else ReadOnlyClient(client)


def is_transport(client: Any) -> bool:
    """A mock has every attribute; only a real client's class has a coroutine function `send`.

    A real one whose reading methods a test has replaced is taken by those.
    """
    if isinstance(client, ReadOnlyClient):
        return is_transport(client._inner)
    sends = inspect.iscoroutinefunction(getattr(type(client), "send", None))
    patched = {"joined_rooms", "room_get_state"} & getattr(client, "__dict__", {}).keys()
    texts = (getattr(client, name, None) for name in ("homeserver", "access_token", "user_id"))
    return sends and not patched and all(isinstance(text, str) for text in texts)


def is_read(path: str) -> bool:
    """Whether a GET of this path is a read on the homeserver itself, and nothing else.

    >>> is_read("/_matrix/client/v3/joined_rooms"), is_read("/_matrix/client/v3/sync?since=s1")
    (True, False)
    """
    plain = path.partition("?")[0]
    return _CLIMB.search(plain) is None and _READ_PATH.fullmatch(plain) is not None


_CLIMB = re.compile(r"(?:^|/) (?:\.|%2e){1,2} (?:/|$)", re.VERBOSE | re.IGNORECASE)
_READ_PATH = re.compile(
    r"""
    /_matrix/client/ (?: versions | (?: r0 | v\d+ | unstable (?:/[\w.]+)? ) / (?:
        account/whoami | capabilities | joined_rooms | login | publicRooms | devices (?:/ID)?
      | profile/ID (?:/ID)? | presence/ID/status | directory/room/ID | directory/list/room/ID
      | user/ID/account_data/ID | user/ID/rooms/ID/account_data/ID | user/ID/rooms/ID/tags
      | rooms/ID/ (?: members | joined_members | messages | aliases | hierarchy | threads
          | timestamp_to_event | event/ID | context/ID | relations/ID (?:/ID){0,2}
          | state (?:/ID (?:/ (?:ID)?)?)? )
    ) )
    """.replace("ID", r"[^/?\#\\\s]+"),
    re.VERBOSE | re.ASCII,
)


def _calling(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method without the way to its client that a bound method has."""

    def call(*args: Any, **named: Any) -> Any:
        return method(*args, **named)

    return call


def _masked(token: Any) -> Any:
    """Stars for its letters: it stays absent, empty or malformed if it is."""
    if not isinstance(token, str):
        return token if token is None else None
    return "".join("*" if c.isascii() and c.isprintable() else c for c in token)


def _sent(method: str, path: str) -> None:
    """Names the arguments of a refused `send`."""
