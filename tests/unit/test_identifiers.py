"""Names from options and calls reach a backend only if they are names: one hostile table for all of them."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from asyncdq import Client, Worker, task
from asyncdq.drivers import from_url
from asyncdq.errors import ConfigurationError, InvalidCall, TaskError
from asyncdq.message import Call, CallOptions
from asyncdq.settings import Settings, load, options

HOSTILE = [
    "tasks; drop table users",
    'tasks"; drop table users; --',
    "tasks`; drop table users; --",
    "tasks' or '1'='1",
    "tasks\\",
    "tasks\nFLUSHALL",
    "tasks\r\nFLUSHALL\r\n",
    "tasks\0",
    "tasks{a}",
    "tasks%00",
    "tasks*",
    "../../tasks",
    "tasks/../../etc",
    "täsks",
    "tasks\u202e",
    " tasks",
    "tasks ",
    "t" * 200,
    "",
]

# The options that become names in a backend, and the URL that takes each of them.
NAMES = {
    "postgres_queue_table": "postgresql://h/db?queue_table={}",
    "postgres_dead_letter_table": "postgresql://h/db?dead_letter_table={}",
    "mysql_queue_table": "mysql://h/db?queue_table={}",
    "mysql_dead_letter_table": "mysql://h/db?dead_letter_table={}",
    "rabbitmq_exchange_name": "amqp://h/?exchange_name={}",
    "sqs_region": "sqs://?region={}",
}

OF_URLS = {
    "the prefix of Redis": "redis://h?prefix={}",
    "the prefix of SQS": "sqs://us-east-1?prefix={}",
}

# Texts that some of them take: an empty one stands for nothing, as if the option were not there.
TAKEN = {("sqs_region", ""), ("the prefix of SQS", ""), ("sqs_region", "t" * 200), ("the prefix of Redis", "t" * 200)}


@task(name="test_identifiers.sell")
async def sell() -> None: ...


def refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        from_url(url)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("option", NAMES)
def test_an_option_that_is_a_name_in_a_backend_takes_names_only(option: str, text: str) -> None:
    driver = option.partition("_")[0]
    if (option, text) not in TAKEN:
        with pytest.raises(ConfigurationError):
            from_url(load({"driver": driver, option: text}).driver_url())
        refused(NAMES[option].format(quote(text, safe="")))


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("what", OF_URLS)
def test_a_prefix_takes_names_only(what: str, text: str) -> None:
    if (what, text) not in TAKEN:
        refused(OF_URLS[what].format(quote(text, safe="")))


def test_every_option_that_is_a_name_is_tried_here() -> None:
    named = ("_table", "_exchange_name", "_region", "_prefix", "_schema", "_database")
    found = {option.name for option in options() if option.name.endswith(named)}
    assert found - {"sqs_queue_url_prefix"} == NAMES.keys()  # that one is a URL: the test below


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://h/", "https://me:pw@h/", "x", "https://"])
@pytest.mark.parametrize("option", ["sqs_queue_url_prefix", "sqs_endpoint_url"])
def test_a_place_of_sqs_is_a_web_address_without_a_user(option: str, url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"begins with http:// or https:// and holds no user"):
        from_url(load({"driver": "sqs", option: url}).driver_url())


@pytest.mark.parametrize("text", HOSTILE)
async def test_a_queue_is_a_name_wherever_it_is_said(text: str) -> None:
    for said in ({"queues": [text]}, {"task_defaults_queue": text}):
        if text not in (" tasks", "tasks "):  # lists in texts have spaces behind their commas
            with pytest.raises(ConfigurationError):
                Settings(**said)
    for make in (lambda: Client("sqlite://:memory:", default_queue=text), lambda: Worker("sqlite://x", queues=[text])):
        with pytest.raises(ConfigurationError):
            make()
    async with Client("sqlite://:memory:") as client:
        if text:
            with pytest.raises(ConfigurationError):
                await client.enqueue_many([Call(sell.name, (), {}, CallOptions(queue=text))])
        assert await client.driver.queues() == []


@pytest.mark.parametrize("text", ["", " ", "a b", "a\nb", "a\0", "ä", "x" * 129, "\x1b[2J"])
async def test_an_id_is_printable_ascii(text: str) -> None:
    async with Client("sqlite://:memory:") as client:
        if text:
            with pytest.raises(InvalidCall):
                await client.enqueue_many([Call(sell.name, (), {}, CallOptions(id=text))])
        assert await client.driver.queues() == []


@pytest.mark.parametrize("text", ["", "a\nb", "a\0", "\x1b[2J", "a\u202eb"])
async def test_the_name_of_a_task_is_printable(text: str) -> None:
    async with Client("sqlite://:memory:") as client:
        with pytest.raises(TaskError):
            await client.enqueue_many([Call(text, (), {})])
