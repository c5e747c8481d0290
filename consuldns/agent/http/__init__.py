"""The HTTP side of the embedded agent: routes, query parameters, Consul's JSON."""
