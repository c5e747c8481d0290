"""What Consul has of the cluster now, and of others."""
