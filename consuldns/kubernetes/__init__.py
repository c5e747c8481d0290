"""The Kubernetes sync worker: from the objects of a cluster to Consul's catalog and KV tree."""
