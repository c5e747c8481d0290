"""Keeps the views of all workers as Consul's data are."""
