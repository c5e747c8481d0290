"""What can be set: declared once in `schema`, read by `load` from file, environment and flags."""
