"""`/v1/agent`, `/v1/status`, `/v1/config` and `/v1/query`."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consuldns.agent.gateways import INGRESS, TERMINATING
from consuldns.agent.http import fields, shapes
from consuldns.agent.http.exchange import Exchange, decode, reply, selection
from consuldns.agent.local import CheckDefinition, ServiceDefinition
from consuldns.agent.records import CRITICAL, PASSING, STATUSES, WARNING, Body, Refused
from consuldns.agent.state import SERVER_PORT

CONSUL_VERSION = "1.8.7"
"""The version whose behaviour this agent has."""


class CheckUpdate(Body, frozen=True):
    """The body of `/v1/agent/check/update`."""

    status: str = ""
    output: str = ""


class AgentEndpoints:
    """The agent itself, and the services and checks that it runs."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._local = exchange.state.local

    def routes(self) -> list[Route]:
        """The routes."""
        put = ["PUT"]
        return [
            Route("/v1/agent/self", self.itself),
            Route("/v1/agent/services", self.services),
            Route("/v1/agent/service/register", self.register_service, methods=put),
            Route("/v1/agent/service/deregister/{id:path}", self.deregister_service, methods=put),
            Route("/v1/agent/service/maintenance/{id:path}", self.maintain_service, methods=put),
            Route("/v1/agent/maintenance", self.maintain_node, methods=put),
            Route("/v1/agent/checks", self.checks),
            Route("/v1/agent/check/register", self.register_check, methods=put),
            Route("/v1/agent/check/deregister/{id:path}", self.deregister_check, methods=put),
            Route("/v1/agent/check/{verb}/{id:path}", self.update_check, methods=put),
        ]

    async def itself(self, request: Request) -> Response:
        """GET: who this agent is."""
        state = self._exchange.state
        config = {
            "Datacenter": state.datacenter,
            "NodeName": state.node,
            "NodeID": state.node_id,
            "Revision": "",
            "Server": True,
            "Version": CONSUL_VERSION,
        }
        member = {"Name": state.node, "Addr": "127.0.0.1", "Status": 1}
        return reply(request, {"Config": config, "Member": member, "Meta": {}})

    async def services(self, request: Request) -> Response:
        """GET: the agent's services by id."""
        select = selection(request, fields.SERVICE)
        services = select(map(shapes.agent_service, self._local.services()))
        return reply(request, {each["ID"]: each for each in services})

    async def checks(self, request: Request) -> Response:
        """GET: the agent's checks by id."""
        select = selection(request, fields.CHECK)
        checks = select(map(shapes.agent_check, self._local.checks()))
        return reply(request, {each["CheckID"]: each for each in checks})

    async def register_service(self, request: Request) -> Response:
        """PUT: a service, with checks."""
        wanted = await decode(request, ServiceDefinition)
        with self._exchange.state.change():
            self._local.register_service(wanted)
        return Response()

    async def deregister_service(self, request: Request) -> Response:
        """PUT: remove a service."""
        with self._exchange.state.change():
            self._local.deregister_service(_id(request, "ServiceID missing", 500))
        return Response()

    async def maintain_service(self, request: Request) -> Response:
        """PUT: `?enable=` and `?reason=` for the maintenance mode of a service."""
        return self._maintain(request, _id(request, "Missing service ID", 400))

    async def maintain_node(self, request: Request) -> Response:
        """PUT: `?enable=` and `?reason=` for the maintenance mode of the node."""
        return self._maintain(request, "")

    def _maintain(self, request: Request, service_id: str) -> Response:
        enable = request.query_params.get("enable")
        if enable is None:
            raise Refused("Missing value for enable", 400)
        if enable not in ("true", "false"):
            raise Refused(f'Invalid value for enable: "{enable}"', 400)
        reason = request.query_params.get("reason", "")
        with self._exchange.state.change():
            self._local.set_maintenance(service_id, enable=enable == "true", reason=reason)
        return Response()

    async def register_check(self, request: Request) -> Response:
        """PUT: a check of the node or of a service."""
        wanted = await decode(request, CheckDefinition)
        with self._exchange.state.change():
            self._local.register_check(wanted)
        return Response()

    async def deregister_check(self, request: Request) -> Response:
        """PUT: remove a check."""
        with self._exchange.state.change():
            self._local.deregister_check(_id(request, "CheckID missing", 500))
        return Response()

    async def update_check(self, request: Request) -> Response:
        """PUT: what the application says of its TTL check."""
        verb = request.path_params["verb"]
        if verb == "update":
            update = await decode(request, CheckUpdate)
            status, output = update.status, update.output
            if status not in STATUSES:
                raise Refused(f"Invalid check status: '{status}'", 400)
        else:
            verbs = {"pass": PASSING, "warn": WARNING, "fail": CRITICAL}
            if verb not in verbs:
                return Response(status_code=404)
            status, output = verbs[verb], request.query_params.get("note", "")
        with self._exchange.state.change():
            self._local.update_check(request.path_params["id"], status, output)
        return Response()


class ServerEndpoints:
    """What a server of a cluster of one says of the cluster."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._gateways = exchange.state.gateways

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/v1/status/leader", self.leader),
            Route("/v1/status/peers", self.peers),
            Route("/v1/config", self.put_config, methods=["PUT"]),
            Route("/v1/config/{kind}/{name}", self.get_config),
            Route("/v1/config/{kind}/{name}", self.delete_config, methods=["DELETE"]),
            Route("/v1/peerings", self.peerings),
        ]

    async def leader(self, request: Request) -> Response:
        """GET: the leader's address; it is always this one."""
        return reply(request, f"127.0.0.1:{SERVER_PORT}")

    async def peers(self, request: Request) -> Response:
        """GET: the addresses of all servers."""
        return reply(request, [f"127.0.0.1:{SERVER_PORT}"])

    async def put_config(self, request: Request) -> Response:
        """PUT: the config entry of a gateway."""
        entry = await decode(request, dict[str, Any], "Bad request: Request decoding failed")
        with self._exchange.state.change():
            self._gateways.put(entry)
        return reply(request, True)

    async def get_config(self, request: Request) -> Response:
        """GET: the config entry of a gateway."""
        kind, name = request.path_params["kind"], request.path_params["name"]
        if kind not in (INGRESS, TERMINATING):
            raise Refused(f"invalid config entry kind: {kind}")
        entry = self._gateways.get(kind, name)
        if entry is None:
            raise Refused(f'Config entry not found for "{kind}" / "{name}"', 404)
        return reply(request, entry)

    async def delete_config(self, request: Request) -> Response:
        """DELETE: the config entry of a gateway."""
        with self._exchange.state.change():
            self._gateways.delete(request.path_params["kind"], request.path_params["name"])
        return reply(request, {})

    async def peerings(self, request: Request) -> Response:
        """GET: the clusters that this one is peered with (Consul 1.13 and newer): none."""
        return reply(request, [])


def _id(request: Request, problem: str, status: int) -> str:
    id_ = str(request.path_params["id"])
    if not id_:
        raise Refused(problem, status)
    return id_
