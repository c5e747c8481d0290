"""The differential test: a real Consul and this server, one catalog, the same questions.

`generate` makes a catalog from a seed, `catalog` registers it, `questions` makes the questions,
`exchange` asks both servers, `replies` decodes what they say (with dnspython, not with our code),
`differences` turns Consul's reply into the one that this project documents in
docs/consul-differences.md, `comparison` holds ours against that, `run` does it for a seed and
`report` says what came out. `make differential` runs it; `test_differential` does so on one seed.
"""
