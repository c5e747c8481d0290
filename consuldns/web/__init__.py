"""HTTP servers: the admin endpoint, and what the embedded agent shares with it."""
