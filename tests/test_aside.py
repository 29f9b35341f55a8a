"""What a bot's event loop doesn't stand still for."""

import asyncio
import threading
import time
from contextlib import suppress

import pytest

from toolkit.aside import SLICE, aside, finish, in_slices


async def test_work_aside_is_done_in_another_thread_while_the_loop_goes_on() -> None:
    gone_on = threading.Event()

    def work(number: int, *, more: int) -> tuple[int, bool]:
        return number + more, gone_on.wait(30)

    task = asyncio.create_task(aside(work, 1, more=2))
    await asyncio.sleep(0)
    gone_on.set()
    assert await task == (3, True)


async def test_what_it_raises_is_raised_here() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        await aside(int, "x")


async def test_who_is_cancelled_does_not_wait_for_it() -> None:
    going_on = threading.Event()
    task = asyncio.create_task(aside(going_on.wait, 30))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    going_on.set()


async def test_what_is_finished_is_done_before_the_cancellation_comes() -> None:
    done = []

    def work() -> None:
        time.sleep(0.05)
        done.append(True)

    task = asyncio.create_task(finish(aside(work)))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert done == [True]


@pytest.mark.parametrize("count", [0, 1, SLICE, SLICE + 1])
async def test_slices_hold_everything_in_its_order_and_let_others_have_their_turn(
    count: int,
) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    assert [item async for item in in_slices(range(count))] == [*range(count)]
    assert turns == -(-count // SLICE)
    task.cancel()
