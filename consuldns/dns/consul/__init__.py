"""Names that Consul itself answers: services and nodes."""
