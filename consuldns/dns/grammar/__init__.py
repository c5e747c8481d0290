"""What the labels of a name mean."""
