"""Keeps a sync worker at work, and answers for it while there is none yet.

A worker needs a Consul and a Kubernetes API; while one of them does not answer, the next attempt
follows. The admin endpoint and the signals are there from the beginning.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from signal import Signals
from typing import Any, Never

from consuldns import signals
from consuldns.backoff import Backoff
from consuldns.config.schema import Settings
from consuldns.errors import ConfigError, ConsuldnsError, ConsulError, KubernetesError
from consuldns.incidents import Incidents
from consuldns.sockets import HostPort, listen_tcp
from consuldns.sync.metrics import SyncCollector
from consuldns.sync.statistics import Statistics
from consuldns.sync.worker import SyncWorker
from consuldns.web import admin, serving

_log = logging.getLogger(__name__)

RETRY = 2.0  # seconds between attempts to find a Consul and a Kubernetes API


class Supervisor:
    """Starts a worker, and another one when it fails. `worker` is None until both ends answer."""

    def __init__(self) -> None:
        self.worker: SyncWorker | None = None

    async def run(
        self,
        stop: asyncio.Event,
        settings: Settings,
        *,
        adopt: bool = False,
        allow_mass_delete: bool = False,
    ) -> None:
        """Sync until `stop`. Raises ForeignCluster, ConfigError, StartupError."""
        try:
            async with self._admin_endpoint(settings.sync.admin_addr), asyncio.TaskGroup() as tasks:
                work = tasks.create_task(self._work(settings, adopt, allow_mass_delete))
                await stop.wait()
                _log.info("stopping")
                work.cancel()
        except* ConsuldnsError as group:
            raise first_of(group) from None

    async def _work(self, settings: Settings, adopt: bool, allow_mass_delete: bool) -> Never:
        incidents, backoff = Incidents(_log), Backoff(RETRY, RETRY)
        while True:
            try:
                async with SyncWorker.connected(
                    settings, adopt=adopt, allow_mass_delete=allow_mass_delete
                ) as self.worker:
                    await self.worker.run()
            except (ConsulError, KubernetesError) as error:
                incidents.began("cannot start, trying again", error)
            await backoff.pause()

    @contextlib.asynccontextmanager
    async def _admin_endpoint(self, address: HostPort | None) -> AsyncIterator[None]:
        if address is None:
            yield
            return
        what = "the sync worker's admin endpoint"
        listener = listen_tcp(address, what=what, option="--admin-addr")
        application = admin.application(self, SyncCollector(self))
        async with serving.serving(application, listener, connections=admin.CONNECTIONS):
            yield

    def handlers(self, stop: asyncio.Event) -> Mapping[Signals, Any]:
        """What signals mean to a sync worker."""
        return {
            Signals.SIGTERM: stop.set,
            Signals.SIGINT: stop.set,
            Signals.SIGHUP: self.read_credentials_again,
            Signals.SIGUSR1: self.log_figures,
        }

    def not_ready(self) -> list[str]:
        """What keeps the worker from being of use, one reason each."""
        if self.worker is None:
            return ["consul or kubernetes: not reachable yet"]
        return self.worker.not_ready()

    def notes(self) -> list[str]:
        """What else there is to say, without being a reason not to be ready."""
        return ["leader" if self.is_leader else "standby"] if self.worker is not None else []

    @property
    def is_leader(self) -> bool:
        """Whether the worker writes."""
        return self.worker is not None and self.worker.is_leader

    def read_credentials_again(self) -> None:
        """Have the worker read its credentials again, and say what came of it."""
        if self.worker is None:
            _log.info("SIGHUP: credentials are read at each attempt to start")
            return
        try:
            self.worker.read_credentials_again()
        except (ConfigError, ConsulError) as error:
            _log.warning("SIGHUP: %s", error)
        else:
            _log.info("SIGHUP: the credentials for Consul and Kubernetes have been read again")

    def log_figures(self) -> None:
        """Log what was done so far."""
        reasons = "; ".join(self.not_ready())
        _log.info(
            "SIGUSR1: sync worker: %s%s",
            "leader" if self.is_leader else "no leader",
            f", not ready: {reasons}" if reasons else ", ready",
        )
        counts = " ".join(f"{name.replace(' ', '_')}={count}" for name, count in self.figures())
        _log.info("SIGUSR1: sync worker: %s", counts)

    @property
    def statistics(self) -> Statistics:
        """What was done so far."""
        return self.worker.statistics if self.worker is not None else Statistics()

    def figures(self) -> Iterator[tuple[str, str]]:
        """What was done so far, in words."""
        done = self.statistics
        yield "services", str(done.services)
        yield "instances", str(done.instances)
        yield "transactions", str(done.transactions)
        yield "reads", str(done.reads)
        yield "held removals", str(done.held_removals)
        yield "failed services", str(done.failed_services)


async def run(settings: Settings, *, adopt: bool, allow_mass_delete: bool) -> None:
    """Sync until SIGTERM or SIGINT. Raises ForeignCluster, ConfigError, StartupError."""
    stop, supervisor = asyncio.Event(), Supervisor()
    signals.handle(supervisor.handlers(stop))
    await supervisor.run(stop, settings, adopt=adopt, allow_mass_delete=allow_mass_delete)


def first_of(group: BaseExceptionGroup[Any]) -> BaseException:
    """The first error of a group, however deep."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
