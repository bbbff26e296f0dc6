"""Two tasks, and a script that enqueues them: the quickstart of the README."""

import asyncio

from asyncdq import current_task, task


@task
async def greet(name: str) -> None:
    print(f"Hello {name}!")


@task(max_attempts=3, retry_delay=1)
def fetch(url: str) -> None:  # not async: it runs in a thread
    if current_task().attempt == 1:
        raise ConnectionError(f"{url} does not answer")
    print(f"{url} is fetched")


async def main() -> None:
    await greet.enqueue("world")
    await greet.using(delay=2).enqueue("later")
    await fetch.enqueue("http://example.com")


if __name__ == "__main__":
    asyncio.run(main())
