"""The differential test: a real Consul and this server, one catalog, the same questions.

`generate`, `clusters` and `settings` make a catalog and settings from a seed, `catalog` registers
it, `questions` makes the questions, `exchange` asks both servers, `replies` decodes what they say
(with dnspython, not with our code). `differences` and `reverse_differences` turn Consul's reply
into the one that docs/consul-differences.md promises: from the question (`case`), from what the
catalog says of names (`existence`, `reverse`), and from what Consul says if it is asked otherwise
(`world`). `comparison` holds our reply against that, `run` does it for a seed, with `changes` of
the catalog between rounds, `remote` across two datacenters, and `report` says what came out.

`make differential` runs it on many seeds, `test_differential` on one.
"""
