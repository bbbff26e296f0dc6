"""From a name or a URL to a driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncdq.drivers import Backend, driver_class, from_url, redis_address
from asyncdq.drivers.redis import RedisDriver
from asyncdq.drivers.sqlite import SQLiteDriver
from asyncdq.errors import ConfigurationError, MissingExtra
from asyncdq.url import SCHEMES, driver_of


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


def test_an_unknown_option_of_a_url_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"no such option as number 1 behind .*; known are synchronous;"):
        from_url("sqlite://a.db?timeout=5")


@pytest.mark.parametrize("url", ["sqlite://a.db?synchronous=perhaps", "sqlite://a.db?synchronous="])
def test_a_bad_value_in_a_url_is_answered_with_the_good_ones(url: str) -> None:
    with pytest.raises(ConfigurationError, match="off, normal, full, extra"):
        from_url(url)


def test_what_the_url_says_goes_before_the_options() -> None:
    assert isinstance(from_url("sqlite://a.db?synchronous=full", synchronous="no such thing"), SQLiteDriver)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "PostgreSQL"])
def test_both_schemes_of_postgres_are_known(scheme: str) -> None:
    assert type(from_url(f"{scheme}://h/db")) is driver_class("postgres")


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("queue_table=a.b.c", "is name or schema.name"),
        ("queue_table=Tasks", "is name or schema.name"),
        ("queue_table=same&dead_letter_table=same", "give them two names"),
        ("min_pool_size=5&max_pool_size=2", "min_pool_size is at most max_pool_size"),
        ("max_pool_size=many", "max_pool_size is a number from 1 to 10000"),
        ("timeout=0", "timeout is a number from 0.1 to 3600"),
        ("pooler=perhaps", "pooler is true or false"),
    ],
)
def test_an_option_of_postgres_out_of_range_says_what_is_accepted(query: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        from_url(f"postgresql://me:hunter2@h/db?{query}")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("query", ["host=a,b", "host=a&port=1,2", "host=a%2Cb&port=1"])
def test_several_hosts_behind_the_question_mark_are_refused(query: str) -> None:
    with pytest.raises(ConfigurationError, match="hosts, if they are several, before the slash"):
        from_url(f"postgresql:///db?{query}")


def test_a_missing_client_library_is_named_by_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "driver_without_library.py").write_text("import a_library_that_is_not_installed\n")
    monkeypatch.syspath_prepend(tmp_path)
    backend = Backend("carrier", "driver_without_library", "CarrierDriver", extra="pigeon")
    with pytest.raises(MissingExtra, match=r"pip install 'asyncdq\[pigeon\]'"):
        backend.load()


def test_a_client_library_that_is_imported_later_is_missed_at_once() -> None:
    backend = Backend("carrier", "asyncdq.drivers.sqlite", "SQLiteDriver", extra="pigeon", later="a_library_not_there")
    with pytest.raises(MissingExtra, match=r"pip install 'asyncdq\[pigeon\]'"):
        backend.load()


def test_a_module_of_ours_that_is_missing_is_not_taken_for_a_library() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"asyncdq\.drivers\.carrier"):
        Backend("carrier", "asyncdq.drivers.carrier", "CarrierDriver", extra="pigeon").load()


def address_of(url: str, **defaults: str) -> redis_address.Address:
    return redis_address.parse(url, defaults)[0]


@pytest.mark.parametrize("scheme", SCHEMES["redis"])
def test_every_scheme_of_redis_leads_to_its_driver(scheme: str) -> None:
    assert isinstance(from_url(f"{scheme}:///0"), RedisDriver)
    assert driver_of(f"{scheme}://localhost") == "redis"


@pytest.mark.parametrize(
    ("url", "host", "db"),
    [
        ("redis://", ("localhost", 6379), 0),
        ("redis://h", ("h", 6379), 0),
        ("valkey://h:7000/3", ("h", 7000), 3),
        ("redis://[::1]:7000", ("::1", 7000), 0),
        ("redis://[::1]/2?db=5", ("::1", 6379), 2),
        ("redis://h?db=5", ("h", 6379), 5),
    ],
)
def test_a_redis_url_names_host_and_database(url: str, host: tuple[str, int], db: int) -> None:
    address = address_of(url)
    assert (address.hosts, address.db) == ((host,), db)


@pytest.mark.parametrize(
    ("url", "user", "password"),
    [
        ("redis://h", None, None),
        ("redis://:p%40ss:w@rd@h", None, "p@ss:w@rd"),
        ("redis://me:pw@h?password=other", "me", "pw"),
        ("redis://h?username=me&password=p%26w", "me", "p&w"),
    ],
)
def test_a_redis_url_says_who_we_are(url: str, user: str | None, password: str | None) -> None:
    address = address_of(url)
    assert (address.username, address.password) == (user, password)
    assert "w" not in repr(address).replace("username", "").replace("password", "")


def test_what_a_redis_url_says_goes_before_the_options() -> None:
    assert address_of("redis://:own@h/1", password="given", db="2").password == "own"
    assert address_of("redis://h", password="given", db="2").db == 2


def test_a_url_of_sentinels_names_them_and_the_service() -> None:
    address = address_of("redis+sentinel://me:pw@a,b:7000,[::1]:7001/my%20service/4?sentinel_password=s")
    assert address.hosts == (("a", 26379), ("b", 7000), ("::1", 7001))
    assert (address.service, address.db, address.username, address.password) == ("my service", 4, "me", "pw")
    assert (address.sentinel_username, address.sentinel_password, address.tls) == (None, "s", None)


def test_tls_and_its_options_come_with_rediss(tmp_path: Path) -> None:
    assert address_of("redis://h").tls is None
    assert address_of("rediss://h").tls == {"ssl_check_hostname": True}
    assert address_of("valkeys://h?ssl_cert_reqs=none").tls == {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    assert address_of(f"rediss://h?ssl_ca_certs={__file__}&ssl_check_hostname=false").tls == {
        "ssl_ca_certs": __file__,
        "ssl_check_hostname": False,
    }


def test_a_socket_is_a_path() -> None:
    address = address_of("redis+unix://:pw@/run/my%20redis.sock?db=3")
    assert (address.path, address.db, address.password, address.hosts) == ("/run/my redis.sock", 3, "pw", ())


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("redis://:hunter2@h:port", "port"),
        ("redis://:hunter2@h:70000", "port"),
        ("redis://:hunter2@h/first", "database"),
        ("redis://:hunter2@h/1/2", "database"),
        ("redis://:hunter2@h?db=-1", "database"),
        ("redis://:hunter2@a,b", "several are Sentinels"),
        ("redis://:hunter2@[::1", "host:port"),
        ("redis+sentinel://:hunter2@a,b", "names the service"),
        ("redis+unix://:hunter2@", "path"),
        ("redis://:hunter2@h?ssl_cert_reqs=none", "rediss://"),
        ("rediss://:hunter2@h?ssl_cert_reqs=maybe", "required, optional or none"),
        ("rediss://:hunter2@h?ssl_ca_certs=/nowhere.pem", "path of a file as ssl_ca_certs"),
        ("rediss://:hunter2@h?ssl_check_hostname=perhaps", "true or false"),
        ("redis://:hunter2@h?timeout=soon", "timeout is a number from 0.001"),
        ("redis://:hunter2@h?timeout=0", "timeout is a number from 0.001"),
        ("redis://:hunter2@h?max_connections=1", "max_connections is a number from 2"),
        ("redis://:hunter2@h?prefix=%7Ba%7D", "prefix"),
        ("redis://:hunter2@h?socket_timeout=5", "known are username, password"),
    ],
)
def test_a_mistake_in_a_redis_url_is_named_without_the_password(url: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        from_url(url)
    assert complaint in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_redis_driver_shows_its_address_and_no_password() -> None:
    assert repr(from_url("redis://me:hunter2@h/1")) == "RedisDriver('h:6379')"
