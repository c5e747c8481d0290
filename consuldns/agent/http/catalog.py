"""`/v1/catalog` and `/v1/health`."""

from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consuldns.agent.catalog import CHECKS, NODES, SERVICES, Deregistration, Instance, Registration
from consuldns.agent.http import fields, shapes
from consuldns.agent.http.exchange import Exchange, decode, named, reply
from consuldns.agent.http.filter import Select
from consuldns.agent.http.shapes import JSON
from consuldns.agent.records import ANY, PASSING, Check, Refused
from consuldns.agent.tables import Topic

_TRUE = ("", "1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


class CatalogEndpoints:
    """What is registered where."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._catalog = exchange.state.catalog
        self._index_of = exchange.state.database.index_of

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/v1/catalog/register", self.register, methods=["PUT"]),
            Route("/v1/catalog/deregister", self.deregister, methods=["PUT"]),
            Route("/v1/catalog/datacenters", self.datacenters),
            Route("/v1/catalog/nodes", self.nodes),
            Route("/v1/catalog/services", self.services),
            Route("/v1/catalog/service/{name:path}", self.service),
            Route("/v1/catalog/connect/{name:path}", self.connect),
            Route("/v1/catalog/node/{name:path}", self.node),
            Route("/v1/catalog/node-services/{name:path}", self.node_services),
        ]

    async def register(self, request: Request) -> Response:
        """PUT: a node, with a service and checks."""
        wanted = await decode(request, Registration)
        self._exchange.require_datacenter(wanted.datacenter)
        with self._exchange.state.change():
            self._catalog.register(wanted)
        return reply(request, True)

    async def deregister(self, request: Request) -> Response:
        """PUT: a service, a check or a node to remove."""
        wanted = await decode(request, Deregistration)
        self._exchange.require_datacenter(wanted.datacenter)
        with self._exchange.state.change():
            self._catalog.deregister(wanted)
        return reply(request, True)

    async def datacenters(self, request: Request) -> Response:
        """GET: the one datacenter; not a blocking query in Consul either."""
        return reply(request, [self._exchange.state.datacenter])

    async def nodes(self, request: Request) -> Response:
        """GET: all nodes."""

        def body(select: Select) -> object:
            nodes = self._catalog.nodes()
            return select(shapes.node(each) for each in nodes if has_meta(request, each.meta))

        return await self._exchange.read_filtered(
            request, lambda: self._index_of(NODES), fields.NODE, body
        )

    async def services(self, request: Request) -> Response:
        """GET: the names of all services, with all tags of each."""

        def body() -> object:
            tags: dict[str, set[str]] = {}
            for node, service in self._catalog.service_instances():
                if has_meta(request, node.meta):
                    tags.setdefault(service.service, set()).update(service.tags or ())
            return {name: sorted(tags[name]) for name in sorted(tags)}

        topics = (SERVICES, NODES) if "node-meta" in request.query_params else (SERVICES,)
        return await self._exchange.read(request, lambda: self._index_of(*topics), body)

    async def service(self, request: Request) -> Response:
        """GET: the instances of a service."""
        name = named(request, "service name")
        return await self._instances(request, ("service", name), self._catalog.instances)

    async def connect(self, request: Request) -> Response:
        """GET: what takes Connect traffic for a service."""
        name = named(request, "service name")
        return await self._instances(request, ("connect", name), self._catalog.connect_instances)

    async def _instances(
        self, request: Request, topic: Topic, find: Callable[[str], list[Instance]]
    ) -> Response:
        def body(select: Select) -> object:
            found = [each for each in find(topic[1]) if is_selected(request, each)]
            return select(map(shapes.catalog_service, found))

        return await self._exchange.read_filtered(
            request, lambda: self._index_of(topic), fields.CATALOG_SERVICE, body
        )

    async def node(self, request: Request) -> Response:
        """GET: a node with its services by id; null if there is no such node."""

        def body(node: JSON | None, services: list[JSON]) -> object:
            by_id = {each["ID"]: each for each in services}
            return None if node is None else {"Node": node, "Services": by_id}

        return await self._services_on(request, body)

    async def node_services(self, request: Request) -> Response:
        """GET: a node with a list of its services; nulls if there is no such node."""

        def body(node: JSON | None, services: list[JSON]) -> object:
            return {"Node": node, "Services": None if node is None else services}

        return await self._services_on(request, body)

    async def _services_on(
        self, request: Request, body: Callable[[JSON | None, list[JSON]], object]
    ) -> Response:
        name = named(request, "node name")

        def selected(select: Select) -> object:
            node = self._catalog.node(name)
            services = select(map(shapes.service, self._catalog.services_on(name)))
            return body(None if node is None else shapes.node(node), services)

        return await self._exchange.read_filtered(
            request, lambda: self._index_of(("node", name)), fields.SERVICE, selected
        )


class HealthEndpoints:
    """Which of it is well."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._catalog = exchange.state.catalog
        self._index_of = exchange.state.database.index_of

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/v1/health/service/{name:path}", self.service),
            Route("/v1/health/connect/{name:path}", self.connect),
            Route("/v1/health/ingress/{name:path}", self.ingress),
            Route("/v1/health/node/{name:path}", self.node),
            Route("/v1/health/checks/{name:path}", self.checks),
            Route("/v1/health/state/{name:path}", self.state),
        ]

    async def service(self, request: Request) -> Response:
        """GET: the instances of a service with their checks."""
        name = named(request, "service name")
        return await self._instances(request, ("health", name), self._catalog.instances)

    async def connect(self, request: Request) -> Response:
        """GET: what takes Connect traffic for a service, with checks."""
        name = named(request, "service name")
        return await self._instances(request, ("connect", name), self._catalog.connect_instances)

    async def ingress(self, request: Request) -> Response:
        """GET: the ingress gateways of a service, with checks."""
        name = named(request, "service name")
        return await self._instances(request, ("ingress", name), self._catalog.ingress_instances)

    async def _instances(
        self, request: Request, topic: Topic, find: Callable[[str], list[Instance]]
    ) -> Response:
        passing_only = _flag(request, "passing")

        def body(select: Select) -> object:
            found = [each for each in find(topic[1]) if is_selected(request, each)]
            if passing_only:
                found = [each for each in found if _is_passing(each)]
            return select(map(shapes.health_entry, found))

        return await self._exchange.read_filtered(
            request, lambda: self._index_of(topic), fields.HEALTH_ENTRY, body
        )

    async def node(self, request: Request) -> Response:
        """GET: the checks of a node and of what runs on it."""
        name = named(request, "node name")
        return await self._checks(request, lambda: self._catalog.checks_on(name))

    async def checks(self, request: Request) -> Response:
        """GET: the checks of a service."""
        name = named(request, "service name")

        def find() -> list[Check]:
            checks = self._catalog.checks()
            return [each for each in checks if each.service_name.lower() == name]

        return await self._checks(request, find)

    async def state(self, request: Request) -> Response:
        """GET: the checks that have a status; `any` for all."""
        status = named(request, "check state")

        def find() -> list[Check]:
            checks = self._catalog.checks()
            return [each for each in checks if status in (ANY, each.status)]

        return await self._checks(request, find)

    async def _checks(self, request: Request, find: Callable[[], list[Check]]) -> Response:
        def meta(check: Check) -> Mapping[str, str] | None:
            node = self._catalog.node(check.node)
            return node.meta if node is not None else None

        def body(select: Select) -> object:
            return select(shapes.check(each) for each in find() if has_meta(request, meta(each)))

        topics = (CHECKS, NODES) if "node-meta" in request.query_params else (CHECKS,)
        return await self._exchange.read_filtered(
            request, lambda: self._index_of(*topics), fields.CHECK, body
        )


def has_meta(request: Request, meta: Mapping[str, str] | None) -> bool:
    """Whether a node has all the metadata of `?node-meta=key:value`, which may be repeated."""
    wanted = (each.partition(":") for each in request.query_params.getlist("node-meta"))
    return all((meta or {}).get(key) == value for key, _, value in wanted)


def is_selected(request: Request, instance: Instance) -> bool:
    """Whether an instance has all of `?tag=`, in any case, and of `?node-meta=`."""
    tags = {tag.lower() for tag in instance.service.tags or ()}
    wanted = {tag.lower() for tag in request.query_params.getlist("tag") if tag}
    return wanted <= tags and has_meta(request, instance.node.meta)


def _is_passing(instance: Instance) -> bool:
    return all(check.status == PASSING for check in instance.checks)


def _flag(request: Request, name: str) -> bool:
    value = request.query_params.get(name, "0")
    if value not in _TRUE + _FALSE:
        raise Refused(f"Invalid value for ?{name}", 400)
    return value in _TRUE
