"""What control does with its tasks."""

import asyncio

from consuldns.process.control import cancel_until_done


async def test_a_cancellation_that_a_failing_task_group_forgets_is_repeated() -> None:
    failing = asyncio.Event()
    rounds = 0

    async def fail() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ConnectionError  # as Consul goes while we stop

    async def watch_forever() -> None:
        nonlocal rounds
        while rounds < 2:
            rounds += 1
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(fail())
                    failing.set()
                    await asyncio.Event().wait()
            except* ConnectionError:
                continue_watching()

    def continue_watching() -> None:
        """What the watcher does when Consul has gone."""

    task = asyncio.create_task(watch_forever())
    await failing.wait()
    await cancel_until_done(task)
    assert rounds == 2, "the first cancellation was forgotten"
