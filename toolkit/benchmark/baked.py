"""A homeserver of answers that are ready, each given after the same while: `python -m toolkit.benchmark.baked`.

A process of its own that costs next to nothing, so that what is measured is the client's. It prints its port.
"""

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from toolkit.benchmark.worlds import BOT, scale_rooms
from toolkit.homeserver.sliding_sync import FEATURE, LIST, PATH, STEP

TOKEN = "baked"


def bake(chats: int, *, sliding_sync: bool = False) -> dict[str, bytes]:
    """Path -> the whole answer, head included."""
    rooms = dict(scale_rooms(chats))
    offered = {FEATURE: True} if sliding_sync else {}
    versions = {"versions": ["v1.11"], "unstable_features": offered}
    found = {
        "/_matrix/client/versions": json.dumps(versions).encode(),
        "/_matrix/client/v3/account/whoami": json.dumps({"user_id": BOT}).encode(),
        "/_matrix/client/v3/joined_rooms": json.dumps({"joined_rooms": [*rooms]}).encode(),
    }
    found |= {f"/_matrix/client/v3/rooms/{room}/state": body for room, body in rooms.items()}
    if sliding_sync:
        found |= _slide(rooms)
    return {path: _answer("200 OK", body) for path, body in found.items()}


def _slide(rooms: Mapping[str, bytes]) -> dict[str, bytes]:
    """The answers of one load: a step more of the rooms each time."""
    told: dict[str, bytes] = {}
    for number, some in enumerate(_steps([*rooms.items()])):
        body = b",".join(
            b'"%s":{"initial":true,"required_state":%s}' % (room.encode(), state)
            for room, state in some
        )
        head = f'{{"pos":"{number + 1}","lists":{{"{LIST}":{{"count":{len(rooms)}}}}},"rooms":{{'
        told[f"{PATH}?pos={number}" if number else PATH] = head.encode() + body + b"}}"
    return told


def _steps(rooms: list[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    return (rooms[start : start + STEP] for start in range(0, len(rooms), STEP))


def _answer(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_NONE = _answer("404 Not Found", b'{"errcode": "M_UNRECOGNIZED"}')


class _Connection(asyncio.Protocol):
    """One request after the other; what their bodies say makes no difference."""

    def __init__(self, answers: dict[str, bytes], seconds: float) -> None:
        self._answers, self._seconds, self._got = answers, seconds, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        while b"\r\n\r\n" in self._got:
            head, _, rest = self._got.partition(b"\r\n\r\n")
            length = int(found[1]) if (found := _LENGTH.search(head)) else 0
            if len(rest) < length:
                return
            self._got = rest[length:]
            path = unquote(head.split(b" ", 2)[1].decode())
            answer = self._answers.get(path, _NONE)
            asyncio.get_running_loop().call_later(self._seconds, self._transport.write, answer)


async def serve(chats: int, seconds: float, *, sliding_sync: bool = False) -> None:
    """Until the process is ended."""
    answers = bake(chats, sliding_sync=sliding_sync)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(answers, seconds), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    """Serve one account of so many chats."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chats", type=int, default=1_000)
    parser.add_argument("--latency", type=float, default=20, help="milliseconds")
    parser.add_argument("--sliding-sync", action="store_true")
    options = parser.parse_args()
    seconds = options.latency / 1000
    asyncio.run(serve(options.chats, seconds, sliding_sync=options.sliding_sync))


if __name__ == "__main__":
    main()
