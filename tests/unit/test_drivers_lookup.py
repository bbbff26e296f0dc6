"""From a name or a URL to a driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncdq.drivers import Backend, driver_class, from_url
from asyncdq.drivers.sqlite import SQLiteDriver
from asyncdq.errors import ConfigurationError, MissingExtra


def path_of(url: str) -> Path | None:
    driver = from_url(url)
    assert isinstance(driver, SQLiteDriver)
    return driver.path


def test_a_name_gives_the_class() -> None:
    assert driver_class("sqlite") is SQLiteDriver


@pytest.mark.parametrize("name", ["mongo", "", "SQLite"])
def test_an_unknown_name_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(ConfigurationError, match="known are: sqlite"):
        driver_class(name)


def test_an_unknown_scheme_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="'mongodb'; known are: sqlite://"):
        from_url("mongodb://localhost")


@pytest.mark.parametrize("url", ["mongodb://me:hunter2@localhost", "me:hunter2@localhost", "sqlite:hunter2"])
def test_a_refused_url_is_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        from_url(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite://asyncdq.db", Path.cwd().resolve() / "asyncdq.db"),
        ("sqlite://data/asyncdq.db", Path.cwd().resolve() / "data/asyncdq.db"),
        ("sqlite:///nowhere/app/tasks.db", Path("/nowhere/app/tasks.db")),
        ("sqlite:////nowhere/app/tasks.db", Path("/nowhere/app/tasks.db")),
        ("SQLITE:///nowhere/a%20b%3F%25.db?synchronous=full", Path("/nowhere/a b?%.db")),
        ("sqlite://:memory:", None),
        ("sqlite:///:memory:", None),
    ],
)
def test_what_follows_the_scheme_is_the_path(url: str, path: Path | None) -> None:
    assert path_of(url) == path


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite://?synchronous=full", "sqlite://a%00b"])
def test_a_url_needs_a_path(url: str) -> None:
    with pytest.raises(ConfigurationError, match="path"):
        from_url(url)


def test_an_unknown_key_in_a_url_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"takes only \?synchronous=\.\.\., not timeout"):
        from_url("sqlite://a.db?timeout=5")


@pytest.mark.parametrize("url", ["sqlite://a.db?synchronous=perhaps", "sqlite://a.db?synchronous="])
def test_a_bad_value_in_a_url_is_answered_with_the_good_ones(url: str) -> None:
    with pytest.raises(ConfigurationError, match="off, normal, full, extra"):
        from_url(url)


def test_what_the_url_says_goes_before_the_options() -> None:
    assert isinstance(from_url("sqlite://a.db?synchronous=full", synchronous="no such thing"), SQLiteDriver)


def test_a_missing_client_library_is_named_by_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "driver_without_library.py").write_text("import a_library_that_is_not_installed\n")
    monkeypatch.syspath_prepend(tmp_path)
    backend = Backend("carrier", "driver_without_library", "CarrierDriver", schemes=("carrier",), extra="pigeon")
    with pytest.raises(MissingExtra, match=r"pip install 'asyncdq\[pigeon\]'"):
        backend.load()


def test_a_module_of_ours_that_is_missing_is_not_taken_for_a_library() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"asyncdq\.drivers\.carrier"):
        Backend("carrier", "asyncdq.drivers.carrier", "CarrierDriver", schemes=("carrier",), extra="pigeon").load()
