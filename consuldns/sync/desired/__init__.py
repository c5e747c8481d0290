"""What Consul should hold for the services of a cluster: pure functions of its objects."""
