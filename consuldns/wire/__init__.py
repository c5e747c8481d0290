"""Bytes of DNS messages, and the table of compiled answers."""
