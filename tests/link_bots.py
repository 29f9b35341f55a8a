"""A bot of shape links on a real Synapse: its rooms, what its look asks for, and its last run taken back."""

from __future__ import annotations

from typing import Any

from tests.clients import nio_client
from tests.tables import Desk
from toolkit import reconcile_links, reconcile_single_link
from toolkit.links import LinkReport
from toolkit.testing import ApiUser, RecordingProxy, Synapse
from toolkit.writing.undo import history, undo


class Support:
    """A bot, its ghost and a user, with rooms of the bot's own making."""

    def __init__(self, hs: Synapse, name: str) -> None:
        self.hs = hs
        self.bot, self.ghost, self.eva = (
            ApiUser(hs.url, hs.register(f"{who}.{name}")) for who in ("bot", "ghost", "eva")
        )

    def room(self, by: ApiUser | None = None, **more: Any) -> str:
        """A room that the bot is in, whoever made it."""
        maker = by or self.bot
        if maker is self.bot:
            return self.bot.create_room(**more)
        made = maker.create_room(invite=[self.bot.user_id], **more)
        self.bot.join(made)
        return made

    async def reconcile(
        self, desk: Desk, room_id: str | None = None, **options: Any
    ) -> tuple[LinkReport, list[str]]:
        """The report, and what was asked: reads alone."""
        account = self.bot.account
        async with (
            RecordingProxy(self.bot.url) as proxy,
            nio_client(proxy.url, self.bot.user_id, account.access_token, account.device_id) as nio,
            desk.store() as store,
        ):
            if room_id is not None:
                report = await reconcile_single_link(nio, store, desk.layout, room_id, **options)
            else:
                report = await reconcile_links(nio, store, desk.layout, **options)
        assert {request.method for request in proxy.requests} <= {"GET", "POST"}
        assert all("/sync" in r.path for r in proxy.requests if r.method == "POST")
        return report, [request.path for request in proxy.requests]


async def taken_back(desk: Desk) -> None:
    async with desk.store() as store:
        runs = await history(store)
        await undo(store, runs[-1].id)
