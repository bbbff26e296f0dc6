import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122, UUID

import pytest

from asyncdq.names import new_id


def test_an_id_is_a_uuid_of_version_7_with_the_time_of_its_making() -> None:
    before = time.time_ns() // 1_000_000
    made = [UUID(new_id()) for _ in range(1_000)]
    after = time.time_ns() // 1_000_000
    assert {(each.version, each.variant) for each in made} == {(7, RFC_4122)}
    times = [each.int >> 80 for each in made]
    assert before <= times[0] <= times[-1] <= after
    assert times == sorted(times)


def test_threads_never_make_the_same_id() -> None:
    with ThreadPoolExecutor(8) as threads:
        made = [made.result() for made in [threads.submit(lambda: [new_id() for _ in range(2_000)]) for _ in range(8)]]
    assert len({id for ids in made for id in ids}) == 16_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_process_and_its_fork_never_make_the_same_id() -> None:
    # Without the time in it, which may differ by itself.
    write = "os.write(1, f'{new_id()[14:]} {new_id()[14:]}\\n'.encode())"
    text = f"import os; from asyncdq.names import new_id; new_id(); os.fork(); {write}"
    made = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout.split()
    assert len(set(made)) == len(made) == 4
