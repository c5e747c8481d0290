"""Bytes of DNS messages, and the response cache."""
