"""Every option, by every way it can be set; and what is said when it is set wrongly."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import typer
from typer.main import get_command

from asyncdq import Settings
from asyncdq.cli.parameters import with_settings
from asyncdq.errors import ConfigurationError
from asyncdq.settings import load, options, strays
from asyncdq.url import masked

# What is written, and what arrives; never the default.
SAMPLES: dict[str, tuple[Any, Any]] = {
    "driver": ("other", "other"),
    "url": ("sqlite:///data/other.db", "sqlite:///data/other.db"),
    "config": ("other.toml", Path("other.toml")),
    "sqlite_path": ("/data/tasks.db", Path("/data/tasks.db")),
    "sqlite_synchronous": ("full", "full"),
    "redis_url": ("redis://other:6380", "redis://other:6380"),
    "redis_password": ("hunter2", "hunter2"),
    "redis_db": (3, 3),
    "redis_max_connections": (4, 4),
    "postgres_dsn": ("postgres://me@db/tasks", "postgres://me@db/tasks"),
    "postgres_queue_table": ("jobs.waiting", "jobs.waiting"),
    "postgres_dead_letter_table": ("jobs.dead", "jobs.dead"),
    "postgres_min_pool_size": (2, 2),
    "postgres_max_pool_size": (3, 3),
    "postgres_max_attempts": (4, 4),
    "mysql_dsn": ("mariadb://me@db/tasks", "mariadb://me@db/tasks"),
    "mysql_queue_table": ("jobs.waiting", "jobs.waiting"),
    "mysql_dead_letter_table": ("jobs.dead", "jobs.dead"),
    "mysql_min_pool_size": (2, 2),
    "mysql_max_pool_size": (3, 3),
    "mysql_max_attempts": (4, 4),
    "rabbitmq_url": ("amqps://me@broker/tasks", "amqps://me@broker/tasks"),
    "rabbitmq_exchange_name": ("jobs", "jobs"),
    "rabbitmq_prefetch_count": (5, 5),
    "rabbitmq_consumer_timeout": (3600, 3600.0),
    "sqs_region": ("eu-west-1", "eu-west-1"),
    "sqs_queue_url_prefix": ("https://sqs/1/jobs-", "https://sqs/1/jobs-"),
    "sqs_endpoint_url": ("http://localhost:4566", "http://localhost:4566"),
    "sqs_poll": (20, 20),
    "aws_access_key_id": ("AKIA", "AKIA"),
    "aws_secret_access_key": ("hunter2", "hunter2"),
    "tasks": ("app.tasks,app.more", ("app.tasks", "app.more")),
    "queues": ("high, low", ("high", "low")),
    "concurrency": (7, 7),
    "process_pool_size": (0, 0),
    "process_pool_max_tasks_per_child": (50, 50),
    "claim_ahead": (0, 0),
    "grace_period": (0.5, 0.5),
    "heartbeat_interval": (1.5, 1.5),
    "name": ("w1", "w1"),
    "burst": (True, True),
    "max_tasks": (3, 3),
    "uvloop": (True, True),
    "log_level": ("debug", "debug"),
    "log_format": ("json", "json"),
    "serializer": ("json", "json"),
    "signing_keys": ("a-key-of-16-chars,another-of-more-chars", ("a-key-of-16-chars", "another-of-more-chars")),
    "accept_unsigned": (True, True),
    "events_enable_event_emitter_redis": (True, True),
    "events_redis_url": ("redis://events", "redis://events"),
    "events_channel": ("app:events", "app:events"),
    "task_defaults_queue": ("mail", "mail"),
    "task_defaults_max_attempts": (9, 9),
    "task_defaults_retry_strategy": ("fixed", "fixed"),
    "task_defaults_retry_delay": (0, 0.0),
    "task_defaults_timeout": (30, 30.0),
    "task_defaults_visibility_timeout": (5, 5.0),
}
EVERY = pytest.mark.parametrize("name", SAMPLES)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and an environment without options."""
    for variable in [name for name in os.environ if name.startswith("ASYNCDQ_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.toml").touch()
    return tmp_path


def pyproject(folder: Path, **values: Any) -> Path:
    file = folder / "pyproject.toml"
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    file.write_text("\n".join(["[tool.asyncdq]", *lines]))
    return file


def command_line(*arguments: str) -> Settings:
    """The settings that `asyncdq worker ARGUMENTS` would run with."""
    seen: list[Settings] = []

    def keep(settings: Settings) -> None:
        seen.append(settings)

    app = typer.Typer(rich_markup_mode=None)
    app.command()(with_settings("worker", keep))
    get_command(app).main(list(arguments), standalone_mode=False)
    return seen[0]


def test_every_option_has_a_sample_here() -> None:
    assert set(SAMPLES) == set(Settings.model_fields)


def test_nothing_is_set_by_default() -> None:
    assert load().model_fields_set == set()


def test_every_option_has_a_help_text_and_says_what_it_accepts() -> None:
    assert [option.name for option in options() if not option.help or not option.accepts.words] == []


@EVERY
def test_an_option_arrives_from_the_command_line(name: str) -> None:
    text, value = SAMPLES[name]
    if name == "tasks":
        arguments = text.split(",")
    else:
        flag = "--" + name.replace("_", "-")
        arguments = [flag] if value is True else [flag, str(text)]
    settings = command_line(*arguments)
    assert (getattr(settings, name), name in settings.model_fields_set) == (value, True)


@EVERY
def test_an_option_arrives_from_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, value = SAMPLES[name]
    monkeypatch.setenv(f"ASYNCDQ_{name.upper()}", str(text))
    assert getattr(load(), name) == value


@EVERY
def test_an_option_arrives_from_the_env_file(name: str, folder: Path) -> None:
    text, value = SAMPLES[name]
    (folder / ".env").write_text(f'ASYNCDQ_{name.upper()}="{text}"\n')
    assert getattr(load(), name) == value


@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "config"])
def test_an_option_arrives_from_pyproject_and_from_a_named_file(name: str, folder: Path) -> None:
    text, value = SAMPLES[name]
    file = pyproject(folder, **{name: text})
    assert getattr(load(), name) == value
    other = folder / "other.toml"
    other.write_text(file.read_text().partition("\n")[2])
    file.unlink()
    assert getattr(load(config=other), name) == value


def test_the_stronger_source_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyproject(folder, concurrency=2)
    (folder / ".env").write_text("ASYNCDQ_CONCURRENCY=3")
    monkeypatch.setenv("ASYNCDQ_CONCURRENCY", "4")
    assert command_line("-c", "5").concurrency == 5
    assert command_line().concurrency == 4
    monkeypatch.delenv("ASYNCDQ_CONCURRENCY")
    assert load().concurrency == 3
    (folder / ".env").unlink()
    assert load().concurrency == 2
    (folder / "pyproject.toml").unlink()
    assert load().concurrency == 10


def test_a_named_file_replaces_pyproject(folder: Path) -> None:
    pyproject(folder, concurrency=2, burst=True)
    (folder / "other.toml").write_text("[tool.asyncdq]\nconcurrency = 3")
    settings = load(config="other.toml")
    assert (settings.concurrency, settings.burst) == (3, False)


def test_pyproject_is_looked_for_upwards_and_one_without_our_table_is_passed_by(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyproject(folder, concurrency=2)
    below = folder / "service" / "src"
    below.mkdir(parents=True)
    (folder / "service" / "pyproject.toml").write_text("[project]\nname = 'service'")
    monkeypatch.chdir(below)
    assert load().concurrency == 2


def test_a_flag_can_be_taken_back_on_the_command_line(folder: Path) -> None:
    pyproject(folder, burst=True)
    assert command_line().burst
    assert not command_line("--no-burst").burst


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCDQ_MAX_TASKS", "")
    assert "max_tasks" not in load().model_fields_set


def test_queues_may_be_repeated_and_separated_by_commas(folder: Path) -> None:
    pyproject(folder, queues=["x", "y"])
    assert load().queues == ("x", "y")
    assert command_line("-q", "a,b", "-q", "c,a").queues == ("a", "b", "c")


def test_signing_keys_may_stand_in_a_file_one_per_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "keys").write_text("a-key-of-16-chars\n\nanother-of-more-chars,a-third-of-16-chars\n")
    expected = ("a-key-of-16-chars", "another-of-more-chars", "a-third-of-16-chars")
    monkeypatch.setenv("ASYNCDQ_SIGNING_KEYS", f"@{folder / 'keys'}")
    assert load().signing_keys == expected
    assert command_line("--signing-keys", "@keys").signing_keys == expected


@pytest.mark.parametrize(
    "said", ["@keys, third-key-of-16-chars", ["@keys", "third-key-of-16-chars"], "@{folder}/keys,third-key-of-16-chars"]
)
def test_a_file_of_keys_that_a_file_names_lies_in_the_folder_of_that_file(
    said: str | list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    above = folder if "{folder}" in said else folder / "a, b"
    below = above / "service"
    below.mkdir(parents=True)
    (above / "keys").write_text("first-key-of-16-chars\nsecond-key-of-16-chars\n")
    (below / "keys").write_text("another-of-more-chars\n")
    file = pyproject(above, signing_keys=said.format(folder=folder) if isinstance(said, str) else said)
    monkeypatch.chdir(below)
    expected = ("first-key-of-16-chars", "second-key-of-16-chars", "third-key-of-16-chars")
    assert load().signing_keys == load(config=file).signing_keys == expected
    monkeypatch.setenv("ASYNCDQ_SIGNING_KEYS", "@keys")  # of the environment: from where the command runs
    assert load().signing_keys == ("another-of-more-chars",)


def test_a_file_of_keys_that_is_not_there_is_named_with_its_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    for name, problem in (
        ("gone", f"{folder / 'gone'} cannot be read: No such"),
        ("~nobody-of-that-name/keys", "~nobody-of-that-name/keys: there is no such home folder"),
    ):
        file = pyproject(folder, signing_keys=f"@{name}")
        with pytest.raises(ConfigurationError) as caught:
            load()
        assert str(caught.value).startswith(f"signing_keys in {file}: {problem}")


def test_a_file_without_a_key_does_not_quietly_turn_signatures_off(folder: Path) -> None:
    (folder / "keys").write_text(" \n")
    for name, problem in (("keys", "it holds no key"), ("gone", "cannot be read: No such file or directory")):
        with pytest.raises(ConfigurationError, match=problem):
            load({"signing_keys": f"@{folder / name}"})


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"signing_keys": "hunter2"}, "--signing-keys: a signing key is a text of at least 16 printable ASCII"),
    ({"signing_keys": ","}, "--signing-keys: it holds no key"),
    ({"signing_keys": 5}, "--signing-keys: this is not accepted; expected keys, or @ and the path of a file"),
    ({"redis_password": 5}, "--redis-password: this is not accepted; expected some text"),
    ({"driver": "redis://:hunter2@h"}, "--driver: this is not accepted; expected the name of a driver"),
    ({"url": "redis:me:hunter2@h"}, "--url: this is not a URL"),
    ({"url": "redis//hunter2@h"}, "--url: this is not a URL"),
    ({"concurrency": 0}, "--concurrency: 0 is not accepted; expected a whole number, 1 or more"),
    ({"max_tasks": "x"}, "--max-tasks: 'x' is not accepted; expected a whole number, 1 or more"),
    ({"claim_ahead": -1}, "--claim-ahead: -1 is not accepted; expected auto or a whole number, 0 or more"),
    ({"grace_period": "inf"}, "--grace-period: 'inf' is not accepted; expected seconds, 0 to 1e9"),
    (
        {"task_defaults_visibility_timeout": 1e300},
        "--task-defaults-visibility-timeout: 1e+300 is not accepted; expected",
    ),
    ({"name": "a\nb"}, "--name: it is printed in lines of the log, so it has to be printable"),
    ({"name": "x" * 201}, "--name: 'xxx"),
    ({"log_format": "xml"}, "--log-format: 'xml' is not accepted; expected text or json"),
    ({"burst": "perhaps"}, "--burst: 'perhaps' is not accepted; expected true or false"),
    ({"queues": ["a b"]}, "--queues: queue name 'a b': use 1 to 64 of A-Z, a-z, 0-9, '_' and '-'"),
    ({"queues": ""}, "--queues: name at least one queue"),
    ({"concurency": 1}, "'concurency' is not an option; did you mean 'concurrency'?"),
    ({"url": "tasks.db"}, "--url: this is not a URL; write scheme://..., as in sqlite:///"),
    ({"postgres_dsn": "mysql://me:hunter2@h/db"}, "--postgres-dsn: it looks like postgresql://"),
    ({"mysql_dsn": "postgresql://me:hunter2@h/db"}, "--mysql-dsn: it looks like mysql://"),
    ({"rabbitmq_url": "http://me:hunter2@h"}, "--rabbitmq-url: it looks like amqp://"),
    ({"url": "redis://h", "driver": "sqlite"}, "--url is for the driver 'redis', but --driver says 'sqlite'"),
]


@pytest.mark.parametrize(("values", "message"), WRONG)
def test_a_wrong_value_is_one_line_that_says_what_is_accepted(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(values)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def in_the_environment(folder: Path, patch: pytest.MonkeyPatch) -> str:
    patch.setenv("ASYNCDQ_CONCURRENCY", "none")
    return "ASYNCDQ_CONCURRENCY: "


def in_the_env_file(folder: Path, patch: pytest.MonkeyPatch) -> str:
    (folder / ".env").write_text("ASYNCDQ_CONCURRENCY=none")
    return f"ASYNCDQ_CONCURRENCY in {folder / '.env'}: "


def in_pyproject(folder: Path, patch: pytest.MonkeyPatch) -> str:
    return f"concurrency in {pyproject(folder, concurrency='none')}: "


@pytest.mark.parametrize("write", [in_the_environment, in_the_env_file, in_pyproject])
def test_an_error_names_the_place_where_the_value_stands(
    write: Callable[[Path, pytest.MonkeyPatch], str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = write(folder, monkeypatch)
    with pytest.raises(ConfigurationError) as caught:
        load({"burst": True})
    assert str(caught.value).startswith(place)


def test_an_unknown_key_of_a_file_is_named_with_what_looks_like_it(folder: Path) -> None:
    file = pyproject(folder, concurency=3)
    with pytest.raises(ConfigurationError, match="did you mean 'concurrency'") as caught:
        load()
    assert str(caught.value).startswith(f"'concurency' in {file} is not an option")


@pytest.mark.parametrize(("text", "message"), [("x = ", "not valid TOML"), ("[tool.other]", "no table")])
def test_a_named_file_that_says_nothing_is_refused(text: str, message: str, folder: Path) -> None:
    (folder / "pyproject.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        load(config="pyproject.toml")


def test_a_named_file_that_is_missing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.toml cannot be read: No such file"):
        load(config="gone.toml")


def test_unknown_variables_are_ignored_and_likely_typos_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCDQ_CONCURENCY", "3")
    monkeypatch.setenv("ASYNCDQ_SERVICE_HOST", "10.0.0.1")
    assert load().concurrency == 10
    assert strays() == ["ASYNCDQ_CONCURENCY is not an option; did you mean 'ASYNCDQ_CONCURRENCY'?"]


def test_a_likely_typo_in_the_env_file_is_told_with_its_place(folder: Path) -> None:
    (folder / ".env").write_text("ASYNCDQ_CONCURENCY=3\nasyncdq_quues=high\nASYNCDQ_SERVICE_HOST=10.0.0.1\n")
    assert strays() == [
        f"ASYNCDQ_CONCURENCY in {folder / '.env'} is not an option; did you mean 'ASYNCDQ_CONCURRENCY'?",
        f"ASYNCDQ_QUUES in {folder / '.env'} is not an option; did you mean 'ASYNCDQ_QUEUES'?",
    ]


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("sqlite://data/t.db?synchronous=full", "sqlite://{folder}/data/t.db?synchronous=full"),
        (" sqlite://t.db", "sqlite://{folder}/t.db"),
        ("sqlite:///var/t.db", "sqlite:///var/t.db"),
        ("sqlite://%2Fvar/t.db", "sqlite://%2Fvar/t.db"),
        ("sqlite://:memory:", "sqlite://:memory:"),
        ("redis://localhost", "redis://localhost"),
    ],
)
def test_a_relative_url_in_a_file_counts_from_the_folder_of_that_file(
    url: str, read: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = folder / "a & b?" / "service"
    below.mkdir(parents=True)
    pyproject(below.parent, url=url)
    monkeypatch.chdir(below)
    assert load().driver_url() == read.format(folder=quote(str(below.parent)))


def test_what_the_env_file_holds_for_other_programs_is_theirs(folder: Path) -> None:
    lines = ["DATABASE_URL=postgresql://me:hunter2@h/db", "NAME=other", "ASYNCDQ_SERVICE_HOST=h", "asyncdq_name=w1"]
    (folder / ".env").write_text("\n".join(lines))
    assert load().model_fields_set == {"name"}
    assert load().name == "w1"


def test_a_path_in_the_home_of_nobody_is_refused(folder: Path) -> None:
    pyproject(folder, sqlite_path="~nobody-of-that-name/x.db")
    for values in ({}, {"config": "~nobody-of-that-name/x.toml"}, {"sqlite_path": "~nobody-of-that-name/x.db"}):
        with pytest.raises(ConfigurationError, match="there is no such home folder"):
            load(values)


def test_the_url_picks_the_driver_and_a_weaker_driver_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCDQ_DRIVER", "sqlite")
    assert load({"url": "postgresql://h/db"}).driver == "postgres"


def test_a_driver_does_not_silently_overrule_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCDQ_URL", "redis://h")
    with pytest.raises(ConfigurationError, match="ASYNCDQ_URL is for the driver 'redis', but --driver says 'sqlite'"):
        load({"driver": "sqlite"})


def test_the_database_lies_beside_the_pyproject_that_was_read_else_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = folder / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    assert load().driver_url() == f"sqlite://{below}/asyncdq.db"
    pyproject(folder)
    assert load().driver_url() == f"sqlite://{folder}/asyncdq.db"
    pyproject(folder, sqlite_path="data/my tasks.db")
    assert load().driver_url() == f"sqlite://{folder}/data/my%20tasks.db"


def test_the_place_of_a_file_is_shown_from_the_root_however_it_was_named(folder: Path) -> None:
    assert load({"sqlite_path": "x.db"}).place == f"{folder}/x.db"
    assert load({"url": "sqlite://my%20x.db?synchronous=off"}).place == f"{folder}/my x.db"
    assert load({"url": "redis://:secret@h/0"}).place == "redis://***@h/0"


def test_options_of_the_driver_travel_in_its_url_and_what_the_url_says_stays() -> None:
    own = {"sqlite_synchronous": "full"}
    assert load(own | {"url": "sqlite://x.db"}).driver_url() == "sqlite://x.db?synchronous=full"
    said = "sqlite://x.db?synchronous=off"
    assert load(own | {"url": said}).driver_url() == said
    assert load(own | {"url": "redis://h"}).driver_url() == "redis://h"


def test_options_of_postgres_travel_in_its_dsn_but_for_the_cap_that_is_the_workers() -> None:
    own = {"driver": "postgres", "postgres_dsn": "postgresql://h/db?sslmode=require", "postgres_queue_table": "jobs"}
    settings = load(own | {"postgres_max_attempts": 4})
    assert settings.driver_url() == "postgresql://h/db?sslmode=require&queue_table=jobs"
    assert (settings.attempts_cap, load({"postgres_max_attempts": 4}).attempts_cap) == (4, None)


def test_options_of_the_others_travel_in_their_urls() -> None:
    mysql = {"driver": "mysql", "mysql_queue_table": "jobs", "mysql_max_attempts": 4}
    assert load(mysql).driver_url() == "mysql://asyncdq:asyncdq@localhost:3306/asyncdq?queue_table=jobs"
    assert load(mysql).attempts_cap == 4
    rabbitmq = {"driver": "rabbitmq", "rabbitmq_exchange_name": "jobs", "rabbitmq_prefetch_count": 5}
    assert load(rabbitmq).driver_url() == "amqp://guest:guest@localhost:5672/?exchange_name=jobs&prefetch_count=5"


def test_options_of_sqs_and_keys_of_aws_travel_in_its_url_and_the_secret_is_not_shown() -> None:
    own = {"driver": "sqs", "sqs_region": "eu-west-1", "aws_access_key_id": "AKIA", "aws_secret_access_key": "hunter2"}
    keys = "aws_access_key_id=AKIA&aws_secret_access_key=hunter2"
    assert load({"driver": "sqs"}).driver_url() == "sqs://"
    assert load(own).driver_url() == f"sqs://?{keys}&region=eu-west-1"
    assert "hunter2" not in repr(load(own))
    assert "hunter2" not in masked(load(own).driver_url())


def test_options_of_redis_travel_in_its_url() -> None:
    own = {"driver": "redis", "redis_password": "p@ss", "redis_db": 2, "redis_max_connections": 3}
    assert load({"driver": "redis"}).driver_url() == "redis://localhost:6379"
    assert load(own).driver_url() == "redis://localhost:6379?db=2&max_connections=3&password=p%40ss"
    assert load(own | {"redis_url": "rediss://h/1"}).driver_url().startswith("rediss://h/1?db=2&")
    assert load({"driver": "redis", "redis_url": "redis://:hunter2@h"}).place == "redis://***@h"


def test_a_redis_url_without_a_driver_is_for_events_or_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="redis_url is set, but no driver: say --driver redis too, or"):
        load({"redis_url": "redis://h"}).driver_url()
    for said in ({"events_enable_event_emitter_redis": True}, {"driver": "sqlite"}):
        assert load({"redis_url": "redis://h", **said}).driver_url().startswith("sqlite://")


def test_a_redis_url_of_another_driver_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"redis_url: 'sqlite://x\.db' is not a URL for the driver 'redis'"):
        load({"driver": "redis", "redis_url": "sqlite://x.db"}).driver_url()


def test_a_database_in_memory_has_no_path() -> None:
    assert load({"sqlite_path": ":memory:"}).driver_url() == "sqlite://:memory:"


def test_a_password_shows_in_no_text_made_from_the_settings() -> None:
    settings = load({"url": "redis://me:hunter2@h/0"})
    assert "hunter2" not in f"{settings!r} {settings} {settings.place}"
    assert "hunter2" not in f"{load({'redis_password': 'hunter2'})!r}"
    with pytest.raises(ConfigurationError) as caught:
        load({"driver": "redis://me:hunter2@h/0", "url": "sqlite://x.db"})
    assert "hunter2" not in str(caught.value)


def test_settings_do_not_change_after_they_were_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().concurrency = 3


@pytest.mark.parametrize("url", ["sqlite://a.db", "postgres://db/a", "sqs://eu-west-1"])
def test_an_address_beside_a_url_that_is_said_less_strongly_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"sqlite": {"sqlite_path": "b.db"}, "postgres": {"postgres_dsn": "postgres://db/b"}}
    monkeypatch.setenv("ASYNCDQ_URL", url)
    with pytest.raises(ConfigurationError, match=r"has no effect beside ASYNCDQ_URL: drop one"):
        load(given.get(url.partition(":")[0], {"sqs_region": "us-west-2"}))


ADDRESSED = {
    "sqlite_path": "b.db",
    "redis_url": "redis://h",
    "postgres_dsn": "postgres://db/b",
    "mysql_dsn": "mysql://db/b",
    "rabbitmq_url": "amqp://h",
    "sqs_region": "us-west-2",
}


OTHERS = [
    (chosen, value, name)
    for chosen, value in (("url", "sqlite://a.db"), ("driver", "sqlite"), ("url", "redis://a"))
    for name in ADDRESSED
    if not value.startswith(name.partition("_")[0])
]


@pytest.mark.parametrize(("chosen", "value", "name"), OTHERS)
def test_an_address_of_another_driver_is_refused_only_where_it_is_said_more_strongly(
    chosen: str, value: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided, address = {chosen: value}, {name: ADDRESSED[name]}
    monkeypatch.setenv(f"ASYNCDQ_{name.upper()}", ADDRESSED[name])
    assert load(decided).driver_url() == load(decided | address).driver_url()
    monkeypatch.setenv(f"ASYNCDQ_{chosen.upper()}", value)
    assert load().driver_url() == load(decided | address).driver_url()
    flag = f"--{name.replace('_', '-')}"
    with pytest.raises(ConfigurationError, match=f"^{flag} has no effect beside ASYNCDQ_{chosen.upper()}, for the"):
        load(address).driver_url()


def test_a_redis_for_events_stands_beside_any_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCDQ_URL", "sqlite://a.db")
    told = {"redis_url": "redis://h"}
    assert load(told).events_url() == "redis://h"  # for who reads events, and asks for no queue
    assert load(told | {"events_enable_event_emitter_redis": True}).driver_url() == "sqlite://a.db"
    with pytest.raises(ConfigurationError, match="drop one, or say events_redis_url if it is for events"):
        load(told).driver_url()


def test_the_region_of_a_url_is_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCDQ_SQS_REGION", "us-west-2")
    assert load({"url": "sqs://eu-west-1"}).driver_url() == "sqs://eu-west-1"


@pytest.mark.parametrize("name", ["postgres_dsn", "mysql_dsn", "rabbitmq_url", "sqs_region"])
def test_an_address_without_its_driver_is_not_passed_by(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"say --driver {name.partition('_')[0]} too"):
        load({name: SAMPLES[name][0]}).driver_url()
