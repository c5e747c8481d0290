"""The sync worker as a child of `consuldns serve`.

It is a process of its own, so that whatever happens to it never touches the DNS: when it ends it is
started again, after a pause that grows while it keeps ending. A socket pair links the two, with a
line of JSON for each message: the child says Hello, is given its settings (a command line would
show the token to everybody on the machine), and reports how it is, once a second. When the link
ends, its parent has ended, however it did, and so it ends, too.
"""

import asyncio
import contextlib
import gc
import logging
import socket
import traceback
from dataclasses import dataclass
from signal import Signals

import msgspec
from prometheus_client import CollectorRegistry, generate_latest

from consuldns import logs, signals
from consuldns.backoff import Backoff
from consuldns.config.schema import Settings
from consuldns.errors import EXIT_FAILED, ConsuldnsError, exit_status
from consuldns.incidents import Incidents, UnexpectedErrors
from consuldns.process.workers import describe_status
from consuldns.sync.metrics import SyncCollector
from consuldns.sync.supervisor import Supervisor, first_of

_log = logging.getLogger(__name__)

NAME = "sync worker"
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
STABLE_SECONDS = 60.0  # a worker that lived so long is started again at once
STOP_SECONDS = 5.0  # to give the leader's lock back
REPORT_SECONDS = 1.0
HUNG_SECONDS = 60.0  # without a report; the largest plans keep it busy for some seconds
MAX_LINE = 1 << 20  # bytes


class Hello(msgspec.Struct, frozen=True, tag=True):
    """Ready for the settings, and for signals."""


class Report(msgspec.Struct, frozen=True, tag=True):
    """How the worker is. `metrics` is Prometheus' text; a standby is ready but no leader.

    `figures` are named in words; of `changes`, each has its time and what was done.
    """

    not_ready: tuple[str, ...]
    is_leader: bool
    metrics: str
    figures: tuple[tuple[str, str], ...] = ()
    changes: tuple[tuple[str, str], ...] = ()


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Why the worker ends, in a line; with a traceback if it is a bug."""

    problem: str
    trace: str = ""


_decoder = msgspec.json.Decoder(Hello | Report | Failed)


# --- in control ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SyncFigures:
    """What control knows of its sync worker. `last_status` as of a process, None if none ended."""

    is_up: bool
    restarts: int
    last_status: int | None
    report: Report | None


class SyncChild:
    """Keeps a sync worker running, and knows how it is."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._has_settings = False  # without, it has done nothing yet
        self._report: Report | None = None
        self._problem = self._trace = ""
        self._errors = UnexpectedErrors(_log)
        self._restarts = 0
        self._last_status: int | None = None

    async def run(self) -> None:
        """Keep it running until cancelled; then end it and wait for that."""
        loop = asyncio.get_running_loop()
        incidents = Incidents(_log)
        backoff = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        while True:
            started = loop.time()
            end = await self._live()
            if loop.time() - started > STABLE_SECONDS:
                backoff.reset()
                incidents.ended(NAME, "")
            self._restarts += 1
            pause = backoff.next()
            is_news = incidents.began(NAME, end, f"restarting in {pause:.1f} s")
            for line in self._trace.splitlines() if is_news else ():
                _log.error("please report it: %s", line)
            await asyncio.sleep(pause)

    def figures(self) -> SyncFigures:
        """How it is now."""
        up = self._process is not None
        return SyncFigures(up, self._restarts, self._last_status, self._report if up else None)

    def describe(self) -> str:
        """How it is now, in a line."""
        if self._process is None:
            return self._problem or "not started yet"
        if self._report is None:
            return "starting"
        if self._report.not_ready:
            return "not ready: " + "; ".join(self._report.not_ready)
        return "leader" if self._report.is_leader else "standby"

    def read_credentials_again(self) -> None:
        """Pass a SIGHUP on."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(Signals.SIGHUP)

    async def _live(self) -> str:
        """One process from its start to its end, which is given in words."""
        self._report, self._problem, self._trace = None, "", ""
        try:
            status = self._last_status = await self._run_once()
            end = f"ended with {describe_status(status)}"
        except OSError as error:  # no file descriptor, no process, no memory
            end = f"cannot be started: {error.strerror or error}"
        except Exception as error:
            self._errors.report(NAME, error)
            end = f"is abandoned: {type(error).__name__}"
        self._problem = f"{end}: {self._problem}" if self._problem else end
        return self._problem

    async def _run_once(self) -> int:
        ours, theirs = socket.socketpair()
        with theirs:
            command = signals.command_line("sync", theirs)
            try:
                process = await signals.start_process(command, pass_fds=[theirs.fileno()])
            except BaseException:
                ours.close()
                raise
        self._process, self._has_settings = process, False
        reader, writer = await asyncio.open_connection(sock=ours, limit=MAX_LINE)
        following = asyncio.create_task(self._follow(process, reader, writer))
        try:
            status = await process.wait()
            # What it has said last may still be on its way; nothing follows that.
            await asyncio.wait([following], timeout=REPORT_SECONDS)
            return status
        finally:
            following.cancel()
            self._process = None
            await self._end(process)
            writer.close()

    async def _follow(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Take what it says until it ends."""
        while True:
            try:
                async with asyncio.timeout(HUNG_SECONDS):
                    line = await reader.readline()
            except TimeoutError:
                _log.error("the sync worker does not respond; replacing it")
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                return
            except (OSError, ValueError):  # it is gone, or the line is too long: a bug
                return
            if not line:
                return
            try:
                message = _decoder.decode(line)
            except (msgspec.MsgspecError, ValueError):  # its last line was cut
                continue
            match message:
                case Hello():
                    writer.write(msgspec.json.encode(self._settings) + b"\n")
                    self._has_settings = True
                case Report() as report:
                    self._report = report
                case Failed(problem, trace):
                    self._problem, self._trace = problem, trace

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """End it, unless it has ended: in order if it has begun to work."""
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            if self._has_settings:
                process.terminate()
            else:
                process.kill()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


# --- in the child --------------------------------------------------------------------------------


class _Parent:
    """The link to control. What cannot be sent is lost: without a parent this process ends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def tell(self, message: Hello | Report | Failed) -> None:
        """Send a message."""
        self._writer.write(msgspec.json.encode(message) + b"\n")

    async def settings(self) -> Settings | None:
        """What the worker is to do; None if the parent has ended before it said so."""
        line = await self._reader.readline()
        return msgspec.json.decode(line, type=Settings) if line else None

    async def ended(self) -> None:
        """Wait for its end."""
        with contextlib.suppress(OSError):
            await self._reader.read()

    async def report_forever(self, supervisor: Supervisor) -> None:
        """Tell how the worker is until cancelled."""
        registry = CollectorRegistry()
        registry.register(SyncCollector(supervisor))
        while True:
            metrics = generate_latest(registry).decode()
            self.tell(
                Report(
                    tuple(supervisor.not_ready()),
                    supervisor.is_leader,
                    metrics,
                    tuple(supervisor.figures()),
                    tuple(supervisor.statistics.changes),
                )
            )
            await asyncio.sleep(REPORT_SECONDS)


async def _work(link: socket.socket) -> int:
    """The child's life; its exit status."""
    stop, supervisor = asyncio.Event(), Supervisor()
    signals.handle(supervisor.handlers(stop))
    reader, writer = await asyncio.open_connection(sock=link, limit=MAX_LINE)
    parent = _Parent(reader, writer)
    parent.tell(Hello())
    settings = await parent.settings()
    if settings is None:
        return 0
    logs.configure(settings.log_level, settings.log_format)
    _log.debug("received the settings")
    background = [
        asyncio.create_task(_then_stop(parent, stop)),
        asyncio.create_task(parent.report_forever(supervisor)),
    ]
    try:
        await supervisor.run(stop, settings)
        return 0
    except ConsuldnsError as error:
        parent.tell(Failed(str(error)))
        return exit_status(error)
    except Exception as error:
        first = first_of(error) if isinstance(error, ExceptionGroup) else error
        problem = f"unexpected error: {type(first).__name__}: {first}"
        parent.tell(Failed(problem, "".join(traceback.format_exception(first))))
        return EXIT_FAILED
    finally:
        for each in background:
            each.cancel()
        writer.close()
        gc.freeze()  # the interpreter's end need not walk it all once more: a tenth of a second


async def _then_stop(parent: _Parent, stop: asyncio.Event) -> None:
    await parent.ended()
    stop.set()


def run(link_end: socket.socket) -> int:
    """The life of the child (`consuldns worker sync`); its exit status."""
    logs.configure()
    return asyncio.run(_work(link_end))
