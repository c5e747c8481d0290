"""What can be set, and what was set.

`schema` declares every setting once, `values` says how each kind of value is read and written,
`load` puts file, environment and flags together, `policy` is what the resolver gets of it, and
`reference` renders the documentation.
"""
