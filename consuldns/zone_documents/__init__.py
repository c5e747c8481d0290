"""Zones that people keep in Consul's KV tree: one key a name, one small document in each.

    consuldns/zones/example.internal/@          what the zone itself has
    consuldns/zones/example.internal/www        what `www.example.internal` has
    consuldns/zones/example.internal/*.apps     a wildcard name (RFC 4592)

A document is TOML, or JSON if it begins with a brace:

    ttl = 300
    A = ["10.0.0.1", "10.0.0.2"]
    MX = "10 mail"
    TXT = { ttl = 60, records = ["v=spf1 -all"] }

`layout` has the keys, `document` reads and writes documents, `rdata` the data of records, and
`zone_file` reads zone files (RFC 1035 section 5).
"""
