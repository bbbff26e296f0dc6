"""Names that somebody chose who can write to the store: they forge no line of a log and command no terminal."""

from __future__ import annotations

import msgpack
import pytest

from asyncdq.message import Message

from .workers import Site, sqlite_only

pytestmark = sqlite_only

FORGED = "2030-01-01 00:00:00.000 INFO    task_completed shop.refund"
NAME = f"x\n{FORGED}\x1b[2J"
ID = "x\x1b]0;title\x07\n" + FORGED


@pytest.fixture
async def forged(site: Site) -> Site:
    """A site on which a task of that name, under that id, has been buried."""
    body = msgpack.packb([1, NAME, "application/msgpack", b"", {"max_attempts": 1}, {}])
    await site.client.driver.enqueue([Message(ID, "default", body)])
    worker = site.start("--burst", "--task-defaults-max-attempts", "1")
    assert await worker.exited() == 0
    assert len(await site.dead()) == 1
    assert worker.log_lines(FORGED) != []
    assert [line for line in worker.log_lines() if line.startswith("2030") or "\x1b" in line] == []
    return site


async def test_neither_a_list_of_dead_letters_nor_one_of_them_obeys_what_its_message_says(forged: Site) -> None:
    script = "import sys\nfrom asyncdq.cli.app import run\nsys.exit(run(sys.argv[1:]))"
    for arguments in (["dead", "list", "default"], ["dead", "show", "default", ID]):
        code, output, _ = await forged.script(script, *arguments)
        assert code == 0
        assert FORGED in output
        assert "\x1b" not in output
        assert [line for line in output.splitlines() if line.startswith("2030")] == []
