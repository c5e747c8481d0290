"""The embedded agent of `consuldns dev`: an in-memory, Consul-compatible HTTP API."""
