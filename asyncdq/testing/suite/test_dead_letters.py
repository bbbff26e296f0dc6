"""Buried messages: kept with their reason, listed in pages, made ready again or forgotten."""

from __future__ import annotations

import time

from asyncdq.drivers.base import BaseDriver
from asyncdq.message import REASONS, Again, Dead, Done, Unstarted
from asyncdq.testing.claims import (
    bury,
    claim,
    claim_one,
    ids,
    letters,
    lose,
    message,
    put,
    settle,
    take_now,
)
from asyncdq.testing.marks import needs

pytestmark = needs("dead_letters")


async def page(driver: BaseDriver, limit: int = 100, after: str | None = None) -> list[str]:
    return [letter.id for letter in await letters(driver).dead("work", limit, after)]


async def test_a_dead_letter_says_what_was_buried_when_and_why(driver: BaseDriver) -> None:
    await driver.enqueue([message("a", body=b"\x00\xff")])
    began = time.time()
    await settle(driver, await claim_one(driver), Dead("rejected", "ValueError: no", "Traceback\n  é"))
    letter = await letters(driver).dead_letter("work", "a")
    assert letter is not None
    assert (letter.id, letter.queue, letter.body) == ("a", "work", b"\x00\xff")
    assert (letter.reason, letter.error, letter.detail) == ("rejected", "ValueError: no", "Traceback\n  é")
    assert began - 0.001 <= letter.died_at <= time.time() + 0.001


async def test_every_reason_is_kept_as_it_is(driver: BaseDriver) -> None:
    for reason in REASONS:
        await bury(driver, reason, reason=reason)
    assert {letter.id: letter.reason for letter in await letters(driver).dead("work", 100)} == {r: r for r in REASONS}


async def test_the_list_and_the_single_letter_agree(driver: BaseDriver) -> None:
    await bury(driver, "a", "b")
    for letter in await letters(driver).dead("work", 10):
        assert await letters(driver).dead_letter("work", letter.id) == letter


async def test_attempts_count_what_failed(driver: BaseDriver) -> None:
    await put(driver, "a")
    for _ in range(2):
        await settle(driver, await claim_one(driver), Again(0, counted=True))
    await settle(driver, await claim_one(driver), Dead("attempts"))
    letter = await letters(driver).dead_letter("work", "a")
    assert letter is not None
    assert letter.attempts == 3


async def test_attempts_do_not_count_what_was_given_back(driver: BaseDriver) -> None:
    await put(driver, "a")
    await settle(driver, await claim_one(driver), Again(0, counted=False))
    await settle(driver, await claim_one(driver), Unstarted())
    await settle(driver, await claim_one(driver), Dead("rejected"))
    letter = await letters(driver).dead_letter("work", "a")
    assert letter is not None
    assert letter.attempts == 1


@needs("ends_leases")
async def test_attempts_count_what_was_lost(driver: BaseDriver) -> None:
    await put(driver, "a")
    await lose(driver)
    await lose(driver)
    await settle(driver, await claim_one(driver), Dead("rejected"))
    letter = await letters(driver).dead_letter("work", "a")
    assert letter is not None
    assert letter.attempts == 3


@needs("ends_leases")
async def test_a_burial_for_losses_counts_the_losses_alone(driver: BaseDriver) -> None:
    await put(driver, "a")
    await lose(driver)
    await lose(driver)
    await settle(driver, await claim_one(driver), Dead("lost"))  # decided at delivery: this one was never started
    letter = await letters(driver).dead_letter("work", "a")
    assert letter is not None
    assert letter.attempts == 2


async def test_the_oldest_letter_comes_first(driver: BaseDriver) -> None:
    await bury(driver, "z", "m", "a")
    assert await page(driver) == ["z", "m", "a"]


async def test_a_page_begins_behind_the_letter_before_it(driver: BaseDriver) -> None:
    await bury(driver, "e", "d", "c", "b", "a")
    assert await page(driver, 2) == ["e", "d"]
    assert await page(driver, 2, after="d") == ["c", "b"]
    assert await page(driver, 2, after="b") == ["a"]
    assert await page(driver, 2, after="a") == []


async def test_a_page_of_no_letters_is_empty(driver: BaseDriver) -> None:
    await bury(driver, "a")
    assert await page(driver, 0) == []


async def test_paging_finds_each_letter_once_when_all_died_at_the_same_time(driver: BaseDriver) -> None:
    names = [f"{number}" for number in range(10)]
    await put(driver, *names)
    await driver.settle([(delivery, Dead("rejected")) for delivery in await claim(driver, 10)])
    found = await page(driver, 3)
    while rest := await page(driver, 3, after=found[-1]):
        found += rest
    assert sorted(found) == names


async def test_letters_belong_to_their_queue(driver: BaseDriver) -> None:
    await bury(driver, "a", queue="left")
    await bury(driver, "a", queue="right")
    assert await letters(driver).delete_dead("left", ["a"]) == ["a"]
    assert await letters(driver).dead_letter("left", "a") is None
    assert [letter.queue for letter in await letters(driver).dead("right", 10)] == ["right"]


async def test_an_unknown_letter_is_none(driver: BaseDriver) -> None:
    await put(driver, "a")
    assert await letters(driver).dead_letter("work", "a") is None
    assert await page(driver) == []


async def test_a_requeued_letter_is_ready_with_its_id_and_fresh_counters(driver: BaseDriver) -> None:
    await driver.enqueue([message("a", body=b"the body")])
    await settle(driver, await claim_one(driver), Again(0, counted=True))
    await settle(driver, await claim_one(driver), Dead("attempts"))
    assert await letters(driver).requeue("work", ["a"]) == ["a"]
    delivery = await claim_one(driver)
    assert (delivery.id, delivery.body, delivery.attempt, delivery.lost) == ("a", b"the body", 1, 0)
    assert await page(driver) == []


@needs("ends_leases")
async def test_a_requeue_forgets_what_was_lost(driver: BaseDriver) -> None:
    await put(driver, "a")
    await lose(driver)
    await settle(driver, await claim_one(driver), Dead("lost"))
    await letters(driver).requeue("work", ["a"])
    assert (await claim_one(driver)).lost == 0


async def test_a_requeue_answers_which_ids_it_moved(driver: BaseDriver) -> None:
    await bury(driver, "a", "b", "c")
    assert sorted(await letters(driver).requeue("work", ["c", "unknown", "a"])) == ["a", "c"]
    assert await letters(driver).requeue("work", ["a"]) == []
    assert await letters(driver).requeue("work", []) == []
    assert await page(driver) == ["b"]
    assert sorted(await take_now(driver)) == ["a", "c"]


@needs("unique_ids")
async def test_a_letter_whose_id_is_waiting_or_running_is_not_moved(driver: BaseDriver) -> None:
    await bury(driver, "a")
    await put(driver, "a")
    assert await letters(driver).requeue("work", ["a"]) == []
    running = await claim_one(driver)
    assert await letters(driver).requeue("work", ["a"]) == []
    assert await page(driver) == ["a"]
    assert await settle(driver, running, Done())
    assert await letters(driver).requeue("work", ["a"]) == ["a"]


async def test_an_id_that_is_buried_twice_is_one_letter_with_the_latest_reason(driver: BaseDriver) -> None:
    await bury(driver, "a", reason="attempts")
    await bury(driver, "a", reason="rejected")
    assert [letter.reason for letter in await letters(driver).dead("work", 10)] == ["rejected"]


async def test_an_id_that_is_buried_twice_is_the_youngest_letter(driver: BaseDriver) -> None:
    await bury(driver, "a", "b", "a")
    assert await page(driver) == ["b", "a"]


async def test_a_requeued_letter_may_die_again(driver: BaseDriver) -> None:
    await bury(driver, "a")
    await letters(driver).requeue("work", ["a"])
    assert await settle(driver, await claim_one(driver), Dead("attempts"))
    assert await page(driver) == ["a"]


async def test_a_deleted_letter_is_forgotten(driver: BaseDriver) -> None:
    await bury(driver, "a", "b", "c")
    assert sorted(await letters(driver).delete_dead("work", ["a", "unknown", "c"])) == ["a", "c"]
    assert await letters(driver).delete_dead("work", ["a"]) == []
    assert await letters(driver).requeue("work", ["a"]) == []
    assert await page(driver) == ["b"]


async def test_deleting_spares_what_waits_under_the_same_id(driver: BaseDriver) -> None:
    await bury(driver, "a")
    await put(driver, "a")
    assert await letters(driver).delete_dead("work", ["a"]) == ["a"]
    assert ids(await claim(driver, 1)) == ["a"]


async def test_another_process_sees_the_same_letters(driver: BaseDriver, second: BaseDriver) -> None:
    await bury(driver, "a", "b")
    assert await letters(second).dead("work", 10) == await letters(driver).dead("work", 10)
    assert await letters(second).requeue("work", ["a", "b"]) == ["a", "b"]
    assert ids(await claim(driver, 2)) == ["a", "b"]
