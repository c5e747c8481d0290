"""Sockets: from a packet to a reply, over UDP and TCP."""
