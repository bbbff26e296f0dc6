"""The driver of a command, and the questions that come before it deletes something."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import typer

from ..drivers import driver_class, from_url
from ..drivers.base import BaseDriver, DeadLetters
from ..errors import ConfigurationError
from ..settings import Settings

T = TypeVar("T")


def ask(settings: Settings, question: Callable[[BaseDriver], Awaitable[T]]) -> T:
    """The answer of the backend that the settings name."""

    async def answer() -> T:
        async with opened(settings) as driver:
            return await question(driver)

    return asyncio.run(answer())


def new_driver(settings: Settings) -> BaseDriver:
    """The driver that the settings name. Raises ConfigurationError if there is none of that name."""
    if settings.url is None:
        driver_class(settings.driver)  # refuses by name: the user wrote no URL that the message could speak of
    return from_url(settings.driver_url())


@asynccontextmanager
async def opened(settings: Settings) -> AsyncGenerator[BaseDriver]:
    """The driver, connected and set up; disconnected at the end."""
    async with new_driver(settings) as driver:
        await driver.setup()
        yield driver


def dead_letters(driver: BaseDriver) -> DeadLetters:
    """The driver as a keeper of dead letters. Raises ConfigurationError if it is none."""
    if not isinstance(driver, DeadLetters):
        raise ConfigurationError("this driver keeps no dead letters")
    return driver


def confirm(question: str, yes: bool) -> None:
    """Return if the user agrees. Without a terminal to ask on, only `--yes` agrees."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{question} Without a terminal to ask on, say --yes")
    if not typer.confirm(question):
        raise typer.Exit(1)
