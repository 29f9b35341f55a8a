"""A whole bot on the toolkit, to read or to copy: it answers each message with the chat that it came in.

`python -m toolkit.demo.small_bot` runs it, with MATRIX_HOMESERVER, MATRIX_USER, MATRIX_ACCESS_TOKEN and
BOT_DATABASE.
"""

import asyncio
import logging
import os
from contextlib import suppress

from nio import AsyncClient, MatrixRoom, RoomMessageText

from toolkit import BotRooms, ChatManager, SQLiteStore, StoreError

log = logging.getLogger("bot")


async def run(client: AsyncClient, store: SQLiteStore) -> None:
    """Start, then answer until somebody stops it."""
    rooms = BotRooms(client, store, ChatManager(store))

    async def answer(room: MatrixRoom, event: RoomMessageText) -> None:
        if event.sender == client.user_id:
            return
        chat = await rooms.find_chat(room, event)
        if chat is not None:  # otherwise the log says why
            body = f"{chat.chat_id}: {event.body}"
            content = {"msgtype": "m.notice", "body": body}
            await client.room_send(room.room_id, "m.room.message", content)

    with suppress(TimeoutError):  # nio waits for a dead homeserver for ever
        await asyncio.wait_for(client.sync(full_state=True), 60)
    await rooms.start()
    client.add_event_callback(answer, RoomMessageText)
    log.info("ready")
    await client.sync_forever(timeout=30_000)


async def main() -> None:
    """The bot as the environment names it."""
    client = AsyncClient(os.environ["MATRIX_HOMESERVER"], os.environ["MATRIX_USER"])
    client.access_token = os.environ["MATRIX_ACCESS_TOKEN"]
    try:
        async with SQLiteStore(os.environ["BOT_DATABASE"]) as store:
            await run(client, store)
    except StoreError as error:
        raise SystemExit(f"The bot can't work without its database: {error}") from None
    finally:
        await client.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    asyncio.run(main())
