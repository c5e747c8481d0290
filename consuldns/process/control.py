"""The control process: owns the sockets, talks to Consul, keeps the workers.

Its life, in order: bind every socket; start the admin endpoint, the watcher of Consul and the
workers; say `ready` when every worker answers from complete views; wait for SIGTERM or SIGINT; stop
being ready; let the workers finish; end.
"""

import asyncio
import logging
import os
import signal
import sys

from consuldns import web
from consuldns.config.policy import policy
from consuldns.config.schema import Settings
from consuldns.consul.client import Client
from consuldns.consul.watcher import Watcher
from consuldns.process import admin, logs, sync_child, systemd
from consuldns.process.metrics import Figures, FiguresCollector
from consuldns.process.workers import Workers, WorkerSockets
from consuldns.server import listen
from consuldns.views import updates

logger = logging.getLogger("consuldns.process")


class Control:
    """The control process. Binds at once: StartupError if an address cannot be had."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        admin_address = settings.admin_addr
        self._admin_socket = web.bind(
            (admin_address.host, admin_address.port),
            what="the admin endpoint",
            option="--admin-addr",
        )
        count = settings.workers or len(os.sched_getaffinity(0))
        listeners = listen.listen([str(address) for address in settings.listen], count)
        self._watcher = Watcher(Client(settings.consul), self._publish)
        self._workers = Workers(
            [WorkerSockets(udp, listeners.tcp) for udp in listeners.udp],
            policy(settings),
            known=self._watcher.known,
            need=self._watcher.need,
            asked=self._watcher.asked,
            changed=self._consider_ready,
        )
        self._stop = asyncio.Event()
        self._said_ready = False

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        logs.configure()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        for address in self._settings.listen:
            logger.info("listening on %s (udp, tcp)", address)
        application = admin.application(self, FiguresCollector(self))
        async with (
            web.serving(application, self._admin_socket),
            asyncio.TaskGroup() as tasks,
        ):
            background = [tasks.create_task(self._watcher.run(), name="watcher")]
            if self._settings.sync.enabled:
                background.append(
                    tasks.create_task(sync_child.supervise(self._settings), name="sync")
                )
            workers = tasks.create_task(self._workers.run(), name="workers")
            await self._stop.wait()
            systemd.notify("STOPPING=1")
            self._workers.stop()
            await workers
            for task in background:
                task.cancel()
        logger.info("stopped")

    def _publish(self, update: updates.ToWorker) -> None:
        self._workers.publish(update)
        if not self._said_ready:
            self._consider_ready()

    def _consider_ready(self) -> None:
        """Say `ready`, once, when nothing is missing any more."""
        if self._said_ready or self.not_ready():
            return
        self._said_ready = True
        print("ready", file=sys.stderr, flush=True)
        systemd.notify("READY=1")

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
        )
