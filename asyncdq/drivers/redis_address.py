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
from typing import NoReturn
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ..errors import ConfigurationError

SCHEMES = ("redis", "rediss", "valkey", "valkeys", "redis+sentinel", "rediss+sentinel", "redis+unix")

TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
"""Named and meant as in redis-py, whose users know them."""

_OWN_OPTIONS = ("username", "password", "db", "sentinel_username", "sentinel_password")

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
    try:
        parts = urlsplit(url)
    except ValueError:
        _refuse("is not a URL")
    if parts.scheme not in SCHEMES:
        _refuse(f"begins with one of {', '.join(f'{scheme}://' for scheme in SCHEMES)}")
    said = dict(parse_qsl(parts.query, keep_blank_values=True))
    options = {**defaults, **said}
    user, password = _user(parts)
    service, db = _path(parts)
    address = Address(
        hosts=() if parts.scheme == "redis+unix" else _hosts(parts),
        path=_socket(parts) if parts.scheme == "redis+unix" else "",
        service=service,
        db=_db(db or options.get("db", "0")),
        username=user or options.get("username"),
        password=password or options.get("password"),
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
        tls=_tls(parts.scheme, options),
    )
    return address, {key: value for key, value in said.items() if key not in (*_OWN_OPTIONS, *TLS_OPTIONS)}


def _refuse(why: str) -> NoReturn:
    # The URL is not repeated: it may hold a password.
    raise ConfigurationError(f"a Redis URL {why}; for example redis://localhost:6379/0")


def _user(parts: SplitResult) -> tuple[str | None, str | None]:
    who, separator, _ = parts.netloc.rpartition("@")
    user, _, password = who.partition(":")
    return (unquote(user) or None, unquote(password) or None) if separator else (None, None)


def _hosts(parts: SplitResult) -> tuple[tuple[str, int], ...]:
    usual = 26379 if parts.scheme.endswith("+sentinel") else 6379
    names = parts.netloc.rpartition("@")[2].split(",")
    if len(names) > 1 and not parts.scheme.endswith("+sentinel"):
        _refuse("names one host; several are Sentinels: redis+sentinel://host,host/service")
    return tuple(_host(name, usual) for name in names)


def _host(name: str, usual: int) -> tuple[str, int]:
    bracketed, bracket, rest = name.rpartition("]")
    host, _, port = (bracketed.removeprefix("["), "", rest.removeprefix(":")) if bracket else name.partition(":")
    if port and not (port.isascii() and port.isdigit() and int(port) < 65536):
        _refuse("has a number below 65536 as its port")
    return unquote(host) or "localhost", int(port or usual)


def _path(parts: SplitResult) -> tuple[str, str]:
    if parts.scheme == "redis+unix":
        return "", ""
    service, _, db = parts.path.removeprefix("/").partition("/")
    if not parts.scheme.endswith("+sentinel"):
        return "", "/".join(filter(None, (service, db)))
    if not service:
        _refuse("of Sentinels names the service: redis+sentinel://host,host/mymaster")
    return unquote(service), db.strip("/")


def _socket(parts: SplitResult) -> str:
    if not parts.path.strip("/"):
        _refuse("of a socket has its path: redis+unix:///run/redis.sock")
    return unquote(parts.path)


def _db(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        _refuse("has a whole number as its database")
    return int(text)


def _tls(scheme: str, options: Mapping[str, str]) -> Mapping[str, str | bool] | None:
    said = {key: options[key] for key in TLS_OPTIONS if key in options}
    if not scheme.startswith(("rediss", "valkeys")):
        if said:
            _refuse(f"with {', '.join(said)} begins with rediss://")
        return None
    if said.get("ssl_cert_reqs", "required") not in ("required", "optional", "none"):
        _refuse("has required, optional or none as ssl_cert_reqs")
    for key in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if key in said and not os.path.isfile(said[key]):
            _refuse(f"has the path of a file as {key}; there is none at {said[key]!r}")
    # Without a certificate to check there is no name to compare either.
    checked = said.pop("ssl_check_hostname", "yes" if said.get("ssl_cert_reqs") != "none" else "no").lower()
    if checked not in _YES_OR_NO:
        _refuse("has true or false as ssl_check_hostname")
    return {**said, "ssl_check_hostname": _YES_OR_NO[checked]}
