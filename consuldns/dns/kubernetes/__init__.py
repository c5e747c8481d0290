"""Names of Kubernetes services."""
