"""Which SQS is meant and how we speak to it, as a URL and options say it.

    sqs://                                               us-east-1, credentials as every AWS tool finds them
    sqs://eu-west-1?prefix=shop-                         another region; our queues begin with `shop-`
    sqs://?endpoint_url=http%3A//127.0.0.1:4566          an emulator

Behind the `?` stand further options; what the URL says goes before what is given beside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigurationError
from ..url import Form, number, whole_number

LONGEST_NAME = 80
_LONGEST_OWN_NAME = 64 + len("-dead")

OPTIONS = (
    "region",
    "queue_url_prefix",
    "endpoint_url",
    "aws_access_key_id",
    "aws_secret_access_key",
    "timeout",
    "prefix",
    "poll",
)

FORM = Form("sqs", "an SQS", "sqs://eu-west-1?prefix=shop-", OPTIONS)


@dataclass(frozen=True, slots=True)
class Address:
    """Where, as whom, with which names; `timeout` and `poll` are seconds."""

    region: str
    endpoint_url: str | None
    queue_url_prefix: str | None
    prefix: str
    timeout: float
    poll: int
    aws_access_key_id: str | None = field(default=None, repr=False)
    aws_secret_access_key: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.endpoint_url or 'SQS'} in {self.region}"


def split(url: str) -> dict[str, str]:
    """The options that a URL names. Raises `ConfigurationError`."""
    parts = FORM.read(url)
    if parts.path:
        FORM.refuse("has a region and options: sqs://region?option=value")
    own = {"region": parts.hosts, "aws_access_key_id": parts.user, "aws_secret_access_key": parts.password}
    return {name: value for name, value in {**own, **parts.options}.items() if value}


def address(options: dict[str, Any]) -> Address:
    """The options, checked. Raises `ConfigurationError`."""
    key, secret = options.get("aws_access_key_id"), options.get("aws_secret_access_key")
    if bool(key) != bool(secret):
        raise ConfigurationError("aws_access_key_id and aws_secret_access_key of SQS are given together, or neither")
    region = str(options["region"])
    if not re.fullmatch(r"[a-z0-9-]+", region):
        raise ConfigurationError("a region of AWS is made of letters, digits and -, such as us-east-1")
    prefix = str(options["prefix"])
    if not re.fullmatch(rf"[A-Za-z0-9_-]{{0,{LONGEST_NAME - _LONGEST_OWN_NAME}}}", prefix):
        longest = LONGEST_NAME - _LONGEST_OWN_NAME
        raise ConfigurationError(f"the prefix of SQS queues is made of at most {longest} letters, digits, _ or -")
    return Address(
        region=region,
        endpoint_url=_web("endpoint_url", options.get("endpoint_url")),
        queue_url_prefix=_web("queue_url_prefix", options.get("queue_url_prefix")),
        prefix=prefix,
        timeout=number("timeout", options["timeout"], 0.001, 1e6),
        poll=whole_number("poll", options["poll"], 1, 20),
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )


def _web(name: str, value: str | None) -> str | None:
    if not value:
        return None
    if not re.fullmatch(r"https?://[^@?#\s]+", value):
        # Not repeated: it may hold a password.
        raise ConfigurationError(f"{name} of SQS begins with http:// or https:// and holds no user, ? or #")
    return value
