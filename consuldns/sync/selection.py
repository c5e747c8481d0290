"""The services of the cluster that are to be synced, by the settings and their annotations.

The cache says what there is; this says what of it counts, and which flat name each service claims.
Annotations are read here, once for each change of a service.
"""

from collections.abc import Collection

from consuldns.config.sync import SyncSettings
from consuldns.sync.cache import ClusterCache
from consuldns.sync.desired import annotations
from consuldns.sync.desired.annotations import Overrides
from consuldns.sync.desired.flat_names import NameClaim
from consuldns.sync.kubernetes.objects import Service, ServiceKey


class Selection:
    """Services that are to be synced, as of the latest `take_dirty`.

    `problems` are what is wrong with services that are not to be synced. `recorded_namespaces` are
    those that Consul has from before; they count until namespaces could be listed.
    """

    def __init__(self, cache: ClusterCache, settings: SyncSettings) -> None:
        self.cache, self._settings = cache, settings
        self.services: dict[ServiceKey, Service] = {}
        self.overrides: dict[ServiceKey, Overrides] = {}
        self.claims: dict[ServiceKey, NameClaim] = {}
        self.problems: dict[ServiceKey, tuple[str, ...]] = {}
        self.recorded_namespaces: tuple[str, ...] = ()
        self._names_changed = True

    @property
    def is_dirty(self) -> bool:
        """Whether there is anything to look at."""
        return self._names_changed or self.cache.is_dirty

    def take_dirty(self) -> tuple[Collection[ServiceKey], Collection[str], bool]:
        """What is to be looked at, and forget it: services, addresses, and whether flat names are.

        The addresses are those whose reverse name may have to change though no service did.
        """
        services, addresses = self.cache.take_dirty()
        names_changed, self._names_changed = self._names_changed, False
        for key in services:
            names_changed |= self._select(key)
        return services, addresses, names_changed

    def _select(self, key: ServiceKey) -> bool:
        """Look at a service again; whether its claim to a flat name is another."""
        before = self.claims.pop(key, None)
        for each in (self.services, self.overrides, self.problems):
            each.pop(key, None)
        service = self.cache.services.get(key)
        if service is not None:
            overrides = annotations.read(service.metadata.annotations)
            if is_wanted(service, overrides, self._settings):
                self.services[key], self.overrides[key] = service, overrides
                self.claims[key] = claim(service, overrides, self._settings)
            elif problems := problems_of_unwanted(service, overrides, self._settings):
                self.problems[key] = problems
        return before != self.claims.get(key)

    @property
    def namespaces(self) -> set[str]:
        """The namespaces whose services may be synced, as far as they are known."""
        known = self.cache.namespaces or self.recorded_namespaces
        return {
            name
            for name in {*known, *(namespace for namespace, _ in self.services)}
            if self._settings.allows(name)
        }


def is_wanted(service: Service, overrides: Overrides, settings: SyncSettings) -> bool:
    """Whether the service is to be synced at all: namespaces, its type, then its annotation."""
    if not settings.allows(service.metadata.namespace) or service.spec.type not in settings.types:
        return False
    return settings.default if overrides.sync is None else overrides.sync


def problems_of_unwanted(
    service: Service, overrides: Overrides, settings: SyncSettings
) -> tuple[str, ...]:
    """What is wrong with a service that is not synced, in words.

    Nothing in namespaces that are left out: they may be another worker's.
    """
    if not settings.allows(service.metadata.namespace):
        return ()
    if overrides.sync and service.spec.type not in settings.types:
        problem = (
            f"service-sync has no effect: sync.types does not include {service.spec.type} services"
        )
        return (*overrides.problems, problem)
    return overrides.problems


def claim(service: Service, overrides: Overrides, settings: SyncSettings) -> NameClaim:
    """The service's claim to a flat name. One that it was given is taken as it is, unprefixed."""
    return NameClaim(
        service.key,
        overrides.name or settings.prefix + service.metadata.name,
        overrides.collision or settings.flat_names,
        (service.metadata.creation_timestamp, service.metadata.uid),
        given=bool(overrides.name),
        is_shared=bool(overrides.name) and overrides.collision in ("", "merge"),
    )
