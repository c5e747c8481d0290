import asyncio

from consuldns.agent.watching import Watching


async def test_who_is_behind_does_not_wait() -> None:
    await Watching().wait_beyond(1, lambda: 2, 3600)


async def test_waking_is_for_those_whom_it_concerns() -> None:
    watching = Watching()
    index = {"mine": 1, "other": 1}
    waiting = asyncio.create_task(watching.wait_beyond(1, lambda: index["mine"], 3600))
    for what, done in (("other", False), ("other", False), ("mine", True)):
        index[what] += 1
        watching.wake()
        for _ in range(5):
            await asyncio.sleep(0)
        assert waiting.done() is done


async def test_a_wait_ends() -> None:
    await Watching().wait_beyond(1, lambda: 1, 0.001)


async def test_closing_ends_all_waits_for_good() -> None:
    watching = Watching()
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(watching.wait_beyond(1, lambda: 1, 3600))
        await asyncio.sleep(0)
        watching.close()
    await watching.wait_beyond(1, lambda: 1, 3600)
