"""How a call that was not let through is told: by name, with its arguments cut short and no secret."""

import inspect
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from toolkit.errors import RefusedCall
from toolkit.text.visible import visible

HIDDEN = "***"
_SECRETS = ("password", "passphrase", "token", "secret", "auth", "credential")
_LONG, _LONGEST, _MANY, _DEEP = 60, 300, 4, 3


class HiddenAttribute(RefusedCall, AttributeError):
    """Something of the real object that isn't handed out; for `getattr` and `hasattr` it isn't there."""


def told_call(
    name: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    named: Mapping[str, Any],
    secret: str = "",
) -> str:
    """A call as a person would write it; what looks like a secret, or holds this one, is masked.

    >>> def login(user, password): ...
    >>> told_call("login", login, ("@bot:hs", "hunter2"), {})
    "login(user='@bot:hs', password=***)"
    """
    told = [_argument(key, value) for key, value in _bound(function, args, named)]
    text = f"{name}({', '.join(told)})"
    return visible(hide(text, secret), _LONGEST)


def hide(text: str, secret: str) -> str:
    """The text without this secret."""
    return text.replace(secret, HIDDEN) if secret else text


def _bound(
    function: Callable[..., Any], args: tuple[Any, ...], named: Mapping[str, Any]
) -> list[tuple[str, Any]]:
    """The arguments under their names, as far as the function tells them."""
    try:
        signature = inspect.signature(function)
        bound = signature.bind(*args, **named)
    except (TypeError, ValueError):  # a wrong call is told as it was made
        return [*(("", value) for value in args), *named.items()]
    found: list[tuple[str, Any]] = []
    for key, value in bound.arguments.items():
        kind = signature.parameters[key].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            found += [("", each) for each in value]
        elif kind is inspect.Parameter.VAR_KEYWORD:
            found += value.items()
        else:
            found.append((key, value))
    return found


def _argument(key: str, value: Any) -> str:
    text = HIDDEN if _is_secret(key) else _brief(value)
    return f"{key}={text}" if key else text


def _is_secret(name: Any) -> bool:
    return isinstance(name, str) and any(word in name.lower() for word in _SECRETS)


def _brief(value: Any, depth: int = 0) -> str:
    """Plain values as they are, long ones cut short; of any other object only its kind."""
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, str):
        return repr(value if len(value) <= _LONG else value[: _LONG - 1] + "…")
    if depth < _DEEP and isinstance(value, Mapping):
        items = [
            f"{_brief(key, _DEEP)}: {HIDDEN if _is_secret(key) else _brief(each, depth + 1)}"
            for key, each in islice(value.items(), _MANY)
        ]
        return f"{{{', '.join(items + _more(len(value)))}}}"
    if depth < _DEEP and isinstance(value, list | tuple):
        items = [_brief(each, depth + 1) for each in value[:_MANY]]
        return f"[{', '.join(items + _more(len(value)))}]"
    return f"({type(value).__name__})"


def _more(count: int) -> list[str]:
    return ["…"] if count > _MANY else []
