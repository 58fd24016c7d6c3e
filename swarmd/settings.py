"""What this process was told: flags first, then the environment, then defaults.

Everything else takes its settings as arguments; `os.environ` is read here and nowhere else. No
library is imported, and little of the standard one, because every verb passes through here before
it starts.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeVar, get_args

from swarmd.core.model.providers import NAMED_MODEL, PROVIDERS, ModelProvider
from swarmd.errors import NotFoundError, UsageError

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "console", "json"]
Durability = Literal["balanced", "strict"]
_Choice = TypeVar("_Choice", LogLevel, LogFormat, Durability)

NAMESPACE_DEFAULT: Final = "swarm"
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_{}-]{1,32}")
_REDIS_URL: Final = re.compile(
    r"rediss?(?:\+cluster)?://[^\s/?]+(?:[/?]\S*)?|rediss?\+sentinel://[^\s/?]+/[^\s/?]+\S*|unix://\S*/\S+"
)
_REDIS_URL_SHAPE: Final = (
    "redis://HOST:PORT/DB, rediss://…, unix://PATH, redis+sentinel://HOST:PORT,…/SERVICE or "
    "redis+cluster://HOST:PORT,…"
)
_SENTINEL_PASSWORD: Final = re.compile(r"[?&]sentinel_password=([^&\s]+)")
_HASH_TAG: Final = re.compile(r"\{[^{}]+\}")
_BASE_URL: Final = re.compile(r"https?://[^\s/]+\S*")

_ENVIRONMENT: Final = {
    "redis_url": "REDIS_URL",
    "redis_password_file": "REDIS_PASSWORD_FILE",
    **{name: said for row in PROVIDERS.values() for name, said in row.settings.items()},
    "model": "SWARMD_MODEL",
    "namespace": "SWARMD_NAMESPACE",
    "data": "SWARMD_DATA",
    "policies": "SWARMD_POLICIES",
    "channels": "SWARMD_CHANNELS",
    "knowledge": "SWARMD_KNOWLEDGE",
    "secret_file": "SWARMD_SECRET_FILE",
    "durability": "SWARMD_DURABILITY",
}
_FLAGS_ONLY: Final = ("log_level", "log_format")


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked settings of one process. `None` means: not set, the part itself decides.

    The fields that may hold a secret are left out of `repr`, so that a settings object in a log
    line or a traceback gives none away.
    """

    data: Path
    redis_url: str | None = field(default=None, repr=False)
    api_keys: Mapping[str, str] = field(default_factory=dict, repr=False)  # by provider
    base_urls: Mapping[str, str] = field(default_factory=dict)
    model: str | None = None
    namespace: str = NAMESPACE_DEFAULT
    policies: Path | None = None
    channels: Path | None = None
    knowledge: Path | None = None
    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"
    secret_file: Path | None = None
    durability: Durability = "balanced"
    secret: str | None = field(default=None, repr=False)  # read by the parts that seal, not here

    @classmethod
    def from_env(cls, environ: Mapping[str, str], **flags: str | Path | None) -> Settings:
        """Reads the settings. A flag that is `None` was not given; an empty variable is not set.

        Raises `UsageError` that names the flag's field or the variable, and never its value where
        that may be a secret.
        """
        said = _Said(environ, flags)
        return cls(
            data=said.data(),
            redis_url=said.redis_url(),
            api_keys=said.of_providers(said.key),
            base_urls=said.of_providers(said.base_url),
            model=said.matching(
                "model", NAMED_MODEL, "builtin, or PROVIDER:NAME as in openai:gpt-5-mini"
            ),
            namespace=said.namespace(),
            policies=said.folder("policies"),
            channels=said.folder("channels"),
            knowledge=said.folder("knowledge"),
            log_level=said.one_of("log_level", get_args(LogLevel), "info"),
            log_format=said.one_of("log_format", get_args(LogFormat), "auto"),
            secret_file=said.path("secret_file"),
            durability=said.one_of("durability", get_args(Durability), "balanced"),
        )

    @property
    def knowledge_folder(self) -> Path:
        """Where a mission's files are looked for; it need not exist."""
        return self.knowledge or self.data / "knowledge"

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must never be shown or kept: what `core.model.masking` is given."""
        known = (*self.api_keys.values(), self.secret, *_passwords_in(self.redis_url or ""))
        return tuple(value for value in known if value)


def _passwords_in(url: str) -> set[str]:
    """Of the server's address, as they stand there and as they are: a character that means
    something in a URL is written as its number.
    """
    if not url:
        return set()
    from urllib.parse import unquote

    login, at, _ = url.partition("://")[2].rpartition("@")
    found = {login.partition(":")[2]} if at else set()
    found.update(_SENTINEL_PASSWORD.findall(url))
    return found | {unquote(one) for one in found}


class _Said:
    """One reading of flags and environment, so that each field is one line above."""

    def __init__(self, environ: Mapping[str, str], flags: Mapping[str, str | Path | None]) -> None:
        unknown = sorted(set(flags) - set(_ENVIRONMENT) - set(_FLAGS_ONLY))
        assert not unknown, f"no such setting: {unknown}"
        self._environ = environ
        self._flags = flags

    def value(self, name: str) -> str | None:
        flag = self._flags.get(name)
        if flag is not None:
            return str(flag)
        # Compose hands an unset variable on as an empty one.
        return self._environ.get(_ENVIRONMENT.get(name, ""), "").strip() or None

    def label(self, name: str) -> str:
        """How the user knows this setting: by the flag where one was given, else by the
        variable.
        """
        is_flag = self._flags.get(name) is not None or name not in _ENVIRONMENT
        return f"--{name.replace('_', '-')}" if is_flag else _ENVIRONMENT[name]

    def matching(self, name: str, pattern: re.Pattern[str], shape: str) -> str | None:
        value = self.value(name)
        if value is None or pattern.fullmatch(value):
            return value
        # The address of a server may hold a password: it is described, never repeated.
        shown = "" if name == "redis_url" else f": {value!r}"
        raise UsageError(f"{self.label(name)} has the wrong shape{shown}", hint=f"expected {shape}")

    def one_of(self, name: str, allowed: tuple[_Choice, ...], default: _Choice) -> _Choice:
        value = self.value(name)
        if value is None:
            return default
        for choice in allowed:
            if value.lower() == choice:
                return choice
        raise UsageError(
            f"{self.label(name)} is {value!r}", hint=f"expected one of: {', '.join(allowed)}"
        )

    def folder(self, name: str) -> Path | None:
        value = self.value(name)
        if value is None:
            return None
        path = self._path(name, value)
        if not self._is_folder(name, path):
            raise NotFoundError(
                f"{self.label(name)}: there is no folder {path}", hint="name an existing folder"
            )
        return path

    def _is_folder(self, name: str, path: Path) -> bool:
        """False where there is nothing. Raises `UsageError` where something else is, or nobody
        may look.
        """
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(
                f"{self.label(name)}: {path}: {reason}", hint="name another folder"
            ) from error
        if not stat.S_ISDIR(mode):
            raise UsageError(f"{self.label(name)}: {path} is not a folder", hint="name a folder")
        return True

    def path(self, name: str) -> Path | None:
        value = self.value(name)
        return None if value is None else self._path(name, value)

    def data(self) -> Path:
        """It need not exist: the embedded server makes it."""
        value = self.value("data")
        if value is not None:
            path = self._path("data", value)
        else:
            state = self._environ.get("XDG_STATE_HOME", "")
            # The XDG specification has relative paths ignored.
            path = (
                Path(state if state.startswith("/") else self._home() / ".local/state") / "swarmd"
            )
        self._is_folder("data", path)
        return path

    def namespace(self) -> str:
        """With a hash tag on a cluster, where all keys of a swarm must share one slot."""
        said = (
            self.matching("namespace", _NAMESPACE, "1 to 32 of A-Z a-z 0-9 _ - { }")
            or NAMESPACE_DEFAULT
        )
        url = self.value("redis_url")
        if (
            url is None
            or not url.partition("://")[0].endswith("+cluster")
            or _HASH_TAG.search(said)
        ):
            return said
        return f"{{{said}}}"

    def redis_url(self) -> str | None:
        """The address, with the password of its file where it names none itself."""
        url = self.matching("redis_url", _REDIS_URL, _REDIS_URL_SHAPE)
        if url is None or self.value("redis_password_file") is None:
            return url
        scheme, _, rest = url.partition("://")
        login, at, place = (
            rest.partition("@") if "@" in re.split("[/?]", rest)[0] else ("", "", rest)
        )
        if at and ":" in login:
            return url
        password = self._secret("redis_password_file", "password")
        if password is None:
            raise UsageError(
                f"{self.label('redis_password_file')}: the file is empty",
                hint="`swarmd acl --generate DIR` makes a password for each user",
            )
        from urllib.parse import quote

        return f"{scheme}://{login}:{quote(password, safe='')}@{place}"

    def of_providers(self, setting: Callable[[ModelProvider], str | None]) -> dict[str, str]:
        said = {row.prefix: setting(row) for row in PROVIDERS.values()}
        return {prefix: value for prefix, value in said.items() if value is not None}

    def base_url(self, row: ModelProvider) -> str | None:
        return self.matching(row.url_setting, _BASE_URL, "http://HOST:PORT/v1 or https://…")

    def key(self, row: ModelProvider) -> str | None:
        source = row.key_setting
        key = self.value(source)
        if key is None:
            source = f"{row.key_setting}_file"
            key = self._secret(source, "key")
        if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
            raise UsageError(
                (
                    f"{self.label(source)}: the API key holds a space or a character that no HTTP "
                    "header may hold"
                ),
                hint="look for a line break or a quotation mark that was copied with it",
            )
        return key

    def _secret(self, name: str, what: str) -> str | None:
        """An empty file is no key: a container mounts its secret whether there is one or not."""
        path = self.value(name)
        if path is None:
            return None
        try:
            return self._path(name, path).read_text(encoding="utf-8").strip() or None
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            is_absent = isinstance(error, FileNotFoundError)
            raise (NotFoundError if is_absent else UsageError)(
                f"{self.label(name)}: cannot read {path}: {reason}",
                hint=f"name a readable file that holds the {what} alone",
            ) from error

    def _path(self, name: str, value: str) -> Path:
        if "\0" in value:
            raise UsageError(f"{self.label(name)} is not a path", hint="it holds a zero byte")
        if value == "~" or value.startswith("~/"):
            return self._home() / value[2:]
        try:
            return Path(value).absolute()
        except FileNotFoundError as error:
            raise UsageError(
                f"{self.label(name)}: {value} begins in a working folder that was deleted",
                hint="change to another folder, or name a whole path",
            ) from error

    def _home(self) -> Path:
        home = self._environ.get("HOME", "")
        if home.startswith("/"):
            return Path(home)
        raise UsageError("there is no home folder to keep data in", hint="set SWARMD_DATA or HOME")
