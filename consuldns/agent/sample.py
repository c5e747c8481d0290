"""Services to look at: those of the cluster in the walk-through of the documentation.

They are registered through the agent, as the first version of this project did; the server's own
service `consul` completes the list.
"""

from consuldns.agent.local import ServiceDefinition
from consuldns.agent.state import State

SERVICES = {
    "kubernetes": ("10.254.0.1", 443),
    "kube-dns": ("10.254.0.10", 53),
    "kube-consul": ("10.254.0.53", 8600),
    "redis-master": ("10.254.131.74", 6379),
    "redis-slave": ("10.254.42.208", 6379),
    "kibana-logging": ("10.254.207.13", 5601),
    "elasticsearch-logging": ("10.254.118.92", 9200),
    "kube-ui": ("10.254.9.161", 80),
    "monitoring-grafana": ("10.254.226.35", 80),
    "monitoring-influxdb": ("10.254.87.5", 8086),
    "monitoring-heapster": ("10.254.70.176", 80),
}
"""Address and port of each."""


def register_sample(state: State) -> None:
    """Register the services."""
    with state.change():
        for name, (address, port) in SERVICES.items():
            state.local.register_service(ServiceDefinition(name=name, address=address, port=port))
