"""Forwards questions about names that are not ours to upstream servers.

    Handler --ForwardedQuestion--> Forwarder --Upstream, one after the other--> network

Each worker has a forwarder of its own, with its own sockets and its own cache.
"""
