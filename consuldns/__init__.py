"""consuldns: a DNS server in front of HashiCorp Consul."""

__version__ = "0.1.0"
