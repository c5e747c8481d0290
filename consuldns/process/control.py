"""The control process: owns the sockets, talks to Consul, keeps the workers.

Its life, in order: bind every socket; start the admin endpoint, the watcher of Consul and the
workers; say `ready` when every worker answers from complete views; wait for SIGTERM or SIGINT; stop
being ready; let the workers finish; end.
"""

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import Callable
from pathlib import Path
from signal import Signals

from consuldns import logs, signals
from consuldns.config.load import at_next_start, reloaded
from consuldns.config.policy import policy
from consuldns.config.schema import Settings
from consuldns.consul.http.client import Client, Staleness
from consuldns.consul.watch.watcher import Watcher
from consuldns.dns.explain.lines import as_text
from consuldns.dns.explain.steps import explain
from consuldns.dns.question import Question, type_number
from consuldns.errors import ConfigError, Denied
from consuldns.incidents import UnexpectedErrors
from consuldns.names import fold, parse_name
from consuldns.process import processors, status, systemd
from consuldns.process.history import SAMPLE_SECONDS, History
from consuldns.process.metrics import Figures, FiguresCollector
from consuldns.process.snapshot import SnapshotKeeper
from consuldns.process.sync_child import SyncChild
from consuldns.process.workers import Workers
from consuldns.server import listen
from consuldns.server.listen import Certificate
from consuldns.server.query_log import QueryLogPolicy
from consuldns.sockets import listen_tcp
from consuldns.views import updates
from consuldns.web import admin, serving
from consuldns.web.status_page import Page

_log = logging.getLogger(__name__)

WATCH_AGAIN_SECONDS = 1.0  # after an unexpected error
CANCEL_AGAIN_SECONDS = 0.05


async def cancel_until_done(task: asyncio.Task[None]) -> None:
    """Cancel a task that need not do anything in order.

    Once may not be enough: a task group that fails while it is cancelled (Consul has just gone)
    raises its failure and forgets the cancellation, and what handles the failure continues.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_AGAIN_SECONDS)


class Control:
    """The control process. `read` gives its settings, now and at each SIGHUP.

    Binds at once: StartupError if an address is unavailable.
    """

    def __init__(self, read: Callable[[], Settings]) -> None:
        self._read = read
        self._settings = settings = read()
        self._admin_socket = listen_tcp(
            settings.admin_addr, what="the admin endpoint", option="--admin-addr"
        )
        workers = settings.workers or processors.usable()
        inherited = systemd.inherited_sockets()
        if inherited:
            listeners = listen.adopt(inherited, workers)
        else:
            listeners = listen.listen(settings.listen, workers)
        if settings.tls.listen:
            _certificate(settings).context()  # a mistake is told now
            listeners = listen.with_tls(listeners, settings.tls.listen)
        self._addresses = listen.addresses_of(listeners)
        self._client = Client(settings.consul)
        self._client.staleness = _staleness(settings)
        self._client.is_sorted = settings.dns.answer_order == "nearest"
        self._watcher = Watcher(self._client, self._publish)
        self._workers = Workers(
            listeners,
            policy(settings),
            known=self._watcher.known,
            need=self._watcher.need,
            asked=self._watcher.asked,
            changed=self._consider_ready,
            log_level=settings.log_level,
            log_format=settings.log_format,
            query_log=_query_log(settings),
            certificate=_certificate(settings),
        )
        self._sync = SyncChild(settings) if settings.sync.enabled else None
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()  # without a lame duck's time
        self._replacing = asyncio.Event()
        self._said_ready = False
        self._status = ""  # as systemd was told
        self._history = History()
        self._keeper: SnapshotKeeper | None = None
        if settings.snapshot:
            longest = settings.dns.max_stale.total_seconds()
            self._keeper = SnapshotKeeper(Path(settings.snapshot), self._watcher, longest)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        logs.configure(self._settings.log_level, self._settings.log_format)
        signals.handle(
            {
                Signals.SIGTERM: self._terminate,
                Signals.SIGINT: self._terminate,
                Signals.SIGHUP: self._reload,
                Signals.SIGUSR1: self._log_figures,
                Signals.SIGUSR2: self._replacing.set,
            }
        )
        for address in self._addresses:
            _log.info("listening on %s", address)
        application = admin.application(
            self,
            FiguresCollector(self.figures),
            self._sync_metrics,
            admin.server_routes(self),
        )
        async with (
            serving.serving(application, self._admin_socket, connections=admin.CONNECTIONS),
            asyncio.TaskGroup() as tasks,
        ):
            watching = tasks.create_task(self._watch_forever(), name="watcher")
            syncing = None
            if self._sync is not None:
                syncing = tasks.create_task(self._sync.run(), name="sync")
            tasks.create_task(self._workers.run(), name="workers")
            background = [
                tasks.create_task(systemd.feed_watchdog(), name="watchdog"),
                tasks.create_task(self._replace_workers(), name="replacement"),
                tasks.create_task(self._take_samples(), name="samples"),
            ]
            if self._keeper is not None:
                background.append(tasks.create_task(self._keeper.run(), name="snapshot"))
            await self._stop.wait()
            systemd.notify("STOPPING=1")
            await self._be_lame_duck()
            for each in background:
                each.cancel()
            if self._keeper is not None:
                await self._keeper.save()
            self._workers.stop()
            if syncing is not None:
                syncing.cancel()
            await cancel_until_done(watching)
        gc.freeze()  # the interpreter's end need not walk it all once more: a tenth of a second
        _log.info("stopped")

    def _terminate(self) -> None:
        (self._stop_now if self._stop.is_set() else self._stop).set()

    async def _be_lame_duck(self) -> None:
        """Go on answering for a while, although not ready any more."""
        seconds = self._settings.lameduck.total_seconds()
        if seconds:
            _log.info("stopping in %g s: answering, but not ready any more", seconds)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stop_now.wait()

    async def _replace_workers(self) -> None:
        """SIGUSR2: fresh processes, without a query that is lost."""
        while True:
            await self._replacing.wait()
            self._replacing.clear()
            _log.info("SIGUSR2: replacing the workers, one after the other")
            await self._workers.replace_all()
            _log.info("SIGUSR2: all workers have been replaced")

    async def _watch_forever(self) -> None:
        """Watch Consul until cancelled. Even an error of ours does not end the answers."""
        errors = UnexpectedErrors(_log)
        while True:
            try:
                await self._watcher.run()
            except Exception as error:
                errors.report("watching Consul, which begins again with the old data", error)
            await asyncio.sleep(WATCH_AGAIN_SECONDS)

    def _publish(self, update: updates.ToWorker) -> None:
        self._workers.publish(update)
        if not self._said_ready:
            self._consider_ready()

    def _consider_ready(self) -> None:
        """Say `ready`, once, when nothing is missing any more.

        systemd hears it when the workers serve: it must not give up while Consul is away, for which
        there are answers as well.
        """
        if self._said_ready or self._workers.not_serving():
            return
        reasons = self.not_ready()
        status = "; ".join(reasons) or "ready"
        if status != self._status:
            self._status = status
            systemd.notify("READY=1", f"STATUS={status}")
        if not reasons:
            self._said_ready = True
            logs.write("ready")

    def not_ready(self) -> list[str]:
        """What keeps this server from answering, one reason each; empty: it is ready."""
        reasons = []
        if self._stop.is_set():
            reasons.append("stopping")
        if not self._watcher.is_ready:
            reasons.append("consul: no complete view yet")
        reasons += [f"worker {n}: not serving" for n in self._workers.not_serving()]
        return reasons

    def figures(self) -> Figures:
        """What the metrics are made of."""
        return Figures(
            workers=self._workers.counters(),
            worker_restarts=self._workers.restarts(),
            watcher=self._watcher.statistics(),
            is_ready=not self.not_ready(),
            sync=self._sync.figures() if self._sync is not None else None,
        )

    async def explain(self, name: str, type_: str) -> str:
        """How a name is answered from the data at hand. Raises ValueError, or ConsulError."""
        question = Question(fold(parse_name(name)), type_number(type_))
        obeyed = policy(self._settings)
        found = await self._watcher.answer(lambda views: explain(question, views, obeyed))
        return "".join(f"{line}\n" for line in as_text(found))

    async def _take_samples(self) -> None:
        while True:
            self._history.add(time.monotonic(), self._workers.counters())
            await asyncio.sleep(SAMPLE_SECONDS)

    def page(self) -> Page:
        """What the status page shows."""
        return status.page(
            self.figures(),
            self._history,
            address=", ".join(self._addresses),
            reasons=self.not_ready(),
            notes=self.notes(),
            views=self._watcher.kinds(),
            stale=self._watcher.stale(status.MOST_STALE),
        )

    def notes(self) -> list[str]:
        """The state of the sync worker. DNS does not depend on it: it is not a reason."""
        return [f"sync worker: {self._sync.describe()}"] if self._sync is not None else []

    def _sync_metrics(self) -> str:
        report = self._sync.figures().report if self._sync is not None else None
        return report.metrics if report is not None else ""

    def _reload(self) -> None:
        """SIGHUP: everything that can change without a restart, or nothing."""
        systemd.notify_reloading()
        try:
            read = self._read()
            if self._settings.tls.listen:
                _certificate(read).context()
            has_new_token = self._client.read_credentials_again()
        except (ConfigError, Denied) as error:
            _log.error("SIGHUP: everything stays as it was: %s", error)
        else:
            self._use(read)
            said = "it has changed" if has_new_token else "it is unchanged"
            _log.info("SIGHUP: the token for Consul has been read again: %s", said)
            if self._client.is_encrypted:
                _log.info("SIGHUP: the certificates for Consul have been read again")
            if self._sync is not None:
                self._sync.read_credentials_again()
        systemd.notify("READY=1")

    def _use(self, read: Settings) -> None:
        """Go on with those of the settings that can change at run time."""
        deferred = at_next_start(self._settings, read)
        if deferred:
            _log.warning(
                "SIGHUP: changed, but only used at the next start: %s", ", ".join(deferred)
            )
        running = reloaded(self._settings, read)
        if running == self._settings and not running.tls.listen:
            return
        before, self._settings = self._settings, running
        logs.configure(running.log_level, running.log_format)
        self._workers.set_settings(
            *(policy(running), running.log_level, running.log_format, _query_log(running)),
            certificate=_certificate(running),
        )
        if running.tls.listen:
            _log.info("SIGHUP: the certificate of DNS over TLS has been read again")
        if running == before:
            return
        self._client.staleness = _staleness(running)
        self._client.is_sorted = running.dns.answer_order == "nearest"
        if before.dns.answer_order != running.dns.answer_order:
            self._watcher.read_again()
        _log.info("SIGHUP: the new settings of [dns] and of the log are in use")

    def _log_figures(self) -> None:
        """SIGUSR1: how it is, in a few lines."""
        figures = self.figures()
        counts = " ".join(f"{name}={count}" for name, count in figures.workers.items() if count)
        watcher = figures.watcher
        _log.info("SIGUSR1: %s", "; ".join(self.not_ready()) or "ready")
        _log.info("SIGUSR1: workers: restarts=%d %s", figures.worker_restarts, counts)
        _log.info(
            "SIGUSR1: Consul: reachable=%s requests=%d connections=%d views=%d watched=%d",
            watcher.is_in_contact,
            sum(watcher.requests.values()),
            watcher.connections_open,
            watcher.views,
            watcher.views_followed,
        )
        for note in self.notes():
            _log.info("SIGUSR1: %s", note)


def _certificate(settings: Settings) -> Certificate:
    return Certificate(settings.tls.certificate, settings.tls.key)


def _query_log(settings: Settings) -> QueryLogPolicy:
    return QueryLogPolicy(settings.query_log, settings.query_log_sample)


def _staleness(settings: Settings) -> Staleness:
    return Staleness(settings.dns.allow_stale, settings.dns.max_stale.total_seconds())
