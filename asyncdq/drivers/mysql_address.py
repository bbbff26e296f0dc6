"""A DSN for MySQL or MariaDB, taken apart; and how the connection is encrypted."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote

from ..errors import ConfigurationError
from ..url import Form, Url
from .sql_options import OPTIONS

MODES = ("disabled", "preferred", "required", "verify_ca", "verify_identity")
"""Values of ssl_mode. `preferred`, the default, encrypts where the server can and believes whoever answers, as
MySQL's own clients do; from `verify_ca` on the server's certificate is checked, then also its name."""

_KEYS = ("ssl_mode", "ssl_ca", "ssl_cert", "ssl_key", "unix_socket")

FORM = Form("mysql", "a MySQL", "mysql://user:password@host:3306/database", (*OPTIONS, *_KEYS))


@dataclass(frozen=True, slots=True)
class Address:
    """`where` is for people and has no secrets."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    options: Mapping[str, str] = field(repr=False)
    where: str

    @classmethod
    def of(cls, url: Url) -> Self:
        """Raises ConfigurationError for what is no place of a database, or no way to encrypt."""
        if not url.path or "/" in url.path:
            FORM.refuse("names one database")
        host, port = FORM.host(url.hosts, 3306)
        options = {name: value for name, value in url.options.items() if name in _KEYS}
        mode = options.setdefault("ssl_mode", "verify_ca" if "ssl_ca" in options else "preferred").lower()
        if mode not in MODES:
            FORM.refuse(f"has one of {', '.join(MODES)} as its ssl_mode")
        where = f"MySQL at {options.get('unix_socket') or url.hosts or host}/{url.path}"
        return cls(host, port, url.user, url.password, unquote(url.path), options, where)

    @property
    def ssl_mode(self) -> str:
        """One of MODES."""
        return self.options["ssl_mode"].lower()

    def ssl_context(self) -> ssl.SSLContext:
        """How to encrypt. Raises ConfigurationError if a file of the DSN cannot be read."""
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = self.ssl_mode == "verify_identity"
            if self.ssl_mode in ("preferred", "required"):
                context.verify_mode = ssl.CERT_NONE
            elif "ssl_ca" in self.options:
                context.load_verify_locations(self.options["ssl_ca"])
            else:
                context.load_default_certs()
            if "ssl_cert" in self.options:
                context.load_cert_chain(self.options["ssl_cert"], self.options.get("ssl_key"))
        except OSError as error:
            raise ConfigurationError(f"cannot read ssl_ca, ssl_cert or ssl_key of the DSN: {error}") from error
        return context
