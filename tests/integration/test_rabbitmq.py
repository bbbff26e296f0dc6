"""What is special to RabbitMQ: its names, the ladder of delays, receipts, the shelf, and who may come in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiormq
import pytest

from asyncdq.drivers import from_url
from asyncdq.drivers.rabbitmq import RabbitMQDriver
from asyncdq.drivers.rabbitmq_address import parse
from asyncdq.drivers.rabbitmq_errors import explained
from asyncdq.drivers.rabbitmq_names import UNIT, Names
from asyncdq.errors import ConfigurationError, ConnectionLost, DriverError
from asyncdq.message import Again, Dead, Delivery, Done, Message, Unstarted
from tests.servers.fixtures import new_store, skip_unless_selected
from tests.servers.proxy import Proxy

SOON = 5.0
LONG = 60.0


@pytest.fixture(autouse=True)
def _selected(request: pytest.FixtureRequest) -> None:
    skip_unless_selected("rabbitmq", request.config)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An exchange name of the test's own on the server that all tests share."""
    return new_store("rabbitmq", tmp_path)


@pytest.fixture
async def driver(url: str) -> AsyncIterator[RabbitMQDriver]:
    async with RabbitMQDriver(url) as driver:
        yield driver


@pytest.fixture
async def channel(url: str) -> AsyncIterator[Any]:
    """What an operator could do at the broker."""
    async with aiormq.connect(url) as connection:
        yield await connection.channel()


def exchange(url: str) -> str:
    return urlsplit(url).query.partition("exchange_name=")[2].partition("&")[0]


def message(id: str, queue: str = "work", delay: float = 0.0) -> Message:
    return Message(id, queue, b"body", delay)


async def claim(driver: RabbitMQDriver, count: int = 1, queue: str = "work") -> list[Delivery]:
    """So many, waiting for them."""
    claimed: list[Delivery] = []
    async with asyncio.timeout(SOON):
        while len(claimed) < count:
            claimed += await driver.dequeue({queue: count - len(claimed)}, count - len(claimed), LONG)
            if len(claimed) < count:
                await driver.wait([queue], SOON)
    return claimed


def die(driver: RabbitMQDriver) -> None:
    """End its connections, with all that was sent to it, as a kill does."""
    session = driver._here()
    session.consuming.discard()
    session.publishing.discard()


def ids(deliveries: list[Delivery]) -> list[str]:
    return [delivery.id for delivery in deliveries]


# The ladder


@pytest.mark.parametrize("delay", [0.3, 1.0, 5.0])
async def test_a_delay_is_met_to_a_fraction_of_a_second_and_never_early(driver: RabbitMQDriver, delay: float) -> None:
    began = time.monotonic()
    await driver.enqueue([message("a", delay=delay)])
    enqueued = time.monotonic()
    await driver.wait(["work"], delay + SOON)
    assert delay <= time.monotonic() - began
    assert time.monotonic() - enqueued < delay + UNIT / 1000 + 0.5
    assert ids(await claim(driver)) == ["a"]


async def test_queues_whose_names_end_alike_do_not_get_each_others_delayed_messages(driver: RabbitMQDriver) -> None:
    names = ["work", "1-work", "my-work", "work-1", "work_", "w"]
    for name in names:
        await driver.dequeue({name: 1}, 1, LONG)
    await driver.enqueue([message(name, name, 0.2) for name in names])
    for name in names:
        assert ids(await claim(driver, 1, name)) == [name]
    await asyncio.sleep(0.1)  # whatever went astray has arrived too
    for name in names:
        assert await driver.dequeue({name: 5}, 5, LONG) == []


async def test_a_delayed_message_whose_queue_nobody_has_consumed_arrives(url: str) -> None:
    async with RabbitMQDriver(url) as producer:
        await producer.enqueue([message("a", delay=0.5)])
    await asyncio.sleep(0.9)  # it comes while nobody is there
    async with RabbitMQDriver(url) as driver:
        assert ids(await driver.dequeue({"work": 1}, 1, LONG)) == ["a"]


def test_a_message_enters_at_the_highest_bit_of_its_delay() -> None:
    names = Names("asyncdq")
    assert names.entry("work", 0) == ("asyncdq", "work")
    assert names.entry("work", 0.0001) == ("asyncdq:delay:0", ".".join(["0"] * 31 + ["1", "work"]))
    assert names.entry("work", 0.625)[1].endswith("0.0.1.0.1.work")
    assert names.entry("work", 1)[0] == "asyncdq:delay:3"
    assert names.entry("work", 3650 * 86400)[0] == "asyncdq:delay:31"


# What goes wrong at the broker


async def test_a_message_that_no_queue_takes_is_an_error_and_the_next_one_is_stored(
    driver: RabbitMQDriver, channel: Any, url: str
) -> None:
    await driver.enqueue([message("a")])
    await channel.queue_delete(f"{exchange(url)}:work")
    with pytest.raises(DriverError, match="no queue") as caught:
        await driver.enqueue([message("b"), message("c", "other")])
    assert [stored.id for stored in caught.value.stored] == ["c"]
    await driver.enqueue([message("d")])
    assert ids(await claim(driver)) == ["d"]


async def test_a_retry_makes_its_queue_again_if_it_is_gone(driver: RabbitMQDriver, channel: Any, url: str) -> None:
    await driver.enqueue([message("a")])
    (a,) = await claim(driver)
    await channel.queue_delete(f"{exchange(url)}:work")
    await driver.settle([(a, Again(0, counted=True))])
    assert [(each.id, each.attempt) for each in await claim(driver)] == [("a", 2)]


async def test_who_waits_on_a_queue_that_is_deleted_gets_what_comes_to_the_next_one(
    driver: RabbitMQDriver, channel: Any, url: str
) -> None:
    waiter = asyncio.create_task(driver.wait(["work"], LONG))
    await asyncio.sleep(0.2)  # nothing announces that a wait has begun
    await channel.queue_delete(f"{exchange(url)}:work")
    async with asyncio.timeout(SOON):
        await waiter
    async with RabbitMQDriver(url) as producer:
        await producer.enqueue([message("a")])
    assert ids(await claim(driver)) == ["a"]


async def test_a_queue_that_is_deleted_while_its_consumer_looks_is_made_again(
    driver: RabbitMQDriver, channel: Any, url: str
) -> None:
    for number in range(20):  # the look comes before the word of the deletion, or after it
        await driver.dequeue({"work": 1}, 1, LONG)
        looks = driver.dequeue({"work": 1}, 1, LONG)
        await asyncio.gather(looks, channel.queue_delete(f"{exchange(url)}:work"), return_exceptions=True)
        with suppress(ConnectionLost):  # if it is this one that finds out
            await driver.dequeue({"work": 1}, 1, LONG)
        assert await driver.dequeue({"work": 1}, 1, LONG) == []
        async with RabbitMQDriver(url) as producer:
            await producer.enqueue([message(f"{number}")])
        (found,) = await claim(driver)
        assert found.id == f"{number}"
        assert await driver.settle([(found, Done())]) == []


async def test_what_is_refused_while_channels_are_opened_does_not_cost_the_connection(url: str) -> None:
    async with RabbitMQDriver(url) as driver, RabbitMQDriver(url) as other:
        await driver.enqueue([message("a")])
        (a,) = await claim(driver)
        for _ in range(10):  # a queue that is not there, or is read by another, closes a channel
            calls = [driver.dead("work", 9), other.dead("work", 9), driver.stats("none"), driver.stats("work")]
            await asyncio.gather(*calls, *(driver.stats(f"none-{number}") for number in range(6)))
        assert await driver.extend([a], LONG) == []


async def test_who_waits_in_vain_for_the_dead_letters_keeps_his_deliveries(url: str, channel: Any) -> None:
    async with RabbitMQDriver(url, timeout=0.5) as driver:
        await driver.enqueue([message("a")])
        (a,) = await claim(driver)
        await channel.queue_declare(f"{exchange(url)}:work:dead:reader", exclusive=True)
        with pytest.raises(ConnectionLost, match="another process"):
            await driver.dead("work", 9)
        assert await driver.settle([(a, Done())]) == []


async def test_of_no_dead_letters_none_is_requeued_or_deleted(driver: RabbitMQDriver) -> None:
    assert await driver.requeue("work", ["a"]) == []
    assert await driver.delete_dead("work", ["a"]) == []


async def test_settling_twice_does_not_take_the_neighbours_away(driver: RabbitMQDriver) -> None:
    await driver.enqueue([message("a"), message("b"), message("c")])
    a, b, c = await claim(driver, 3)
    assert await driver.settle([(a, Done())]) == []
    assert await driver.settle([(a, Done()), (b, Done())]) == [a]
    assert await driver.extend([c], LONG) == []
    assert await driver.settle([(c, Done())]) == []


async def test_what_was_not_settled_comes_back_in_whatever_order_the_others_were(url: str) -> None:
    # Fewer than 32: where more acknowledgements are under way, a channel keeps the rest, and forgets it as it dies.
    names = [f"{number}" for number in range(30)]
    left = {names[place] for place in (0, 7, 8, 16, 29)}
    async with RabbitMQDriver(url) as driver, RabbitMQDriver(url) as other:
        for kept in (left, left - {"0"}, {"29"}, {"1"}):
            await driver.enqueue([message(name) for name in names])
            held = {each.id: each for each in await claim(driver, len(names))}
            done = [name for name in names if name not in kept]
            parts = [done[1::3], done[2::3], done[0::3]]
            calls = [driver.settle([(held[name], Done()) for name in part]) for part in parts]
            assert await asyncio.gather(*calls) == [[], [], []]
            die(driver)
            back = await claim(other, len(kept))
            assert {(each.id, each.lost) for each in back} == {(name, 1) for name in kept}
            await other.settle([(each, Done()) for each in back])
            await other.give_back()  # and consumes no more: the next round is for the driver alone
            assert (await other.stats("work")).ready == 0


async def test_a_retry_whose_acknowledgement_is_lost_runs_twice_and_is_not_lost(url: str) -> None:
    async with RabbitMQDriver(url) as driver, RabbitMQDriver(url) as other:
        await driver.enqueue([message("a")])
        (a,) = await claim(driver)
        session = driver._here()
        published = await session.publisher.publish([driver._next(a, Again(0, counted=True))])
        assert published == [None]
        session.consuming.discard()  # where a crash would be: after the publish, before the acknowledgement
        assert {(each.id, each.attempt) for each in await claim(other, 2)} == {("a", 1), ("a", 2)}


async def test_counters_of_a_message_that_dies_with_its_worker_go_up(url: str) -> None:
    async with RabbitMQDriver(url) as driver:
        await driver.enqueue([message("a")])
    for lost in range(3):
        async with RabbitMQDriver(url) as worker:
            assert [(each.attempt, each.lost) for each in await claim(worker)] == [(1, lost)]
    async with RabbitMQDriver(url) as worker:
        (a,) = await claim(worker)
        await worker.settle([(a, Unstarted())])
        assert [each.lost for each in await claim(worker)] == [3]


async def test_what_came_back_again_and_again_without_being_handed_out_has_lost_one(url: str, channel: Any) -> None:
    async with RabbitMQDriver(url) as driver:
        await driver.enqueue([message("a")])
        for _ in range(5):  # as the broker does with what is on its way to a consumer that is cancelled
            found = await channel.basic_get(f"{exchange(url)}:work")
            await channel.basic_nack(found.delivery_tag, requeue=True)
        assert [each.lost for each in await claim(driver)] == [1]


async def test_a_killer_is_found_out_beside_a_crowd_that_is_sent_with_it(url: str) -> None:
    async with RabbitMQDriver(url) as producer:
        await producer.enqueue([message("killer"), *(message(f"{number}") for number in range(9))])
    for lost in range(4):
        async with RabbitMQDriver(url) as worker:
            found = {each.id: each for each in await claim(worker, 10)}
            assert found.pop("killer").lost == lost
            assert {each.lost for each in found.values()} <= {0, 1}
            await worker.settle([(each, Unstarted()) for each in found.values()])
            die(worker)


async def test_what_was_fetched_by_one_that_died_is_counted_purged_and_wakes_another(url: str) -> None:
    async with RabbitMQDriver(url) as driver:
        await driver.enqueue([message("a")])
        for _ in range(2):
            async with RabbitMQDriver(url) as worker:
                await claim(worker)
                waiter = asyncio.create_task(driver.wait(["work"], LONG))
                die(worker)
            await asyncio.wait_for(waiter, SOON)
        assert (await driver.stats("work")).ready == 1
        assert await driver.purge("work") == 1
        assert await driver.dequeue({"work": 1}, 1, LONG) == []


# The shelf


async def test_no_low_task_is_handed_out_while_a_high_one_waits(url: str) -> None:
    async with RabbitMQDriver(url) as producer, RabbitMQDriver(url) as driver:
        await producer.enqueue([message(f"l{number}", "low") for number in range(300)])
        handed_out: list[Delivery] = []
        confirmed = taken = 0
        while len(handed_out) < 600:
            if len(handed_out) % 3 == 0 and confirmed < 300:
                await producer.enqueue([message(f"h{confirmed + number}", "high") for number in range(30)])
                confirmed += 30
            found = await driver.dequeue({"high": 5, "low": 5}, 5, LONG)
            taken += sum(each.queue == "high" for each in found)
            assert all(each.queue == "high" for each in found) or taken == confirmed
            handed_out += found
            await driver.settle([(each, Done()) for each in found])
    assert len({each.id for each in handed_out}) == 600


async def test_what_is_on_its_way_when_a_consumer_is_replaced_or_stopped_is_not_lost(driver: RabbitMQDriver) -> None:
    await driver.enqueue([message(f"{number}") for number in range(600)])
    for _ in range(10):
        few = await claim(driver, 10)
        settling = driver.settle([(each, Done()) for each in few])
        _, more = await asyncio.gather(settling, driver.dequeue({"work": 40}, 40, LONG))
        assert {each.lost for each in few + more} == {0}
        await driver.settle([(each, Done()) for each in more])
        await driver.give_back()


async def test_what_has_arrived_is_handed_out_without_a_word_to_the_broker(url: str) -> None:
    async with Proxy(url) as proxy, RabbitMQDriver(proxy.url) as driver, RabbitMQDriver(url) as producer:
        left = 0
        while True:
            await producer.enqueue([message("a")])
            await driver.settle([(each, Done()) for each in await claim(driver, left + 1)])
            await producer.enqueue([message("b")])
            await driver.wait(["work"], SOON)
            if not driver._here().consumer.due("work"):  # now and then it looks whether something came back
                break
            left = 1
        proxy.stall()
        async with asyncio.timeout(SOON):
            assert ids(await driver.dequeue({"work": 500}, 500, LONG)) == ["b"]


async def test_a_lower_queue_has_no_turn_because_the_consumer_of_a_higher_one_was_started_small(url: str) -> None:
    async with Proxy(url) as proxy, RabbitMQDriver(proxy.url) as driver, RabbitMQDriver(url) as producer:
        await driver.wait(["high", "low"], 0.1)  # from here on the broker pushes two of each
        await producer.enqueue([message("l", "low")])
        await driver.wait(["low"], SOON)
        proxy.delay = 0.01
        await producer.enqueue([message(f"h{number}", "high") for number in range(5)])
        driver._here().consumer.touch(["high"])
        found = await driver.dequeue({"high": 5, "low": 5}, 5, LONG)
        assert [each.queue for each in found] == ["high"] * 5


async def test_what_a_busy_driver_does_not_take_goes_to_another_with_its_counters(url: str) -> None:
    async with RabbitMQDriver(url) as busy, RabbitMQDriver(url) as other:
        await busy.enqueue([message(f"{number}") for number in range(4)])
        held = await claim(busy, 2)
        async with asyncio.timeout(2):
            rest = await claim(other, 2)
        assert sorted(ids(held + rest)) == ["0", "1", "2", "3"]
        assert {(each.attempt, each.lost) for each in rest} == {(1, 0)}


async def test_what_is_given_back_counts_for_nothing_and_is_taken_by_another(url: str) -> None:
    async with RabbitMQDriver(url) as stopping, RabbitMQDriver(url) as other:
        await stopping.enqueue([message("a"), message("b")])
        assert ids(await claim(stopping)) == ["a"]
        await stopping.give_back()
        assert [(each.id, each.lost) for each in await claim(other)] == [("b", 0)]


async def test_no_more_messages_than_the_prefetch_count_are_with_a_driver(url: str) -> None:
    async with RabbitMQDriver(f"{url}&prefetch_count=3") as driver, RabbitMQDriver(url) as other:
        await driver.enqueue([message(f"{number}") for number in range(10)])
        assert len(await driver.dequeue({"work": 10}, 10, LONG)) == 3
        assert await driver.dequeue({"work": 10}, 10, LONG) == []
        assert len(await claim(other, 7)) == 7


async def test_everything_buried_is_read_in_its_order_by_two_at_once(url: str) -> None:
    async with RabbitMQDriver(url) as driver, RabbitMQDriver(url) as other:
        names = [f"{number}" for number in range(50)]
        await driver.enqueue([message(name) for name in names])
        for each in await claim(driver, 50):
            await driver.settle([(each, Dead("rejected"))])
        for page in await asyncio.gather(*(each.dead("work", 99) for each in (driver, other, driver, other))):
            assert [letter.id for letter in page] == names


# Who may come in, and how


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("guest:guest@", "guest:wrong-secret@"), "user and password"),
        (("/?", "/elsewhere?"), "virtual host"),
    ],
)
async def test_a_wrong_password_or_virtual_host_will_never_do(
    url: str, change: tuple[str, str], complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        await RabbitMQDriver(url.replace(*change)).connect()
    assert "wrong-secret" not in f"{caught.value}{caught.value.__cause__}"


def test_what_the_library_says_while_it_closes_is_a_lost_connection() -> None:
    with pytest.raises(ConnectionLost), explained(parse("amqp://host/")[0]):
        raise Exception


async def test_a_server_that_is_not_there_is_a_lost_connection() -> None:
    with pytest.raises(ConnectionLost):
        await RabbitMQDriver("amqp://127.0.0.1:1/").connect()


def test_a_url_says_where_and_how_and_keeps_its_password_to_itself() -> None:
    driver = from_url("amqps://user:p%40ss:w@broker/a%2Fb?exchange_name=shop&consumer_timeout=7200&heartbeat=30")
    assert repr(driver) == "RabbitMQDriver('amqps://broker:5671/a%2Fb')"
    assert driver.limits.hold == 6900


@pytest.mark.parametrize(
    "url",
    [
        "amqp://host/?exchange_name=a:b",
        "amqp://host/?prefetch_count=0",
        "amqp://host/?timeout=soon",
        "amqp://host/?heartbeat=often",
        "amqp://host/?colour=blue",
        "amqp://host:port/",
        "amqp://one,two/",
        "amqp://one:5672,two:5672/",
        "amqp://one..two/",
        f"amqp://{'x' * 64}/",
        "amqps://host/?cadata=secretpwx",
        "amqps://host/?cadata=c2VjcmV0",
    ],
)
def test_an_option_that_cannot_be_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError):
        from_url(url)


async def test_a_file_for_tls_that_is_not_there_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for option in "cafile", "certfile":
        for file, why in ("nowhere", "No such file"), ("empty", "(PEM|X509)"):
            with pytest.raises(ConfigurationError, match=f"{option}: .*{why}"):
                await RabbitMQDriver(f"amqps://127.0.0.1:1/?{option}={tmp_path}/{file}").connect()


@pytest.mark.parametrize("host", ["xn--a", "%C3%A9%E2%80%8D"])
async def test_a_host_that_the_library_cannot_read_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError):
        await RabbitMQDriver(f"amqp://{host}/").connect()


async def test_drivers_of_two_exchange_names_do_not_see_each_other(url: str) -> None:
    async with RabbitMQDriver(url) as driver, RabbitMQDriver(url.replace("=t", "=u")) as other:
        await driver.enqueue([message("a")])
        assert await other.dequeue({"work": 1}, 1, LONG) == []
        assert ids(await claim(driver)) == ["a"]


async def test_a_rung_that_an_operator_deletes_costs_no_lease(driver: RabbitMQDriver, url: str, channel: Any) -> None:
    await driver.enqueue([message(f"{number}") for number in range(3)])
    first, second, *rest = await claim(driver, 3)
    assert await driver.settle([(first, Again(1.0, counted=True))]) == []
    await channel.queue_delete(f"{exchange(url)}:delay:3")
    assert await driver.settle([(second, Again(1.0, counted=True))]) == []
    assert await driver.extend(rest, LONG) == []


async def test_an_exchange_that_an_operator_deletes_is_declared_again(
    driver: RabbitMQDriver, url: str, channel: Any
) -> None:
    await driver.enqueue([message("a")])
    await channel.exchange_delete(exchange(url))
    with suppress(DriverError):
        await driver.enqueue([message("b")])
    assert await driver.enqueue([message("c")]) == []


async def test_what_is_published_while_queues_are_declared_keeps_its_order(driver: RabbitMQDriver) -> None:
    for number in range(5):
        queue = f"work{number}"
        calls = [asyncio.create_task(driver.enqueue([message("first", f"other{number}")]))]
        for place in range(400):
            calls.append(asyncio.create_task(driver.enqueue([message(f"{place:03}", queue)])))
            await asyncio.sleep(0)  # one per turn of the event loop
        await asyncio.gather(*calls)
        assert [each.id for each in await claim(driver, 400, queue)] == [f"{place:03}" for place in range(400)]


@pytest.mark.parametrize("known", [True, False])
async def test_one_message_does_not_pass_several_that_were_let_go_before(driver: RabbitMQDriver, known: bool) -> None:
    await driver.enqueue([message("other", "other"), *([message("first")] if known else [])])
    several = asyncio.create_task(driver.enqueue([message("a"), message("b")]))
    one = asyncio.create_task(driver.enqueue([message("c")]))
    await asyncio.gather(several, one)
    assert [each.id for each in await claim(driver, 3 + known)][known:] == ["a", "b", "c"]


async def test_who_publishes_to_a_known_queue_does_not_wait_for_others_to_be_declared(driver: RabbitMQDriver) -> None:
    await driver.enqueue([message("a")])
    others = [asyncio.create_task(driver.enqueue([message("a", f"other{number}")])) for number in range(100)]
    await asyncio.sleep(0)  # they have begun
    await driver.enqueue([message("b")])
    assert not others[-1].done()
    await asyncio.gather(*others)


async def test_what_is_given_back_from_the_shelf_does_not_come_back_at_once(driver: RabbitMQDriver) -> None:
    await driver.enqueue([message(f"{number:02}") for number in range(40)])
    running, began = await claim(driver, 5), list[str]()
    for _ in range(4):
        await asyncio.sleep(1.6)  # longer than what nobody has asked for may lie on the shelf
        await driver.settle([(running.pop(0), Done())])
        running += (taken := await claim(driver, 1))
        began += ids(taken)
    late = [id for id in began if int(id) > 20]
    assert late == []  # each shelf-full that is given back goes to the end; with every outcome one, it would be here


async def test_the_timeout_of_a_call_on_an_old_connection_leaves_the_new_one(url: str) -> None:
    async with Proxy(url) as proxy, RabbitMQDriver(proxy.url, timeout=2.0) as driver:
        await driver.enqueue([message(f"{number}") for number in range(3)])
        await claim(driver, 1)
        proxy.forget()
        early = asyncio.create_task(driver.stats("work"))
        await asyncio.sleep(0.9)  # so that it hangs when the first one has given up, and another connection is used
        late = asyncio.create_task(driver.stats("work"))
        await asyncio.wait([early])
        held: list[Delivery] = []
        async with asyncio.timeout(LONG):
            while not held:
                with suppress(ConnectionLost):
                    held = await driver.dequeue({"work": 1}, 1, LONG)
        await asyncio.wait([late])
        assert await driver.extend(held, LONG) == []


async def test_a_broker_that_reads_nothing_holds_up_no_disconnect(url: str) -> None:
    async with Proxy(url) as proxy:
        driver = RabbitMQDriver(proxy.url, timeout=1.5)
        await driver.connect()
        await driver.enqueue([message("a")])
        proxy.stall()
        with pytest.raises(ConnectionLost):
            await driver.enqueue([Message(f"{number}", "work", bytes(7 * 2**20)) for number in range(4)])
        async with asyncio.timeout(8):
            await driver.disconnect()


async def test_a_counter_that_no_header_can_hold_is_none(driver: RabbitMQDriver, url: str, channel: Any) -> None:
    await driver.enqueue([message("good")])
    odd = aiormq.spec.Basic.Properties(correlation_id="odd", headers={"attempt": 2**63 - 1, "lost": 2**62})
    await channel.basic_publish(b"body", exchange=exchange(url), routing_key="work", properties=odd)
    taken = await claim(driver, 2)
    assert sorted((each.id, each.attempt) for each in taken) == [("good", 1), ("odd", 1)]
    outcomes = [(each, Dead("attempts") if each.id == "odd" else Done()) for each in taken]
    assert await driver.settle(outcomes) == []
