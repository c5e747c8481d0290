"""Requests to one Consul agent, and its replies as typed records."""
