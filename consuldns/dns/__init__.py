"""The meaning of names: pure, synchronous, without sockets, clocks or bytes of messages.

    Question --grammar--> interpretations --finders, reading views--> findings --> Answer

`question` is what is asked, `grammar` says what a name can mean, `finder` what was found for one
interpretation and why, `answer` is the result, `policy` the settings that matter for it. `resolver`
leads from one to the other: it tries the interpretations, and follows aliases. Who answers which
kind of name:

    consul.services  [<tag>.]<service>.service[.<dc>].D, _<service>._<tag>[.service][.<dc>].D
    consul.connect   <service>.connect[.<dc>].D, <service>.ingress[.<dc>].D
    consul.prepared_queries  <query>.query[.<dc>].D
    consul.nodes     <node>.node[.<dc>].D, <hexadecimal>.addr.D
    kubernetes.tree  <service>.<namespace>.svc.<dc>.D, zones of clusters
    reverse          d.c.b.a.in-addr.arpa, ip6.arpa
    zones            SOA and NS of every zone, ns.D

They share `finder` (what they are given), `consul_rules` (which instances count, which of their
addresses), `consul.instances` and `records` (what is made of them). `explain` tells how a name is
interpreted.
"""
