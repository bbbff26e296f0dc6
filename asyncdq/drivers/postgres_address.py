"""Where a PostgreSQL is, and what its URL says of the connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlencode

from ..url import Form, Url
from .sql_options import OPTIONS

_CLIENTS = (
    *("host", "port", "user", "password", "passfile", "dbname", "database", "service", "target_session_attrs"),
    *("sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "sslnegotiation"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version", "krbsrvname", "gsslib"),
)
"""Named and meant as in libpq, for asyncpg."""

_SERVERS = ("application_name", "options", "role", "search_path", "synchronous_commit", "timezone")
"""Settings of the server. All others go into `options`, as in libpq: options=-c%20name%3Dvalue. A name that nobody has
foreseen might be a piece of a password."""

FORM = Form(
    "postgres",
    "a PostgreSQL",
    "postgresql://user:password@host:5432/database",
    (*OPTIONS, "pooler", *_CLIENTS, *_SERVERS),
)


@dataclass(frozen=True, slots=True)
class Address:
    """`dsns` is what asyncpg reads, a host each, without user and password; `where` is for people, without secrets.

    `chooses`: of several hosts the first is used that can be written; else the DSN says itself which will do.
    """

    dsns: tuple[str, ...] = field(repr=False)
    user: str | None
    password: str | None = field(repr=False)
    options: Mapping[str, str] = field(repr=False)
    where: str
    chooses: bool

    @classmethod
    def of(cls, url: Url) -> Self:
        """Raises ConfigurationError for hosts that are none, or that stand elsewhere."""
        for host in url.hosts.split(","):
            FORM.host(host, 5432)
        theirs = {name: value for name, value in url.options.items() if name in (*_CLIENTS, *_SERVERS)}
        if "," in theirs.get("host", "") + theirs.get("port", ""):
            FORM.refuse("has its hosts, if they are several, before the slash, each with its port: host:port,host:port")
        hosts = url.hosts.split(",")
        # Of several, some are standbys, and which ones changes: a queue can be kept only where it can be written.
        chooses = len(hosts) > 1 and theirs.get("target_session_attrs", "") in ("", "read-write")
        if chooses:
            theirs["target_session_attrs"] = "any"
        query = urlencode(theirs)
        dsns = tuple(f"postgresql://{host}/{url.path}{'?' if query else ''}{query}" for host in hosts)
        where = f"PostgreSQL at {url.place or 'localhost'}"
        return cls(dsns, url.user or None, url.password or None, theirs, where, chooses)
