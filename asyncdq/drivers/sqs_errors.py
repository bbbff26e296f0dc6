"""The one place where errors of botocore and of single entries become ours. No text of ours repeats a secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import AsyncdqError, ConfigurationError, ConnectionLost, DriverError

GONE = ("NonExistentQueue", "QueueDoesNotExist")
"""The queue is not there, or not any more."""

NOT_OURS = ("ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidIdFormat")
"""The handle is outdated: somebody else has received the message, or has deleted it."""

BUSY = (
    *("Throttl", "TooManyRequests", "OverLimit", "ServiceUnavailable", "InternalError", "InternalFailure", "SlowDown"),
    "QueueDeletedRecently",  # for a minute its name cannot be used again
)
"""Parts of the codes that ask to be tried again."""

_WRONG = {
    "InvalidClientTokenId": "check the access key, and that it belongs to this region",
    "UnrecognizedClientException": "check the access key, and that it belongs to this region",
    "SignatureDoesNotMatch": "check the secret access key, and this machine's clock",
    "IncompleteSignature": "check the access key and the secret",
    "InvalidSignatureException": "check the secret access key, and this machine's clock",
    "RequestExpired": "check this machine's clock",
    "Skewed": "check this machine's clock",
    "MissingAuthenticationToken": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile",
    "ExpiredToken": "renew the credentials",
    "AccessDenied": "allow it to this user or role in IAM",
    "OptInRequired": "enable SQS for this account",
    "InvalidAddress": "check the region and queue_url_prefix",
}
"""What waiting does not mend, by a part of the code, and what does."""

_SETUP = {
    "NoCredentialsError": "no AWS credentials are found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a"
    " profile or role (an emulator takes any value)",
    "PartialCredentialsError": "the AWS credentials are incomplete: set both the key and the secret",
    "ProfileNotFound": "there is no such AWS profile: check AWS_PROFILE",
    "NoRegionError": "no AWS region is given",
    "InvalidRegionError": "there is no such AWS region",
    "UnknownEndpointError": "there is no SQS in this region: check the region",
    "EndpointProviderError": "the endpoint cannot be worked out: check the region and endpoint_url",
    "InvalidEndpointConfigurationError": "check endpoint_url",
}
"""Errors that botocore raises before it asks anybody."""


class Busy(ConnectionLost):
    """SQS asks for patience: it throttles, or has trouble of its own."""


class Refused(ConfigurationError, DriverError):
    """Waiting does not mend it; as a `DriverError` it says what is stored, and hurts nobody else's message."""


class Gone(DriverError):
    """The queue does not exist."""


class NotOurs(DriverError):
    """The receipt handle opens nothing any more."""


def failure(error: Exception, operation: str, where: str) -> AsyncdqError:
    """What an error means that came instead of an answer."""
    answer: Mapping[str, Any] | None = getattr(error, "response", None)
    if isinstance(answer, Mapping) and "Error" in answer:
        said = answer["Error"]
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        return refusal(str(said.get("Code", "")), str(said.get("Message", "")), operation, where, status >= 500)
    kind = type(error).__name__
    if kind in _SETUP:
        return ConfigurationError(f"{where}: {_SETUP[kind]}")
    if kind == "CredentialRetrievalError":  # from a role or a process: it fails now and then, and a worker goes on
        said = _line(str(error))
        return ConnectionLost(f"{where}: the AWS credentials cannot be read, check the profile and its process: {said}")
    if kind == "ParamValidationError" or isinstance(error, (ValueError, TypeError)):
        return ConfigurationError(f"{where}: {operation} is given something impossible: check the options ({kind})")
    if isinstance(error, TimeoutError):
        return ConnectionLost(f"{where} does not answer")
    return ConnectionLost(f"lost the connection to {where}: {_line(str(error)) or kind}")


def refusal(code: str, text: str, operation: str, where: str, trouble: bool = False) -> AsyncdqError:
    """What an answer with this code means; `trouble`: it is the server's fault."""
    said = f"{operation}: {code}: {_line(text)}"
    for part, advice in _WRONG.items():
        if part in code:
            return Refused(f"{where} refuses {said}; {advice}")
    if any(part in code for part in GONE):
        return Gone(f"{where}: {said}")
    if any(part in code for part in NOT_OURS) or (code == "InvalidParameterValue" and "eceipt" in text):
        return NotOurs(f"{where}: {said}")
    if trouble or any(part in code for part in BUSY):
        return Busy(f"{where} asks for patience: {said}")
    return DriverError(f"{where} refused {said}")


def _line(text: str) -> str:
    return " ".join(text.split())
