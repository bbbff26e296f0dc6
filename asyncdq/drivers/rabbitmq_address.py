"""Where a RabbitMQ is, and what its URL says about us."""

from __future__ import annotations

import re
import ssl
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, unquote, urlencode

from ..errors import ConfigurationError
from ..url import Form, number, whole_number

OURS = ("exchange_name", "prefetch_count", "timeout", "consumer_timeout")
"""Options of the driver that a URL may have."""

THEIRS = ("heartbeat", "name", "auth", "cafile", "capath", "cadata", "keyfile", "certfile", "no_verify_ssl")
"""Options that aio-pika's URLs have, and that we hand on."""

FORM = Form("rabbitmq", "a RabbitMQ", "amqp://user:password@host:5672/vhost", (*OURS, *THEIRS))

HEARTBEAT = "15"
"""Seconds of silence after which either side asks; after about twice as many the connection counts as lost."""


SPARE = 300.0
"""Seconds before the server's consumer timeout at which a task has to be over."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the driver may be told; `prefetch_count` 0: twice what is asked for. Durations are seconds."""

    exchange_name: str
    prefetch_count: int
    timeout: float
    consumer_timeout: float

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """From words or numbers. Raises `ConfigurationError`."""
        name, most = str(said["exchange_name"]), said["prefetch_count"]
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,120}", name):
            raise ConfigurationError("exchange_name is made of 1 to 120 letters, digits and any of _ . -")
        return cls(
            name,
            0 if most in (None, "") else whole_number("prefetch_count", most, 1, 65535),
            number("timeout", said["timeout"], 0.001, 1e6),
            number("consumer_timeout", said["consumer_timeout"], SPARE + 1, 1e9),
        )


@dataclass(frozen=True, slots=True)
class Address:
    """A URL for the client library, and what may be shown of it."""

    url: str
    shown: str
    options: Mapping[str, str]
    """What is handed on to the client library, by the names of THEIRS."""

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"

    def __str__(self) -> str:
        return self.shown

    def unreadable(self) -> str | None:
        """The option of the URL that names no certificates or no key, and why; None if all do. Reads files."""
        said, name = self.options, "cafile"
        if not (said.get("cafile") or said.get("certfile")):
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if said.get(name):
                context.load_verify_locations(said[name])
            name = "certfile or keyfile" if said.get("keyfile") else "certfile"
            if said.get("certfile"):  # with a password: else it would ask for one at the terminal
                context.load_cert_chain(said["certfile"], said.get("keyfile"), password="")
        except (OSError, ValueError) as error:
            return f"{name}: {getattr(error, 'strerror', None) or error}"
        return None


def parse(url: str) -> tuple[Address, Mapping[str, str]]:
    """The address, and our options in it. Raises `ConfigurationError`."""
    parts = FORM.read(url)
    said = parts.options
    handed_on = {"heartbeat": HEARTBEAT, "name": "asyncdq"} | {key: said[key] for key in THEIRS if key in said}
    if not re.fullmatch("[0-9]{1,5}", handed_on["heartbeat"]) or int(handed_on["heartbeat"]) >= 65535:
        FORM.refuse("has a number of seconds as its heartbeat; 0 is for never")
    if said.get("cadata"):
        _check_certificates(said["cadata"])
    if "," in unquote(parts.hosts):
        FORM.refuse("names one host; for a cluster, that of a load balancer, or a DNS name of all nodes")
    name, port = FORM.host(parts.hosts, 5671 if parts.scheme == "amqps" else 5672)
    _check_name(name)
    host = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    vhost = unquote(parts.path) or "/"
    path = "" if vhost == "/" else quote(vhost, safe="")
    who = f"{quote(parts.user or 'guest', safe='')}:{quote(parts.password or 'guest', safe='')}"
    shown = f"{host}/{path}"
    address = Address(f"{parts.scheme}://{who}@{shown}?{urlencode(handed_on)}", f"{parts.scheme}://{shown}", handed_on)
    return address, {key: said[key] for key in OURS if key in said}


def _check_name(host: str) -> None:
    try:
        host.encode("idna")
    except UnicodeError:
        FORM.refuse("has a host whose name has parts of 1 to 63 letters between its dots")


def _check_certificates(text: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=b64decode(text))
    except (ValueError, OSError):
        FORM.refuse("has certificates in DER, written in base64, as its cadata")
