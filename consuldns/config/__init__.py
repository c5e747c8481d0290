"""The settings: their declarations, and their values in this process.

`schema` and `sync` declare every setting once, `values` parses and formats each kind of value,
`load` merges file, environment and flags, `policy` converts the settings for the resolver, and
`reference` renders the documentation.
"""
