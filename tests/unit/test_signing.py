"""Signed messages: what a signature covers, what a worker with keys runs, and how keys are introduced and changed."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from pathlib import Path, PurePath
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from asyncdq import Client, Worker, task
from asyncdq.drivers.base import DeadLetters
from asyncdq.envelope import Envelope, decode, encode
from asyncdq.errors import ConfigurationError
from asyncdq.events import InProcessEmitter
from asyncdq.events.types import Event, TaskFailed
from asyncdq.message import DeadLetter, Message
from asyncdq.signing import BLANK, Keyring

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "wire-format.md"

OLD, NEW, FOREIGN = "an-old-key-of-the-shop", "a-new-key-of-the-shop", "a-key-of-somebody-else"
URL = "sqlite://:memory:"

ran: list[object] = []


@task(name="test_signing.sell", max_attempts=1)
async def sell(what: object) -> None:
    ran.append(what)


@task(name="test_signing.pass_on", max_attempts=1)
async def pass_on(what: object) -> None:
    await sell.enqueue(what)


@pytest.fixture(autouse=True)
def empty_handed() -> None:
    ran.clear()


def body(task: str = "test_signing.sell", args: object = (["a"], {}), headers: Any = BLANK) -> bytes:
    return encode(Envelope(task, "application/msgpack", msgpack.packb(args), {"enqueued_at": 1.0}, headers))


def signed(key: str = NEW, id: str = "1", queue: str = "default") -> bytes:
    return Keyring([key]).sign(id, queue, body())


async def worked(client: Client, keys: str | list[str] = NEW, **more: Any) -> dict[str, DeadLetter]:
    """The dead letters after a worker with these keys has emptied the queue."""
    worker = Worker(client.driver, burst=True, signing_keys=keys, **more)
    await worker.start(handle_signals=False)
    assert isinstance(client.driver, DeadLetters)
    return {letter.id: letter for letter in await client.driver.dead("default", 10)}


async def put(client: Client, body: bytes, id: str = "1", queue: str = "default") -> None:
    """Store what somebody has made who can write to the store, past the client."""
    await client.driver.enqueue([Message(id, queue, body)])


async def test_what_a_client_signs_a_worker_with_the_key_runs() -> None:
    async with Client.from_url(URL, signing_keys=NEW) as client:
        await sell.enqueue("a")
        assert await worked(client) == {}
    assert ran == ["a"]


async def test_an_unsigned_message_is_buried_and_not_even_its_envelope_is_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Client.from_url(URL) as client:
        await sell.using(id="1").enqueue("a")
        await put(client, b"\xc1 no envelope at all", "2")
        letters = await worked(client)
    assert [(id, letter.reason) for id, letter in letters.items()] == [("1", "unsigned"), ("2", "unsigned")]
    assert letters["1"].error.startswith("it is not signed")
    assert ran == []
    assert "test_signing.sell" not in caplog.text


async def test_its_burial_is_told_as_an_event_with_its_reason() -> None:
    told: list[Event] = []
    async with Client.from_url(URL) as client:
        await sell.enqueue("a")
        await worked(client, emitters=[InProcessEmitter(told.append)])
    assert [(event.task, event.reason) for event in told if isinstance(event, TaskFailed)] == [("?", "unsigned")]


FORGED = {
    "a foreign key": Message("1", "default", signed(FOREIGN)),
    "another id": Message("2", "default", signed()),
    "another queue": Message("1", "default", signed(queue="high")),
    "another task": Message("1", "default", signed().replace(b"sell", b"bell")),
    "other arguments": Message("1", "default", signed().replace(b"\xa1a", b"\xa1b")),
    "another option": Message("1", "default", signed().replace(b"enqueued", b"enqueuee")),
    "something in front": Message("1", "default", b"\x00" + signed()),
    "something behind": Message("1", "default", signed() + b"\x00"),
    "digits in capitals": Message("1", "default", signed()[:-64] + signed()[-64:].upper()),
    "no digits": Message("1", "default", body()),
    "nothing": Message("1", "default", b""),
    "the digits alone": Message("1", "default", signed()[-64:]),
    "a key that is part of ours": Message("1", "default", signed(NEW[:-1])),
}


@pytest.mark.parametrize("what", FORGED)
async def test_a_message_that_was_changed_or_moved_is_buried(what: str) -> None:
    forged = FORGED[what]
    async with Client.from_url(URL) as client:
        await put(client, forged.body, forged.id)
        letters = await worked(client)
    assert {id: letter.reason for id, letter in letters.items()} == {forged.id: "unsigned"}
    assert ran == []


@given(st.integers(0, len(signed()) - 1), st.integers(1, 255))
@hypothesis(deadline=None)
def test_no_byte_of_a_signed_body_can_be_changed(place: int, change: int) -> None:
    changed = bytearray(signed())
    changed[place] ^= change
    assert Keyring([NEW]).refusal("1", "default", bytes(changed)) != ""
    assert Keyring([NEW]).refusal("1", "default", signed()) == ""


async def test_a_pickle_that_nobody_signed_is_never_read() -> None:
    async with Client.from_url(URL, serializer="pickle") as stranger:
        await stranger.enqueue(sell, PurePath("a"))
        letters = await worked(stranger, serializer="pickle")
        assert [letter.reason for letter in letters.values()] == ["unsigned"]
        ours = Client(stranger.driver, serializer="pickle", signing_keys=NEW)
        async with ours:
            await ours.enqueue(sell, PurePath("b"))
        assert len(await worked(stranger, serializer="pickle")) == 1
    assert ran == [PurePath("b")]


async def test_a_requeued_dead_letter_keeps_its_signature() -> None:
    async with Client.from_url(URL, signing_keys=NEW) as client:
        stored = await sell.enqueue("a")
        assert list(await worked(client, FOREIGN)) == [stored.id]
        assert isinstance(client.driver, DeadLetters)
        await client.driver.requeue("default", [stored.id])
        assert await worked(client) == {}
    assert ran == ["a"]


async def test_keys_change_without_a_lost_message() -> None:
    async with Client.from_url(URL, signing_keys=[OLD]) as before, Client(before.driver, signing_keys=[NEW]) as after:
        await before.enqueue(sell, 1)
        await after.enqueue(sell, 2)
        assert await worked(before, f"{NEW}, {OLD}") == {}
        await before.enqueue(sell, 3)
        assert len(await worked(before, NEW)) == 1
    assert ran == [1, 2]


async def test_the_first_key_signs_what_tasks_enqueue() -> None:
    async with Client.from_url(URL, signing_keys=OLD) as client:
        await client.enqueue(pass_on, "a")
        assert await worked(client, [OLD, NEW], max_tasks=1) == {}
        assert await worked(client, OLD) == {}
    assert ran == ["a"]


async def test_a_worker_without_keys_runs_signed_messages_so_producers_can_begin() -> None:
    async with Client.from_url(URL, signing_keys=NEW) as client:
        await client.enqueue(sell, "a")
        assert await worked(client, []) == {}
    assert ran == ["a"]


async def test_a_worker_may_sign_before_it_demands_signatures() -> None:
    async with Client.from_url(URL) as client:
        await client.enqueue(pass_on, "a")
        assert await worked(client, NEW, accept_unsigned=True, max_tasks=1) == {}
        assert await worked(client, NEW) == {}
    assert ran == ["a"]


async def test_nothing_is_added_to_a_message_without_keys() -> None:
    async with Client.from_url(URL) as client:
        await client.enqueue(sell, "a")
        [delivery] = await client.driver.dequeue({"default": 1}, 1, 60.0)
    assert decode(delivery.body).headers == {}


@pytest.mark.parametrize("keys", ["", " , "])
def test_a_text_without_a_key_does_not_quietly_turn_signatures_off(keys: str) -> None:
    with pytest.raises(ConfigurationError, match="no signing key"):
        Client(URL, signing_keys=keys)


@pytest.mark.parametrize("key", ["short", "", "with ümläuts, and long enough", "with a line\nbreak in it", 5, None])
def test_a_weak_key_is_refused_and_not_repeated(key: Any) -> None:
    with pytest.raises(ConfigurationError, match="at least 16 printable ASCII characters") as caught:
        Keyring([NEW, key])
    assert not key or str(key) not in str(caught.value)


@pytest.mark.parametrize("key", ["@/run/secrets/asyncdq", f"{NEW},{NEW}"])
def test_what_only_the_option_understands_is_no_key(key: str) -> None:
    with pytest.raises(ConfigurationError, match="only the option --signing-keys reads a file"):
        Keyring([key])


def test_keys_show_in_no_text() -> None:
    client = Client(URL, signing_keys=NEW)
    worker = Worker(URL, signing_keys=NEW)
    shown = f"{client.keyring!r} {client!r} {worker!r} {vars(client)} {vars(worker)}"
    assert NEW not in shown
    assert "Keyring(1 keys)" in shown


def test_the_signed_example_of_the_document_is_what_is_written() -> None:
    text = DOCUMENT.read_text(encoding="utf-8").partition("### The signature")[2]
    key, id, queue = (re.findall(rf"\| {name} \| `([^`]+)` \|", text)[0] for name in ("key", "id", "queue"))
    (example,) = re.findall(r"```signed\n([0-9a-f]+)\n```", text)
    written = bytes.fromhex(example)
    args = msgpack.packb([["a@example.com"], {"subject": "Hi"}])
    plain = encode(Envelope("emails.send", "application/msgpack", args, {"enqueued_at": 1767225600.0}, BLANK))
    assert Keyring([key]).sign(id, queue, plain) == written
    by_hand = hmac.new(key.encode(), f"asyncdq\n{id}\n{queue}\n".encode() + written[:-64], hashlib.sha256).hexdigest()
    assert decode(written).headers == {"sig": by_hand}


def test_the_log_is_silent_about_keys(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    Worker(URL, signing_keys=[OLD, NEW])
    assert OLD not in caplog.text
