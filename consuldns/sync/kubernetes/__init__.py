"""The Kubernetes API: how it is reached, and a copy of its objects that is kept up to date."""
