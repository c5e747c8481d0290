"""Settings that both servers get: `dns_config` of Consul, `[dns]` of this server, same names."""

import json
import random
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Settings:
    """TTLs in seconds; the defaults are those of both."""

    node_ttl: int = 0
    service_ttl: dict[str, int] = field(default_factory=dict)
    min_ttl: int = 0
    only_passing: bool = False
    enable_additional_node_meta_txt: bool = True

    def of_consul(self) -> dict[str, Any]:
        """The configuration file of an agent."""
        return {
            "dns_config": {
                "node_ttl": f"{self.node_ttl}s",
                "service_ttl": {name: f"{ttl}s" for name, ttl in self.service_ttl.items()},
                "soa": {"min_ttl": self.min_ttl},
                "only_passing": self.only_passing,
                "enable_additional_node_meta_txt": self.enable_additional_node_meta_txt,
            }
        }

    def of_consuldns(self) -> str:
        """The configuration file of `consuldns serve`."""
        ttls = ", ".join(f"{json.dumps(name)} = {ttl}" for name, ttl in self.service_ttl.items())
        return f"""
            [dns]
            node_ttl = {self.node_ttl}
            service_ttl = {{ {ttls} }}
            only_passing = {json.dumps(self.only_passing)}
            enable_additional_node_meta_txt = {json.dumps(self.enable_additional_node_meta_txt)}
            soa.min_ttl = {self.min_ttl}
        """


def generate_settings(seed: int) -> Settings:
    """The settings of a seed: every other one has the defaults."""
    if seed % 2:
        return Settings()
    chance = random.Random(seed)
    return Settings(
        node_ttl=chance.choice((0, 7)),
        service_ttl=chance.choice(({}, {"*": 5}, {"*": 5, "web": 30, "k*": 9, "kube*": 11})),
        min_ttl=chance.choice((0, 60)),
        only_passing=chance.random() < 0.4,
        enable_additional_node_meta_txt=chance.random() < 0.6,
    )
