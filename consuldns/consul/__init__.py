"""What Consul holds, read over HTTP and kept as views; the only way to Consul.

    client ---> blocking ---> standing (lists, always followed) --\\
      |                                                            >-- publication ---> workers
      +-------> sources ----> needed (views that are asked for) --/
                                  |
                                  +---> addresses (which service has an address)

`types` says what is read of Consul's JSON and `translate` makes views of it, both pure. `contact`
knows whether Consul answers, `guard` whether a list that shrank may be believed, `freshness` which
views may have changed and which are asked for. `watcher` puts these together.
"""
