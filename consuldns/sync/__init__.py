"""The sync worker: the services of a Kubernetes cluster in Consul's catalog and KV tree."""
