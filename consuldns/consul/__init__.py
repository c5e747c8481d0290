"""Consul over HTTP: from its JSON to views, kept right by blocking queries."""
