"""What is special to SQS: hops, batches that fail in part, long polls, names, and what it all costs."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import get_session

from asyncdq import Client
from asyncdq.drivers.sqs import SQSDriver
from asyncdq.drivers.sqs_address import split
from asyncdq.drivers.sqs_batches import MOST
from asyncdq.drivers.sqs_envelope import LARGEST, Claim, obituary, size
from asyncdq.drivers.sqs_errors import failure
from asyncdq.drivers.sqs_outcomes import LONGEST_HOLD, hidden_for
from asyncdq.errors import ConfigurationError, ConnectionLost, DriverError
from asyncdq.message import Again, Call, CallOptions, Dead, Delivery, Done, Message, Outcome, QueueStats, Unstarted
from tests.servers.fixtures import new_store, skip_unless_selected

SOON = 5.0
LONG = 60.0

Asked = dict[str, Any]


@pytest.fixture(autouse=True)
def _selected(request: pytest.FixtureRequest) -> None:
    skip_unless_selected("sqs", request.config)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Queues of our own on the server that all tests share."""
    return new_store("sqs", tmp_path)


@pytest.fixture
async def driver(url: str) -> AsyncIterator[SQSDriver]:
    async with SQSDriver.from_url(url) as driver:
        yield driver


@asynccontextmanager
async def aws_client(url: str) -> AsyncIterator[Any]:
    """A client that is not the driver's."""
    said = split(url)
    names = ("endpoint_url", "aws_access_key_id", "aws_secret_access_key")
    options = {name: said[name] for name in names}
    async with get_session().create_client("sqs", region_name="us-east-1", **options) as client:
        yield client


class Watched:
    """A client that notes every call, and lets `meddle` take the place of some."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.calls: list[tuple[str, Asked]] = []
        self.meddle: Callable[[str, Asked], Awaitable[Any] | None] = lambda operation, asked: None

    def __getattr__(self, operation: str) -> Callable[..., Awaitable[Any]]:
        async def call(**asked: Any) -> Any:
            self.calls.append((operation, asked))
            instead = self.meddle(operation, asked)
            return await (instead if instead is not None else getattr(self.client, operation)(**asked))

        return call

    def count(self) -> Counter[str]:
        return Counter(operation for operation, _ in self.calls)


@pytest.fixture
async def watched(url: str) -> AsyncIterator[Watched]:
    async with aws_client(url) as client:
        yield Watched(client)


@pytest.fixture
async def seen(url: str, watched: Watched) -> AsyncIterator[SQSDriver]:
    """A driver on the watched client."""
    async with SQSDriver.from_url(url, client=watched) as driver:
        yield driver


def message(id: str, delay: float = 0.0, body: bytes = b"body") -> Message:
    return Message(id, "work", body, delay)


async def claim(driver: SQSDriver, count: int = 1, lease: float = LONG) -> list[Delivery]:
    """So many deliveries, waited for."""
    came: list[Delivery] = []
    async with asyncio.timeout(2 * SOON):
        while len(came) < count:
            came += await driver.dequeue({"work": count - len(came)}, count, lease)
            if len(came) < count:
                await driver.wait(["work"], SOON)
    return came


def ids(found: list[Delivery]) -> set[str]:
    return {delivery.id for delivery in found}


async def test_a_delay_beyond_the_limit_of_sqs_hops_and_is_never_early(url: str) -> None:
    driver = SQSDriver.from_url(url)
    driver.longest_delay = 1
    async with driver:
        began = time.time()
        await driver.enqueue([message("a", 3.2)])
        (first,) = await claim(driver)
        assert 3.2 <= time.time() - began < 3.2 + 2
        assert (first.attempt, first.lost) == (1, 0)
        assert await driver.stats("work") == QueueStats(ready=0, delayed=0, leased=1, dead=0)


async def test_no_sending_asks_for_a_longer_delay_than_sqs_takes(seen: SQSDriver, watched: Watched) -> None:
    await seen.enqueue([message("a", 30 * 86400)])
    (entry,) = next(asked["Entries"] for operation, asked in watched.calls if operation == "send_message_batch")
    assert entry["DelaySeconds"] == 900


async def test_the_eighth_attempt_of_an_exponential_retry_comes_in_its_time(url: str) -> None:
    driver = SQSDriver.from_url(url)
    driver.longest_delay = 1
    async with driver:
        await driver.enqueue([message("a")])
        asked_at = delay = 0.0
        for attempt in range(1, 8):
            (delivery,) = await claim(driver)
            assert delivery.attempt == attempt
            asked_at, delay = time.time(), 0.02 * 2 ** (attempt - 1)
            assert await driver.settle([(delivery, Again(delay, counted=True))]) == []
        (eighth,) = await claim(driver)
        assert time.time() - asked_at >= delay > 1
        assert (eighth.attempt, eighth.lost, eighth.body) == (8, 0, b"body")


async def test_a_hop_that_began_and_did_not_end_costs_neither_time_nor_a_loss(url: str) -> None:
    driver = SQSDriver.from_url(url)
    driver.longest_delay = 1
    async with driver, aws_client(url) as client:
        began = time.time()
        await driver.enqueue([message("a", 2.5)])
        where = (await client.get_queue_url(QueueName=f"{split(url)['prefix']}work"))["QueueUrl"]
        answer = await client.receive_message(QueueUrl=where, WaitTimeSeconds=5, VisibilityTimeout=2)
        assert len(answer["Messages"]) == 1  # received, and then this client dies
        (delivery,) = await claim(driver)
        assert 2.5 <= time.time() - began < 6
        assert delivery.lost == 0


async def test_an_entry_that_is_refused_fails_alone_and_the_error_says_what_is_stored(url: str) -> None:
    async with SQSDriver.from_url(url) as driver, aws_client(url) as client:
        name = f"{split(url)['prefix']}work"
        await client.create_queue(QueueName=name, Attributes={"MaximumMessageSize": "1024"})
        batch = [message(f"{number}") for number in range(25)]
        batch[13] = message("large", body=bytes(2000))
        with pytest.raises(DriverError, match="must be shorter") as caught:
            await driver.enqueue(batch)
        assert {stored.id for stored in caught.value.stored} == {each.id for each in batch} - {"large"}
        assert not isinstance(caught.value, ConnectionLost)
        assert ids(await claim(driver, 24)) == {each.id for each in batch} - {"large"}


async def throttled(client: Watched, operation: str, asked: Asked) -> Any:
    """What SQS answers when it takes the first entry only."""
    first, *rest = asked["Entries"]
    answer = await getattr(client, operation)(**{**asked, "Entries": [first]})
    failed = [{"Id": each["Id"], "Code": "RequestThrottled", "SenderFault": True} for each in rest]
    return {**answer, "Failed": failed}


async def test_entries_that_are_throttled_are_sent_again(seen: SQSDriver, watched: Watched) -> None:
    await seen.stats("work")
    watched.meddle = lambda operation, asked: (
        throttled(Watched(watched.client), operation, asked)
        if operation == "send_message_batch" and len(watched.calls) % 2
        else None
    )
    assert await seen.enqueue([message(f"{number}") for number in range(10)]) == []
    watched.meddle = lambda operation, asked: None
    assert len(await claim(seen, 10)) == 10
    assert await seen.dequeue({"work": 10}, 10, LONG) == []


async def test_entries_that_stay_throttled_are_worth_trying_later(seen: SQSDriver, watched: Watched) -> None:
    watched.meddle = lambda operation, asked: (
        throttled(Watched(watched.client), operation, asked) if operation == "send_message_batch" else None
    )
    batch = [message(f"{number}") for number in range(10)]
    with pytest.raises(ConnectionLost, match="RequestThrottled") as caught:
        await seen.enqueue(batch)
    assert 1 <= len(caught.value.stored) < 10


async def test_an_outcome_that_failed_half_way_goes_on_there(seen: SQSDriver, watched: Watched) -> None:
    await seen.enqueue([message("a"), message("b")])
    a, b = await claim(seen, 2)

    async def lost() -> Any:
        raise OSError("the network is away")

    watched.meddle = lambda operation, asked: lost() if operation == "delete_message_batch" else None
    outcomes: list[tuple[Delivery, Outcome]] = [(a, Again(0, counted=True)), (b, Done())]
    with pytest.raises(ConnectionLost):
        await seen.settle(outcomes)
    watched.meddle = lambda operation, asked: None
    assert await seen.settle(outcomes) == []
    (again,) = await claim(seen)
    assert (again.id, again.attempt) == ("a", 2)
    assert await seen.stats("work") == QueueStats(ready=0, delayed=0, leased=1, dead=0)


@pytest.mark.parametrize("outcome", [Dead("rejected"), Again(LONG, counted=True)], ids=["dead", "again"])
async def test_an_outcome_that_takes_longer_than_its_lease_is_written_once(
    seen: SQSDriver, watched: Watched, outcome: Outcome
) -> None:
    await seen.enqueue([message("a")])
    (a,) = await claim(seen, lease=1)

    async def slowly(asked: Asked) -> Any:
        await asyncio.sleep(1.2)  # longer than the lease
        return await watched.client.send_message_batch(**asked)

    watched.meddle = lambda operation, asked: slowly(asked) if operation == "send_message_batch" else None
    settling = asyncio.create_task(seen.settle([(a, outcome)]))
    await asyncio.sleep(1.1)  # so that the lease that it was claimed with is over
    assert await seen.dequeue({"work": 1}, 1, LONG) == []
    assert await settling == []
    stats = await seen.stats("work")
    assert (stats.ready, stats.leased, (stats.delayed or 0) + (stats.dead or 0)) == (0, 0, 1)


async def test_many_letters_are_hidden_for_as_long_as_it_may_take_to_read_them(
    seen: SQSDriver, watched: Watched
) -> None:
    await seen.enqueue([message("a")])
    (a,) = await claim(seen)
    assert await seen.settle([(a, Dead("rejected"))]) == []

    async def many() -> Any:
        return {"Attributes": {"ApproximateNumberOfMessages": "10000"}}

    watched.meddle = lambda operation, asked: many() if operation == "get_queue_attributes" else None
    watched.calls.clear()
    assert [letter.id for letter in await seen.dead("work", 9)] == ["a"]
    asked = [asked for operation, asked in watched.calls if operation == "receive_message"]
    assert {each["VisibilityTimeout"] for each in asked} == {200}


def test_credentials_that_cannot_be_refreshed_for_once_end_no_worker() -> None:
    errors: Any = import_module("botocore.exceptions")  # which has no types
    error = errors.CredentialRetrievalError(provider="custom-process", error_msg="timed out")
    assert type(failure(error, "receive_message", "SQS")) is ConnectionLost


async def test_a_list_of_letters_that_fails_hides_none_of_them(seen: SQSDriver, watched: Watched) -> None:
    await seen.enqueue([message(f"{number}") for number in range(60)])
    held = await claim(seen, 60)
    for start in range(0, 60, 20):
        assert await seen.settle([(each, Dead("rejected")) for each in held[start : start + 20]]) == []

    async def lost() -> Any:
        raise OSError("the network is away")

    watched.calls.clear()
    watched.meddle = lambda operation, _: (
        lost() if operation == "receive_message" and watched.count()["receive_message"] == 4 else None
    )
    with pytest.raises(ConnectionLost):
        await seen.dead("work", 1_000)
    watched.meddle = lambda operation, asked: None
    assert len(await seen.dead("work", 1_000)) == 60


async def test_what_a_poll_brought_beside_what_could_not_be_extended_comes_soon_and_is_not_lost(
    seen: SQSDriver, watched: Watched, driver: SQSDriver
) -> None:
    await seen.dequeue({"work": 10}, 10, 20.0)  # so that a poll asks for as many
    waiting = asyncio.create_task(seen.wait(["work"], SOON))
    await driver.enqueue([message(f"{number}") for number in range(6)])
    await waiting
    tries = 4

    def one_fails(operation: str, asked: Asked) -> Awaitable[Any] | None:
        nonlocal tries
        if operation != "change_message_visibility_batch" or not tries:
            return None
        tries -= 1
        return throttled(Watched(watched.client), operation, asked)

    watched.meddle = one_fails
    taken: list[Delivery] = []
    async with asyncio.timeout(10):
        while len(taken) < 6:
            with suppress(ConnectionLost):
                taken += await seen.dequeue({"work": 10}, 10, 20.0)
            taken += await driver.dequeue({"work": 10}, 10, 20.0)
    assert {each.lost for each in taken} == {0}


async def test_what_comes_while_a_driver_ends_is_there_for_the_next(url: str, driver: SQSDriver) -> None:
    for number in range(5):
        ending = SQSDriver.from_url(url)
        await ending.connect()
        await ending.dequeue({"work": 10}, 10, LONG)
        await ending.wait(["work"], 0.05)  # its long poll goes on
        closing = asyncio.create_task(ending.disconnect())
        await asyncio.sleep(0.02 * number)  # somewhere in the middle of the end
        await driver.enqueue([message(f"{number}")])
        await closing
        (found,) = await driver.dequeue({"work": 10}, 10, LONG)
        assert (found.id, found.attempt, found.lost) == (f"{number}", 1, 0)
        assert await driver.settle([(found, Done())]) == []


async def test_what_was_brought_and_not_handed_out_is_given_back(url: str, driver: SQSDriver) -> None:
    async with SQSDriver.from_url(url) as stopping:
        waiting = asyncio.create_task(stopping.wait(["work"], SOON))
        await asyncio.sleep(0.05)  # its long poll is under way
        await driver.enqueue([message("a")])
        await waiting
        await stopping.give_back()
        (found,) = await driver.dequeue({"work": 10}, 10, LONG)
        assert (found.id, found.attempt, found.lost) == ("a", 1, 0)


async def test_what_nobody_here_asks_for_is_soon_there_for_others(url: str, driver: SQSDriver) -> None:
    async with SQSDriver.from_url(url) as busy:
        waiting = asyncio.create_task(busy.wait(["work"], SOON))
        await asyncio.sleep(0.05)  # its long poll is under way
        await driver.enqueue([message("a")])
        await waiting
        began = time.monotonic()
        (found,) = await claim(driver)
        assert time.monotonic() - began < 1.0
        assert (found.attempt, found.lost) == (1, 0)


async def test_what_a_caller_claimed_that_gave_up_is_there_for_others(url: str, driver: SQSDriver) -> None:
    async with SQSDriver.from_url(url) as leaving:
        await driver.enqueue([message("a")])
        giving_up = asyncio.create_task(leaving.dequeue({"work": 1}, 1, LONG))
        await asyncio.sleep(0)  # it has begun
        giving_up.cancel()
        await asyncio.wait([giving_up])
        (found,) = await claim(driver)
        assert (found.id, found.lost) == ("a", 0)


async def test_what_is_given_back_is_no_loss_however_often(driver: SQSDriver) -> None:
    await driver.enqueue([message("a")])
    for _ in range(5):
        (delivery,) = await claim(driver)
        assert (delivery.attempt, delivery.lost) == (1, 0)
        assert await driver.settle([(delivery, Unstarted())]) == []


async def test_an_idle_worker_makes_one_call_for_each_long_poll(seen: SQSDriver, watched: Watched) -> None:
    await seen.dequeue({"work": 10}, 10, LONG)
    watched.calls.clear()
    began = time.monotonic()
    await seen.wait(["work"], 3.5)
    assert watched.count() == {"receive_message": round(time.monotonic() - began + 0.5)}  # a second each: `poll=1`
    assert {asked["WaitTimeSeconds"] for _, asked in watched.calls} == {1}


async def test_ten_messages_cost_three_calls_and_a_claim_of_nothing_one(seen: SQSDriver, watched: Watched) -> None:
    await seen.dequeue({"work": MOST}, MOST, LONG)
    watched.calls.clear()
    await seen.enqueue([message(f"{number}") for number in range(MOST)])
    found = await seen.dequeue({"work": MOST}, MOST, LONG)
    await seen.settle([(delivery, Done()) for delivery in found])
    assert watched.count() == {"send_message_batch": 1, "receive_message": 1, "delete_message_batch": 1}
    watched.calls.clear()
    assert await seen.dequeue({"work": 100}, 100, LONG) == []
    assert watched.count() == {"receive_message": 1}


def test_a_lease_is_extended_to_twelve_hours_from_its_claim_and_no_further() -> None:
    held = Claim("handle", received=100.0, deadline=0.0)
    assert hidden_for(60.2) == 61
    assert hidden_for(10 * LONGEST_HOLD) == LONGEST_HOLD
    assert hidden_for(60, held, now=100.0 + LONGEST_HOLD - 30) == 30
    assert hidden_for(60, held, now=100.0 + LONGEST_HOLD) == 0


async def test_the_largest_body_goes_through_and_may_die_with_all_that_is_said_of_it(driver: SQSDriver) -> None:
    body = bytes(range(256)) * (driver.limits.body // 256)
    await driver.enqueue([message("a", body=body)] * 2)
    first, second = await claim(driver, 2)
    assert first.body == second.body == body
    said = "\N{SNOWMAN}" * 4000
    assert size(obituary(first, Dead("rejected", said, said))) <= LARGEST
    assert await driver.settle([(first, Dead("rejected", said, said)), (second, Done())]) == []
    letter = await driver.dead_letter("work", "a")
    assert letter is not None
    assert (letter.body, letter.reason) == (body, "rejected")
    assert said.startswith(letter.detail)


@pytest.mark.parametrize(("queue", "why"), [("work.fifo", "FIFO"), ("work-dead", "dead letters")])
async def test_a_queue_that_cannot_be_one_is_refused(driver: SQSDriver, queue: str, why: str) -> None:
    calls: list[Awaitable[object]] = [
        driver.enqueue([Message("a", queue, b"")]),
        driver.dequeue({queue: 1}, 1, LONG),
        driver.wait([queue], 1),
    ]
    for call in calls:
        with pytest.raises(ConfigurationError, match=why):
            await call


class Said(Exception):
    """An error as botocore raises it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.response = {"Error": {"Code": code, "Message": "because"}, "ResponseMetadata": {"HTTPStatusCode": 400}}


async def refuses(code: str) -> Any:
    raise Said(code)


async def answers(**said: Any) -> Any:
    return said


async def test_a_queue_that_was_just_made_may_not_be_there_yet(seen: SQSDriver, watched: Watched) -> None:
    watched.meddle = lambda operation, asked: (
        refuses("QueueDoesNotExist")
        if operation == "send_message_batch" and watched.count()["send_message_batch"] < 3
        else None
    )
    assert await seen.enqueue([message("a")]) == []
    assert ids(await claim(seen)) == {"a"}


async def test_a_queue_that_asks_for_patience_does_not_hold_up_the_others(seen: SQSDriver, watched: Watched) -> None:
    await seen.enqueue([message("a"), Message("b", "other", b"")])
    watched.meddle = lambda operation, asked: (
        refuses("OverLimit") if operation == "receive_message" and asked["QueueUrl"].endswith("work") else None
    )
    both = {"work": 5, "other": 5}
    assert ids(await seen.dequeue(both, 5, LONG)) == {"b"}
    with pytest.raises(ConnectionLost, match="OverLimit"):
        await seen.dequeue(both, 5, LONG)
    watched.meddle = lambda operation, asked: None
    assert ids(await claim(seen)) == {"a"}


async def test_a_name_that_was_deleted_within_a_minute_is_worth_trying_later(seen: SQSDriver, watched: Watched) -> None:
    watched.meddle = lambda operation, asked: (
        refuses("AWS.SimpleQueueService.QueueDeletedRecently") if operation == "create_queue" else None
    )
    with pytest.raises(ConnectionLost, match="QueueDeletedRecently"):
        await seen.enqueue([message("a")])


async def test_a_refused_queue_does_not_hurt_the_messages_of_others(driver: SQSDriver) -> None:
    async with Client(driver) as client:
        told = await asyncio.gather(
            *(client.send([Call("t", (), {}, CallOptions(queue=queue))]) for queue in ("work", "work-dead", "x.fifo")),
            return_exceptions=True,
        )
    assert [isinstance(each, ConfigurationError) for each in told] == [False, True, True]
    assert len(await claim(driver)) == 1


async def test_of_equal_messages_the_error_names_as_many_as_are_stored(seen: SQSDriver, watched: Watched) -> None:
    watched.meddle = lambda operation, asked: (
        throttled(Watched(watched.client), operation, asked) if operation == "send_message_batch" else None
    )
    with pytest.raises(ConnectionLost) as caught:
        await seen.enqueue([message("a")] * 10)
    sent = await claim(seen, len(caught.value.stored))
    assert 1 <= len(sent) < 10
    assert await seen.dequeue({"work": 10}, 10, LONG) == []


async def test_letters_that_a_short_poll_misses_are_found(seen: SQSDriver, watched: Watched) -> None:
    await seen.enqueue([message("a")])
    (delivery,) = await claim(seen)
    await seen.settle([(delivery, Dead("rejected"))])
    # AWS asks some of its servers only, unless it may wait.
    watched.meddle = lambda operation, asked: (
        answers() if operation == "receive_message" and not asked["WaitTimeSeconds"] else None
    )
    assert [letter.id for letter in await seen.dead("work", 10)] == ["a"]


async def test_a_purge_takes_what_a_short_poll_misses(seen: SQSDriver, watched: Watched) -> None:
    await seen.enqueue([message("a")])
    watched.meddle = lambda operation, asked: (
        answers() if operation == "receive_message" and not asked["WaitTimeSeconds"] else None
    )
    assert await seen.purge("work") == 1


async def test_what_is_ready_behind_what_hops_is_claimed(url: str) -> None:
    driver = SQSDriver.from_url(url)
    driver.longest_delay = 1
    async with driver:
        await driver.enqueue([message(f"{number}", 60) for number in range(MOST)])
        await asyncio.sleep(1.05)  # the first hop of each is over
        await driver.enqueue([message("ready")])
        assert ids(await driver.dequeue({"work": 1}, 1, LONG)) == {"ready"}


async def test_a_disconnect_whose_caller_gave_up_goes_on_to_its_end(url: str) -> None:
    driver = SQSDriver.from_url(url)
    await driver.connect()
    await driver.enqueue([message("a")])
    (delivery,) = await claim(driver)
    settling = asyncio.create_task(driver.settle([(delivery, Done())]))
    await asyncio.sleep(0)  # it has begun
    ending = asyncio.create_task(driver.disconnect())
    await asyncio.sleep(0)  # so has this
    ending.cancel()
    assert await settling == []
    await asyncio.wait([ending])
    async with SQSDriver.from_url(url) as driver:
        assert await driver.dequeue({"work": 1}, 1, LONG) == []


async def test_queues_are_made_when_they_are_needed_and_keep_for_two_weeks(url: str, driver: SQSDriver) -> None:
    assert await driver.stats("work") == QueueStats(0, 0, 0, 0)
    async with aws_client(url) as client:
        prefix = split(url)["prefix"]
        assert not (await client.list_queues(QueueNamePrefix=prefix)).get("QueueUrls")
        await driver.enqueue([message("a")])
        (made,) = (await client.list_queues(QueueNamePrefix=prefix))["QueueUrls"]
        told = await client.get_queue_attributes(QueueUrl=made, AttributeNames=["MessageRetentionPeriod"])
        assert made.endswith(f"/{prefix}work")
        assert told["Attributes"] == {"MessageRetentionPeriod": "1209600"}


async def test_a_queue_that_somebody_deleted_is_made_again(url: str, driver: SQSDriver) -> None:
    await driver.enqueue([message("a")])
    async with aws_client(url) as client:
        (made,) = (await client.list_queues(QueueNamePrefix=split(url)["prefix"]))["QueueUrls"]
        await client.delete_queue(QueueUrl=made)
    await driver.enqueue([message("b")])
    assert ids(await claim(driver)) == {"b"}


async def test_with_a_prefix_of_urls_nothing_is_looked_up_or_made(url: str, watched: Watched) -> None:
    async with aws_client(url) as client:
        made = (await client.create_queue(QueueName="made-by-hand"))["QueueUrl"]
    own = made.removesuffix("hand")
    async with SQSDriver.from_url(url, client=watched, queue_url_prefix=own) as driver:
        await driver.enqueue([Message("a", "hand", b"")])
        assert await driver.queues() == ["hand"]
        with pytest.raises(DriverError, match="does not exist"):
            await driver.enqueue([Message("a", "nowhere", b"")])
        (delivery,) = await driver.dequeue({"hand": 1}, 1, LONG)
        with pytest.raises(DriverError, match="made-by-hand-dead does not exist"):
            await driver.settle([(delivery, Dead("rejected"))])
        assert await driver.settle([(delivery, Done())]) == []
    assert not watched.count().keys() & {"get_queue_url", "create_queue"}


async def test_a_message_of_somebody_else_is_delivered_with_what_it_has(url: str, driver: SQSDriver) -> None:
    await driver.enqueue([message("ours")])
    async with aws_client(url) as client:
        (made,) = (await client.list_queues(QueueNamePrefix=split(url)["prefix"]))["QueueUrls"]
        sent = await client.send_message(QueueUrl=made, MessageBody="no base64!")
    found = {delivery.id: delivery for delivery in await claim(driver, 2)}
    theirs = found[sent["MessageId"]]
    assert (theirs.body, theirs.attempt, theirs.lost) == (b"no base64!", 1, 0)
    assert await driver.settle([(theirs, Again(0, counted=True)), (found["ours"], Done())]) == []
    (again,) = await claim(driver)
    assert (again.id, again.attempt) == (theirs.id, 2)


async def test_an_attribute_of_ours_that_somebody_else_has_written_is_theirs(url: str, driver: SQSDriver) -> None:
    await driver.enqueue([message("ours")])
    said = {"asyncdq": {"DataType": "String", "StringValue": "1 one two three four"}}
    async with aws_client(url) as client:
        (made,) = (await client.list_queues(QueueNamePrefix=split(url)["prefix"]))["QueueUrls"]
        sent = await client.send_message(QueueUrl=made, MessageBody="?", MessageAttributes=said)
    assert ids(await claim(driver, 2)) == {"ours", sent["MessageId"]}


async def test_a_client_of_the_user_stays_open_and_a_session_makes_one(url: str) -> None:
    async with aws_client(url) as client:
        async with SQSDriver.from_url(url, client=client) as driver:
            await driver.enqueue([message("a")])
        assert (await client.list_queues())["QueueUrls"]
    async with SQSDriver.from_url(url, session=get_session()) as driver:
        assert ids(await claim(driver)) == {"a"}


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sqs://eu-west-1?colour=red", "number 1 behind .*known are region"),
        ("sqs://eu-west-1/queue", "a region and options"),
        ("sqs://EU_West", "region of AWS"),
        ("sqs://?poll=21", "from 1 to 20"),
        ("sqs://?poll=soon", "from 1 to 20"),
        ("sqs://?timeout=0", "timeout is a number from"),
        ("sqs://?endpoint_url=localhost", "http://"),
        ("sqs://?prefix=much-too-long-for-it", "at most 11"),
        ("sqs://?aws_secret_access_key=hunter2", "together"),
        ("sqs://user:hunter2@eu-west-1?x=1", "number 1 behind"),
    ],
)
def test_a_url_that_is_wrong_is_told_why_and_keeps_its_secret(url: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        SQSDriver.from_url(url)
    assert "hunter2" not in str(caught.value)


def test_what_is_printed_of_a_driver_holds_no_secret() -> None:
    driver = SQSDriver.from_url("sqs://me:hunter2@eu-west-1")
    assert repr(driver) == "SQSDriver('SQS in eu-west-1')"


async def test_without_credentials_it_is_said_which_are_needed(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(ConfigurationError, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        await SQSDriver(endpoint_url=split(url)["endpoint_url"]).connect()
