"""Settings: flags beat the environment, wrong ones are named, secrets are shown nowhere."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from swarmd import logs
from swarmd.core.model.masking import MASK
from swarmd.errors import NotFoundError, UsageError
from swarmd.settings import Settings

HOME = {"HOME": "/home/someone"}


def test_nothing_said_gives_the_defaults() -> None:
    assert Settings.from_env(HOME) == Settings(data=Path("/home/someone/.local/state/swarmd"))
    assert Settings.from_env(HOME).namespace == "swarm"


def test_every_variable_is_read(tmp_path: Path) -> None:
    environ = {
        "REDIS_URL": "rediss://user:word@host:1/2",
        "OPENAI_API_KEY": "sk-abc",
        "OPENAI_BASE_URL": "http://localhost:11434/v1",
        "SWARMD_MODEL": "openai:llama3.2:3b",
        "SWARMD_NAMESPACE": "{swarm}",
        "SWARMD_DATA": str(tmp_path / "data"),
        "SWARMD_POLICIES": str(tmp_path),
        "SWARMD_CHANNELS": str(tmp_path),
        "SWARMD_KNOWLEDGE": str(tmp_path),
    }
    assert Settings.from_env(environ) == Settings(
        redis_url="rediss://user:word@host:1/2",
        api_keys={"openai": "sk-abc"},
        base_urls={"openai": "http://localhost:11434/v1"},
        model="openai:llama3.2:3b",
        namespace="{swarm}",
        data=tmp_path / "data",
        policies=tmp_path,
        channels=tmp_path,
        knowledge=tmp_path,
    )


def test_a_flag_beats_the_environment_and_a_flag_not_given_does_not() -> None:
    environ = HOME | {"SWARMD_NAMESPACE": "theirs", "SWARMD_MODEL": "builtin"}
    settings = Settings.from_env(
        environ, namespace="ours", model=None, log_format="json", log_level="DEBUG"
    )
    assert (settings.namespace, settings.model) == ("ours", "builtin")
    assert (settings.log_format, settings.log_level) == ("json", "debug")


@pytest.mark.parametrize(
    "variable", ["REDIS_URL", "OPENAI_API_KEY", "SWARMD_NAMESPACE", "SWARMD_POLICIES"]
)
def test_an_empty_variable_is_not_set(variable: str) -> None:
    assert Settings.from_env(HOME | {variable: ""}) == Settings.from_env(HOME)


@pytest.mark.parametrize(
    ("environ", "data"),
    [
        ({"XDG_STATE_HOME": "/var/state"}, "/var/state/swarmd"),
        ({"XDG_STATE_HOME": "relative"} | HOME, "/home/someone/.local/state/swarmd"),
        ({"SWARMD_DATA": "~/swarm"} | HOME, "/home/someone/swarm"),
        ({"SWARMD_DATA": "/srv/swarm", "XDG_STATE_HOME": "/var/state"}, "/srv/swarm"),
    ],
)
def test_the_data_folder_follows_the_xdg_rules(environ: dict[str, str], data: str) -> None:
    assert Settings.from_env(environ).data == Path(data)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "http://localhost"),
        ("REDIS_URL", "unix://"),
        ("OPENAI_BASE_URL", "localhost:11434"),
        ("SWARMD_MODEL", "gpt-5-mini"),
        ("SWARMD_MODEL", "openai:"),
        ("SWARMD_NAMESPACE", "two words"),
        ("SWARMD_NAMESPACE", "a:b"),
        ("SWARMD_NAMESPACE", "x" * 33),
        ("SWARMD_KNOWLEDGE", "/dev/null"),
        ("SWARMD_DATA", "a\0b"),
    ],
)
def test_a_wrong_value_names_its_variable_and_a_way_out(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=name) as caught:
        Settings.from_env(HOME | {name: value})
    assert caught.value.hint


@pytest.mark.parametrize(
    "name", ["SWARMD_POLICIES", "SWARMD_CHANNELS", "SWARMD_KNOWLEDGE", "OPENAI_API_KEY_FILE"]
)
def test_a_file_or_folder_that_is_not_there_is_not_found(name: str) -> None:
    with pytest.raises(NotFoundError, match=name) as caught:
        Settings.from_env(HOME | {name: "/does/not/exist"})
    assert caught.value.hint


def test_a_path_that_begins_in_a_folder_that_was_deleted_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(UsageError, match="SWARMD_DATA: data begins in a working folder"):
        Settings.from_env(HOME | {"SWARMD_DATA": "data"})


def test_a_wrong_flag_is_named_as_a_flag() -> None:
    with pytest.raises(UsageError, match="--log-level is 'loud'"):
        Settings.from_env(HOME, log_level="loud")
    with pytest.raises(UsageError, match="--namespace"):
        Settings.from_env(HOME | {"SWARMD_NAMESPACE": "good"}, namespace="not good")


def test_no_home_is_a_clear_error_only_where_one_is_needed() -> None:
    with pytest.raises(UsageError, match="no home folder"):
        Settings.from_env({})
    assert Settings.from_env({"SWARMD_DATA": "/srv"}).data == Path("/srv")


def test_the_key_may_come_from_a_file_which_may_be_empty(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("sk-from-a-file\n")
    assert (
        Settings.from_env(HOME | {"OPENAI_API_KEY_FILE": str(path)}).api_keys["openai"]
        == "sk-from-a-file"
    )
    both = HOME | {"OPENAI_API_KEY": "sk-said", "OPENAI_API_KEY_FILE": str(path)}
    assert Settings.from_env(both).api_keys == {"openai": "sk-said"}
    path.write_text("\n")
    assert Settings.from_env(HOME | {"OPENAI_API_KEY_FILE": str(path)}).api_keys == {}


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("redis://swarm-worker@host:7000/2", "redis://swarm-worker:p%2F%40s@host:7000/2"),
        ("redis://host", "redis://:p%2F%40s@host"),
        ("rediss://u@host?ssl_ca_certs=/x@y.pem", "rediss://u:p%2F%40s@host?ssl_ca_certs=/x@y.pem"),
        ("unix://u@/run/a@b.sock", "unix://u:p%2F%40s@/run/a@b.sock"),
        ("unix:///run/a@b.sock", "unix://:p%2F%40s@/run/a@b.sock"),
        ("redis://host?name=a@b", "redis://:p%2F%40s@host?name=a@b"),
        ("redis://u:mine@host", "redis://u:mine@host"),
    ],
)
def test_the_password_of_redis_may_come_from_a_file(tmp_path: Path, url: str, whole: str) -> None:
    path = tmp_path / "password"
    path.write_text("p/@s\n")
    said = HOME | {"REDIS_URL": url, "REDIS_PASSWORD_FILE": str(path)}
    assert Settings.from_env(said).redis_url == whole
    assert Settings.from_env(HOME | {"REDIS_PASSWORD_FILE": str(path)}).redis_url is None
    path.write_text("\n")
    if whole != url:
        with pytest.raises(UsageError, match="REDIS_PASSWORD_FILE: the file is empty"):
            Settings.from_env(said)


def test_secrets_are_in_no_repr_and_no_error() -> None:
    settings = Settings.from_env(
        HOME | {"OPENAI_API_KEY": "sk-abc", "REDIS_URL": "redis://u:hidden@host"}
    )
    assert "sk-abc" not in repr(settings)
    assert "hidden" not in repr(settings)
    for wrong in ({"REDIS_URL": "reddis://u:hidden@host"}, {"OPENAI_API_KEY": "hidden key"}):
        with pytest.raises(UsageError) as caught:
            Settings.from_env(HOME | wrong)
        assert "hidden" not in caught.value.what + caught.value.hint


@given(st.text(max_size=40))
def test_any_namespace_is_either_taken_as_it_is_or_refused(name: str) -> None:
    try:
        taken = Settings.from_env(HOME, namespace=name).namespace
    except UsageError:
        return
    assert taken == name
    assert 1 <= len(taken) <= 32
    assert set(taken) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_{}-")


def test_reading_settings_loads_nothing_that_is_slow() -> None:
    code = "import sys, swarmd.settings, swarmd.logs; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"pydantic", "structlog", "redis", "asyncio", "rich"} & set(loaded.stdout.split())


# --- logs -------------------------------------------------------------------------------------

SECRET = "correct-horse"


def configured(form: str = "json", stream: io.StringIO | None = None) -> io.StringIO:
    stream = stream or io.StringIO()
    assert form in ("auto", "console", "json")
    logs.configure(level="debug", form=form, secrets=[SECRET, "no"], stream=stream)  # type: ignore[arg-type]  # a literal, asserted
    return stream


@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_are_masked_wherever_they_stand(form: str) -> None:
    stream = configured(form)
    log = logs.logger("test")
    log.info(
        f"with {SECRET} in it",
        nested={"list": [SECRET, {"deep": f"x{SECRET}"}]},
        raw=SECRET.encode(),
    )
    log.info(
        "shaped", key="sk-proj-0123456789abcdef", header="Authorization: Bearer abcdef0123456789"
    )
    log.info("url", url="rediss://user:pass@word@host:6379/0", anonymous="redis://:password@host")
    try:
        raise ValueError(SECRET)  # noqa: TRY301 (its traceback is the point)
    except ValueError:
        log.exception("failed")
    logging.getLogger("library").warning("heard %s", SECRET)
    said = stream.getvalue()
    assert said.count("\n") >= 5
    for secret in (SECRET, "0123456789abcdef", "abcdef0123456789", "pass@word", ":password@"):
        assert secret not in said
    assert f"ValueError: {MASK}" in said
    assert f"user:{MASK}@host:6379/0" in said
    assert "no" in said, "what is too short to be a secret is not one"


def test_without_a_terminal_each_line_is_json_with_its_facts() -> None:
    stream = configured("auto")
    logs.logger("swarmd.here").warning("something", count=3, agent="a-1", nothing=None)
    [line] = stream.getvalue().splitlines()
    fact = json.loads(line)
    assert fact.pop("timestamp").endswith("Z")
    assert fact == {
        "message": "something",
        "level": "warning",
        "logger": "swarmd.here",
        "count": 3,
        "agent": "a-1",
        "nothing": None,
    }


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_lines_are_for_people_and_no_color_is_respected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = configured("auto", Terminal())
    logs.logger("test").info("colored", count=1)
    assert "\x1b[" in stream.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    stream = configured("auto", Terminal())
    logs.logger("test").info("plain", count=1)
    assert "\x1b[" not in stream.getvalue()
    assert "count=1" in stream.getvalue()


def test_unconfigured_lines_go_to_standard_error_too(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.reset_defaults()
    logs.logger("test").error("early")
    said = capsys.readouterr()
    assert said.out == ""
    assert "early" in said.err


def test_libraries_are_heard_from_warning_up() -> None:
    stream = configured()
    logging.getLogger("httpx").info("a whole request")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("url", "said", "meant"),
    [
        ("redis+cluster://a:1,b", "swarm", "{swarm}"),
        ("rediss+cluster://a:1", "my{tag}", "my{tag}"),
        ("redis+sentinel://a:1,b/main", "swarm", "swarm"),
        ("redis://a", "swarm", "swarm"),
    ],
)
def test_a_namespace_gets_its_hash_tag_on_a_cluster(url: str, said: str, meant: str) -> None:
    environment = HOME | {"REDIS_URL": url, "SWARMD_NAMESPACE": said}
    assert Settings.from_env(environment).namespace == meant


@pytest.mark.parametrize(
    "url",
    ["redis+sentinel://a:1", "redis+sentinel:///main", "redis+other://a", "unix+cluster:///a"],
)
def test_an_address_of_many_in_the_wrong_shape_is_told_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError) as told:
        Settings.from_env(HOME | {"REDIS_URL": url})
    assert url not in told.value.what
    assert "redis+sentinel://HOST:PORT" in told.value.hint


def test_durability_is_balanced_unless_it_is_said() -> None:
    assert Settings.from_env(HOME).durability == "balanced"
    assert Settings.from_env(HOME | {"SWARMD_DURABILITY": "strict"}).durability == "strict"
    with pytest.raises(UsageError, match="SWARMD_DURABILITY"):
        Settings.from_env(HOME | {"SWARMD_DURABILITY": "no"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SWARMD_DATA", "FILE"),
        ("SWARMD_DATA", "FILE/below"),
        ("SWARMD_DATA", "/" + "x" * 300),
        ("SWARMD_POLICIES", "FILE"),
        ("SWARMD_POLICIES", "/" + "x" * 300),
        ("OPENAI_API_KEY", "sk-two words"),
        ("OPENAI_API_KEY_FILE", "FILE"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(name: str, value: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("two words\n")
    with pytest.raises(UsageError) as told:
        Settings.from_env(HOME | {name: value.replace("FILE", str(tmp_path / "file"))})
    assert told.value.what.startswith(f"{name}:")
    assert "two words" not in told.value.what
