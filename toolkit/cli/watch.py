"""`check --watch`: what `check` says, and then whatever is new in that, as soon as it is."""

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

import click
from rich.console import RenderableType

from toolkit.cli.hooks import Hooks
from toolkit.cli.json_forms import plan_json
from toolkit.cli.look import exit_code, fit, road_of
from toolkit.cli.options import Where
from toolkit.cli.output import is_read, say, show, show_lines
from toolkit.cli.render import render_check, render_news
from toolkit.looked import Looked, judge
from toolkit.repairs import Repairs
from toolkit.text.view import View
from toolkit.watch.news import Matters, News, matters_of
from toolkit.watch.wanted import Cause
from toolkit.watch.watch import Look, Watch

_ENDS = (signal.SIGINT, signal.SIGTERM)


def watch(
    where: Where, view: View, hooks: Hooks, *, as_json: bool, strict: bool, every: float | None
) -> int:
    """Show what is wrong whenever that is something else, until ended; the exit code of the last look."""
    road = road_of(where)
    shown = Shown(road, view, hooks, as_json=as_json, strict=strict)
    with suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(_watch(road, shown, every))
    if shown.code is None:
        raise click.Abort
    return shown.code


async def _watch(road: Repairs, shown: "Shown", every: float | None) -> None:
    if sys.platform != "win32":  # where Ctrl+C alone ends it
        task = asyncio.current_task()
        assert task is not None
        for number in _ENDS:
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await Watch(road, every=every, tell=say).run(shown.see)


class Shown:
    """What was shown last, and the exit code that it came with."""

    def __init__(
        self, road: Repairs, view: View, hooks: Hooks, *, as_json: bool, strict: bool
    ) -> None:
        self.code: int | None = None
        self._road, self._view, self._hooks = road, view, hooks
        self._as_json, self._strict = as_json, strict
        self._matters: Matters = {}

    async def see(self, look: Look) -> bool:
        """Show and tell what is new, if anything is."""
        found = await judge(self._road, look.remote, look.rows)
        first, before = self.code is None, self._matters
        self._matters = matters_of(found.plan, self._view, found.record)
        code = exit_code(found.plan, self._strict, found.record)
        news, moved = News.between(before, self._matters), code != self.code
        self.code = code
        if first or news or moved:
            line = self._line(look, found, news)
            self._show(look, found, news, line, first=first)
            if not (self._hooks or is_read(sys.stdout)):
                raise asyncio.CancelledError  # as by Ctrl+C: nobody is told any more
            await self._hooks.tell(line)
        return True

    def _show(self, look: Look, found: Looked, news: News, line: str, *, first: bool) -> None:
        if self._as_json:
            show_lines([line])
        elif first:
            view = fit(self._view, found.plan)
            show(render_check(found.plan, view, found.record, found.cases))
            say("Watching both sides; Ctrl+C ends it.")
        else:
            show(self._news(look, found, news))

    def _news(self, look: Look, found: Looked, news: News) -> Iterator[RenderableType]:
        causes = _causes(look)
        words = f"{_time(look.began)}, {' and '.join(causes)}: {str(news) or 'nothing new'}"
        return render_news(words, found.plan, self._view, news, found.record, found.cases)

    def _line(self, look: Look, found: Looked, news: News) -> str:
        told: dict[str, Any] = {
            "time": _time(look.began),
            "causes": _causes(look),
            "exit_code": self.code,
            "appeared": list(news.appeared),
            "changed": list(news.changed),
            "settled": list(news.settled),
            "check": plan_json(found.plan, self._view, found.record, found.cases),
        }
        return json.dumps(told, ensure_ascii=True)


def _causes(look: Look) -> list[str]:
    return [cause.value for cause in Cause if cause in look.causes]


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
