"""The meaning of names: pure, synchronous, without sockets, clocks or bytes of messages.

    Question --grammar--> lookups --resolver, reading views--> Answer

`question` is what is asked, `grammar` says what a name can mean, `answer` is what was found,
`policy` the settings that matter for it. `resolver` leads from one to the other and follows
aliases; who answers which kind of name:

    services  [<tag>.]<service>.service[.<dc>].D, _<service>._<tag>[.service][.<dc>].D
    nodes     <node>.node[.<dc>].D, <hexadecimal>.addr.D
    reverse   d.c.b.a.in-addr.arpa, ip6.arpa
    zones     SOA and NS of the domains and the reverse zones, ns.D

They share `select` (which instances count, which of their addresses), `records` (constructors) and
`request` (what they take and give).
"""
