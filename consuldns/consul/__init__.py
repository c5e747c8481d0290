"""Consul over HTTP: what it holds, kept as views, and what is written to it.

    http.client ---> http.blocking ---> watch.lists (always watched) --------\\
                          |                   | what may have changed         >-- watch.published
                          |                   v                              /         |
                          +-----------> watch.on_demand (being asked for) --+          v
                                              |                             |       workers
                                              +---> watch.address_indexer --+

`kinds` is the table of the kinds of views: request, decoder (`decoders`, pure), what invalidates a
view, which list proves that it exists. In `watch`, `schedule` has the states of the views on
demand, `loss_guard` says whether a list that shrank may be believed, `reachability` whether Consul
answers, and `watcher` puts these together. `catalog` and `operations` are the side that writes, and
`zones` lists, checks and imports the zones of the KV tree for people.
"""
