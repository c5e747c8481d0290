"""The embedded agent of `consuldns dev`: an in-memory, Consul-compatible HTTP API.

    serving.py      one event loop: socket, HTTP server, timers; the way in
      http/         routes: requests to calls on the state, records to Consul's JSON
      watching.py   blocking queries: who waits, who is woken
      sample.py     the services of the walk-through
    state.py        the state as a whole: pure and synchronous, given a clock
      catalog.py    nodes, services, checks
      gateways.py   which services ingress and terminating gateways stand for
      kv.py         keys, values and locks
      sessions.py   sessions, which hold locks and end
      local.py      services and checks that this agent runs itself: TTLs, maintenance mode
      txn.py        many operations at once, all or none
    tables.py       tables with undo, and the index of the last change of each thing
    records.py      nodes, services, checks, entries, sessions as values

It behaves as Consul 1.8.7 does; tests/contract holds both to the same tests.
"""
