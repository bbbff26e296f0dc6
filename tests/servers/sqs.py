"""SQS as ministack plays it: one process, in an environment of its own because it wants another botocore than we."""

from __future__ import annotations

import json
import secrets
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from .kind import Kind

ENVIRONMENT = Path(__file__).resolve().parents[2] / ".venvs" / "ministack"

SETTINGS = ("BIND_HOST=127.0.0.1", "IOT_MTLS_ENABLED=0", "SERVICES=sqs", "PERSIST_STATE=1", "LOG_LEVEL=WARNING")


class SQS(Kind):
    """Keeps what it has confirmed when it is stopped, and nothing over kill -9."""

    name = "sqs"
    variable = "ASYNCDQ_TEST_SQS_URL"
    package = "ministack"
    image = "ministackorg/ministack"
    port = 4566
    environment = {"SERVICES": "sqs", "IOT_MTLS_ENABLED": "0", "PERSIST_STATE": "1", "STATE_DIR": "/state"}
    durable = False
    light = True  # and most of its tests wait for whole seconds: several files at a time

    def fresh(self, url: str) -> str:
        # Names of its own: what is deleted in SQS may not be made again for a minute.
        return f"{url}&prefix={secrets.token_hex(4)}-"

    def url(self, port: int) -> str:
        endpoint = quote(f"http://127.0.0.1:{port}", safe="")
        # Long polls of a second: a driver that ends waits for its own.
        return f"sqs://us-east-1?endpoint_url={endpoint}&aws_access_key_id=test&aws_secret_access_key=test&poll=1"

    def program(self) -> Path | None:
        found = ENVIRONMENT / "bin" / "ministack"
        return found if found.exists() else None

    def command(self, data: Path, port: int) -> list[str]:
        own = [f"GATEWAY_PORT={port}", f"STATE_DIR={data}", f"TMPDIR={data}", f"HOME={data}"]
        return ["env", *SETTINGS, *own, str(self.program())]

    def answers(self, port: int) -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_ministack/health", timeout=1) as answer:
            return bool(answer.status == 200)

    def empty(self, url: str) -> None:
        for queue in ask(url, "ListQueues").get("QueueUrls", []):
            ask(url, "DeleteQueue", QueueUrl=queue)

    def remedy(self) -> str:
        return "python -m tests.servers.install --drivers=sqs"

    def installation(self) -> Sequence[list[str]]:
        pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        return [sys.executable, "-m", "venv", str(ENVIRONMENT)], [*pip, "ministack>=1.5.33"]


def ask(url: str, action: str, **asked: str) -> dict[str, Any]:
    """What the emulator of this driver's URL answers; it does not look at who signs. Raises OSError."""
    (endpoint,) = parse_qs(urlsplit(url).query)["endpoint_url"]
    request = urllib.request.Request(
        endpoint,
        json.dumps(asked).encode(),
        {
            "X-Amz-Target": f"AmazonSQS.{action}",
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request",
        },
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        told: dict[str, Any] = json.loads(answer.read() or b"{}")
        return told
