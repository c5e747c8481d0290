"""The sync worker as a child of `consuldns serve`.

It is a process of its own, so that whatever happens to it never touches the DNS: when it ends it is
started again, after a pause that grows while it keeps ending. It gets its settings over its
standard input, as a line of JSON, because a command line would show the token to everybody on the
machine. When that input ends, its parent has ended, however it did, and so it ends, too.
"""

import asyncio
import logging
import os
import signal
import sys
import threading

import msgspec

from consuldns.config.schema import Settings
from consuldns.process import logs, sync
from consuldns.process.workers import describe_status

log = logging.getLogger("consuldns.process")

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
STABLE_SECONDS = 60.0  # a worker that lived so long is started again at once
STOP_SECONDS = 5.0  # to give the leader's lock back


async def supervise(settings: Settings) -> None:
    """Keep a sync worker running until cancelled; then it is told to end, and waited for."""
    loop = asyncio.get_running_loop()
    pause = FIRST_PAUSE_SECONDS
    while True:
        started = loop.time()
        status = await _run_once(settings)
        if loop.time() - started > STABLE_SECONDS:
            pause = FIRST_PAUSE_SECONDS
        log.warning(
            "sync worker ended with %s; starting another in %.1f s", describe_status(status), pause
        )
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


async def _run_once(settings: Settings) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, stdin=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    try:
        process.stdin.write(msgspec.json.encode(settings) + b"\n")
        return await process.wait()
    finally:
        if process.returncode is None:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def main() -> None:
    """Run as the child."""
    logs.configure()
    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=Settings)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    asyncio.run(sync.run(settings, adopt=False, allow_mass_delete=False))


def _end_with_parent() -> None:
    """Wait for the end of the input, which comes with the end of the parent; then stop in order."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
