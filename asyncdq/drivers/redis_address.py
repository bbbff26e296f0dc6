"""Where a Redis is and who we are there, as a URL says it.

    redis://[user][:password]@host[:port][/db]       valkey:// is the same; rediss:// and valkeys:// speak TLS
    redis+sentinel://[user][:password]@host[:port],host[:port]/service[/db]       rediss+sentinel://
    redis+unix://[user][:password]@/path/to/socket?db=1

Behind the `?` stand further options; what is said before it goes first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from ..url import Form, Url

TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
"""Named and meant as in redis-py, whose users know them."""

_OWN_OPTIONS = ("username", "password", "db", "sentinel_username", "sentinel_password")

DRIVER_OPTIONS = ("max_connections", "timeout", "prefix")
"""What is not part of the address."""

FORM = Form(
    "redis", "a Redis", "redis://user:password@localhost:6379/0", (*_OWN_OPTIONS, *DRIVER_OPTIONS, *TLS_OPTIONS)
)

_YES_OR_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class Address:
    """One server, or the Sentinels that know under the name `service` which server is the primary now."""

    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    tls: Mapping[str, str | bool] | None = None

    def __str__(self) -> str:
        where = self.path or ",".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts
        )
        return f"{where}/{self.service}" if self.service else where


def parse(url: str, defaults: Mapping[str, str]) -> tuple[Address, dict[str, str]]:
    """The address, and the options of the URL that are not part of it. Raises `ConfigurationError`.

    `defaults` holds options that count where the URL does not say otherwise.
    """
    parts = FORM.read(url)
    options = {**defaults, **parts.options}
    unix = parts.scheme == "redis+unix"
    service, db = ("", "") if unix else _path(parts)
    address = Address(
        hosts=() if unix else _hosts(parts),
        path=_socket(parts) if unix else "",
        service=service,
        db=_db(db or options.get("db", "0")),
        username=parts.user or options.get("username"),
        password=parts.password or options.get("password"),
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
        tls=_tls(parts.scheme, options),
    )
    return address, {key: value for key, value in parts.options.items() if key in DRIVER_OPTIONS}


def _hosts(parts: Url) -> tuple[tuple[str, int], ...]:
    usual = 26379 if parts.scheme.endswith("+sentinel") else 6379
    names = parts.hosts.split(",")
    if len(names) > 1 and not parts.scheme.endswith("+sentinel"):
        FORM.refuse("names one host; several are Sentinels: redis+sentinel://host,host/service")
    return tuple(FORM.host(name, usual) for name in names)


def _path(parts: Url) -> tuple[str, str]:
    service, _, db = parts.path.partition("/")
    if not parts.scheme.endswith("+sentinel"):
        return "", "/".join(filter(None, (service, db)))
    if not service:
        FORM.refuse("of Sentinels names the service: redis+sentinel://host,host/mymaster")
    return unquote(service), db.strip("/")


def _socket(parts: Url) -> str:
    if parts.hosts or not parts.path.strip("/"):
        FORM.refuse("of a socket has its path and no host: redis+unix:///run/redis.sock")
    return unquote(f"/{parts.path}")


def _db(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        FORM.refuse("has a whole number as its database")
    return int(text)


def _tls(scheme: str, options: Mapping[str, str]) -> Mapping[str, str | bool] | None:
    said = {key: options[key] for key in TLS_OPTIONS if key in options}
    if not scheme.startswith(("rediss", "valkeys")):
        if said:
            FORM.refuse(f"with {', '.join(said)} begins with rediss://")
        return None
    if said.get("ssl_cert_reqs", "required") not in ("required", "optional", "none"):
        FORM.refuse("has required, optional or none as ssl_cert_reqs")
    for key in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if key in said and not os.path.isfile(said[key]):
            FORM.refuse(f"has the path of a file as {key}; there is no such file")
    # Without a certificate to check there is no name to compare either.
    checked = said.pop("ssl_check_hostname", "yes" if said.get("ssl_cert_reqs") != "none" else "no").lower()
    if checked not in _YES_OR_NO:
        FORM.refuse("has true or false as ssl_check_hostname")
    return {**said, "ssl_check_hostname": _YES_OR_NO[checked]}
