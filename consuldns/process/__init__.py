"""Processes and their lifecycle: control, workers, and the link between them."""
