"""How fast asyncdq is, beside its rivals and beside a bare loop of the same client library: see __main__.py."""
