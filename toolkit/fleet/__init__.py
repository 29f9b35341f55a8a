"""Many bots at once: a `fleet.toml` names them, one run looks at each, and a folder keeps what was found.

`settings` and `tokens` say which bots there are and where their tokens come from, `task` does one of them with the
help of `judges`, `here` and `cluster` do all, in this process or on a Dask cluster; `dataset` keeps `outcome`s,
`results` shows them.
Needs `pip install 'matrix-drift[fleet]'`.

>>> async def example():
...     results = await check("fleet.toml")
...     return results.bots, results.drift, results.causes, results.plot()
"""

_PACKAGES = frozenset({"dask", "distributed", "loky", "matplotlib", "numpy", "pandas", "pyarrow"})
"""What a bot's environment lacks of a fleet's."""

try:
    from toolkit.fleet.results import Results
    from toolkit.fleet.run import apply, check, load, undo
    from toolkit.fleet.settings import Bot, Fleet
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in _PACKAGES:
        raise
    raise ModuleNotFoundError(
        f"A fleet needs {error.name}: pip install 'matrix-drift[fleet]'.", name=error.name
    ) from None

__all__ = ["Bot", "Fleet", "Results", "apply", "check", "load", "undo"]
