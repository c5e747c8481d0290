"""What goes wrong around the server, while a client asks and accounts for every query."""
