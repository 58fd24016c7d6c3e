"""Which model a swarm thinks with, and opening it.

`choose` settles it once, at the start, in the order: named (`--model`, `SWARMD_MODEL`), environment
(a provider's key or address), `policies/models.yaml`, a server on this machine, built-in. Which
providers there are, `core/model/providers.py` says.
What it found is said in one line, for whoever pays must not have to guess who is being asked.

Importing this module imports no SDK: verbs that only look start without one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import anyio

from swarmd.adapters.models.addresses import checked_key, checked_url, is_loopback
from swarmd.adapters.models.openai import http_client
from swarmd.adapters.models.openai.faults import REDIRECTS, same_host
from swarmd.adapters.models.openai.listing import Listed, listed_in
from swarmd.adapters.models.opening import Opening
from swarmd.core.model.declarations import Models, Provider
from swarmd.core.model.providers import FORMS, PROVIDERS, ModelProvider
from swarmd.core.model.records import CallPrice
from swarmd.errors import UsageError
from swarmd.ports.files import Files
from swarmd.ports.models import Model

if TYPE_CHECKING:
    import httpx2

    from swarmd.adapters.models.prices import Tariff
    from swarmd.adapters.models.rate_limit import Pace, SharedPace

OTHERWISE: Final = "choose another with --model PROVIDER:NAME or SWARMD_MODEL"
PROBE_SECONDS: Final = 0.5
LIST_SECONDS: Final = 10.0
# The longest lists, of gateways with a description of each model, are about one megabyte.
LIST_BYTES_MAX: Final = 8 * 1024 * 1024
LIST_REDIRECTS_MAX: Final = 4
OTHERS_SHOWN: Final = 5

# They speak OpenAI's form. In this order the first that answers wins, however fast the others are.
LOCAL_FORM: Final = "openai"
LOCAL_SERVERS: Final = (
    ("Ollama", 11434),
    ("llama-server", 8080),
    ("LM Studio", 1234),
    ("vLLM", 8000),
)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What flags and the environment say: keys and addresses by provider. `local_servers` are
    tried on 127.0.0.1.
    """

    model: str = ""
    api_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    base_urls: Mapping[str, str] = field(default_factory=dict)
    local_servers: tuple[tuple[str, int], ...] = LOCAL_SERVERS


@dataclass(frozen=True, slots=True)
class Choice:
    """`why` is the line for standard error. `base_url` is empty where no server is asked or
    OpenAI's own is.
    """

    spec: str
    base_url: str
    why: str


@dataclass(frozen=True, slots=True)
class _Local:
    server: str
    base_url: str
    model: str


async def choose(settings: ModelSettings, models: Models) -> Choice:
    """Raises `UsageError` where what was named can't be meant, or a named server lists no model."""
    if settings.model:
        return await _choose_named(settings.model, settings, "as named")
    for row in PROVIDERS.values():
        if variable := _variable_set(row, settings):
            return await _choose_named(row.prefix, settings, f"because {variable} is set")
    if models.default:
        return await _choose_named(models.default, settings, "as policies/models.yaml says")
    if (local := await _first_local(settings)) is not None:
        spec = f"{LOCAL_FORM}:{local.model}"
        return _describe_choice(spec, local.base_url, f"found as {local.server}")
    return Choice(
        "builtin",
        "",
        "model: builtin, which is rules and retrieval and not a language model, because there is "
        "no key and no server on this machine; set OPENAI_API_KEY or OPENAI_BASE_URL, or choose "
        "with --model",
    )


def parse(spec: str) -> tuple[str, str]:
    """`PROVIDER:NAME` in two; raises `UsageError` that names the forms."""
    prefix, _, name = spec.strip().partition(":")
    name = name.strip()
    row = PROVIDERS.get(prefix)
    if row is not None and row.has_model(name):
        return prefix, name
    if prefix == "local":
        what = f"{spec}: running a model file in this process is not part of this version"
        raise UsageError(
            what, hint="serve it with llama-server or Ollama, and name that: OPENAI_BASE_URL"
        )
    raise UsageError(f"{spec!r} names no model", hint=f"one of: {', '.join(FORMS)}")


def _variable_set(row: ModelProvider, settings: ModelSettings) -> str:
    """The variable of the environment that has this provider asked; empty where none is set."""
    if settings.base_urls.get(row.prefix):
        return row.url_variable
    return row.key_variable if settings.api_keys.get(row.prefix) else ""


async def _choose_named(spec: str, settings: ModelSettings, reason: str) -> Choice:
    prefix, name = parse(spec)
    row = PROVIDERS[prefix]
    if not row.is_remote:
        return _describe_choice(spec.strip(), "", reason)
    said_url, key = settings.base_urls.get(prefix, ""), settings.api_keys.get(prefix, "")
    base_url = checked_url(said_url) if said_url else ""
    if not base_url and not key:
        local = await _local_instead(spec, row, settings)
        base_url, name, reason = local.base_url, name or local.model, f"{reason}, at {local.server}"
    if not name:
        name = await _first_listed(row, base_url, key) if base_url else row.default_model
    return _describe_choice(f"{prefix}:{name}", base_url, reason)


async def _local_instead(spec: str, row: ModelProvider, settings: ModelSettings) -> _Local:
    """A server of this machine, for a provider without key and address. Raises `UsageError`."""
    local = await _first_local(settings) if row.prefix == LOCAL_FORM else None
    if local is None:
        none = ", and none answers on this machine" if row.prefix == LOCAL_FORM else ""
        variables = [name for name in (row.key_variable, row.url_variable) if name]
        raise UsageError(
            f"{spec} needs a server: there is no {variables[0]}{none}",
            hint=f"set {', or '.join(variables)}",
        )
    return local


def _describe_choice(spec: str, base_url: str, reason: str) -> Choice:
    at, row = "", PROVIDERS[spec.partition(":")[0]]
    if row.is_remote:
        parts = urlsplit(base_url or row.default_url)
        at = f" at {parts.hostname}" + (f":{parts.port}" if parts.port else "")
    return Choice(spec, base_url, f"model: {spec}{at}, {reason}; {OTHERWISE}")


# --- asking servers what they have ------------------------------------------------------------


async def _first_local(settings: ModelSettings) -> _Local | None:
    """All are asked at once, so that nothing listening costs half a second and not two."""
    found: dict[int, _Local] = {}

    async def ask(client: httpx2.AsyncClient, position: int, server: str, port: int) -> None:
        base_url = f"http://127.0.0.1:{port}/v1"
        names = (await _list_models(client, base_url, "", PROBE_SECONDS)).names
        if names:
            found[position] = _Local(server, base_url, names[0])

    # One client for all: it loads certificates, which takes longer than a server on this machine.
    async with _open_client("http://127.0.0.1") as client, anyio.create_task_group() as tasks:
        for position, (server, port) in enumerate(settings.local_servers):
            tasks.start_soon(ask, client, position, server, port)
    return found[min(found)] if found else None


async def _first_listed(row: ModelProvider, base_url: str, api_key: str) -> str:
    async with _open_client(base_url) as client:
        listed = await _list_models(client, base_url, api_key, LIST_SECONDS)
    if not listed.names:
        others = ", ".join(listed.others[:OTHERS_SHOWN])
        what = (
            f"none under /models that can chat, only {others}" if others else "none under /models"
        )
        raise UsageError(
            f"no model was named, and the server of {row.url_variable} lists {what}",
            hint=f"name one: --model {row.form}; a base URL usually ends in /v1",
        )
    return listed.names[0]


def _open_client(base_url: str) -> httpx2.AsyncClient:
    import ssl

    import httpx2

    reads_environment = not is_loopback(base_url)
    # To read the machine's certificates takes longer than a server of this machine does to answer,
    # and over plain HTTP there is nothing to trust.
    trusted = True if base_url.startswith("https") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return http_client.build(
        lambda: httpx2.AsyncClient(timeout=None, trust_env=reads_environment, verify=trusted),
        base_url,
        reads_environment=reads_environment,
    )


async def _list_models(
    client: httpx2.AsyncClient, base_url: str, api_key: str, seconds: float
) -> Listed:
    """The models that a server lists, in its order; none where it is no such server."""
    import httpx2

    headers = {"Authorization": f"Bearer {checked_key(api_key)}"} if api_key else {}
    with anyio.move_on_after(seconds):
        try:
            return listed_in(await _list_page(client, f"{base_url}/models", headers))
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, RecursionError):
            return Listed()
    return Listed()


async def _list_page(client: httpx2.AsyncClient, url: str, headers: Mapping[str, str]) -> Any:
    """The list, behind a redirect on the same host too; `None` where the server has none."""
    from swarmd.adapters.models.openai.body import beginning_of  # it loads the HTTP client

    for _ in range(LIST_REDIRECTS_MAX):
        async with client.stream("GET", url, headers=headers) as response:
            if response.status_code == 200:
                return json.loads(
                    (await beginning_of(response, LIST_BYTES_MAX)).decode("utf-8-sig")
                )
            location = response.headers.get("location", "")
            target = same_host(url, location) if response.status_code in REDIRECTS else None
        if target is None:
            return None
        url = target
    return None


# --- opening ----------------------------------------------------------------------------------


class OpenModels:
    """The models that one process has open: each spec once, and one pace for all of a provider."""

    def __init__(
        self,
        choice: Choice,
        settings: ModelSettings,
        models: Models,
        files: Files,
        shared: Callable[[str, Provider], SharedPace] | None = None,
    ) -> None:
        """`shared` is what makes a provider's pace that of all workers; without it, it is this
        process's.
        """
        self._shared = shared
        self._choice = choice
        self._settings = settings
        self._models = models
        self._files = files
        self._open: dict[str, Model] = {}
        self._paces: dict[str, Pace] = {}
        self._tariffs: dict[tuple[str, str], Tariff | None] = {}
        self.prices: list[str] = []  # a line for each model that is not of this process

    def open(self, spec: str = "") -> Model:
        """The model of a role's `spec`, or the swarm's own where it names none.

        Raises `UsageError` for one that cannot be meant, `RefusedError` for one whose price must be
        known.
        """
        wanted = spec.strip() or self._choice.spec
        if wanted not in self._open:
            self._open[wanted] = self._open_model(*parse(wanted))
        return self._open[wanted]

    def price(self) -> CallPrice | None:
        """Of the swarm's own model; `None` where nobody knows it."""
        prefix, name = parse(self._choice.spec)
        if PROVIDERS[prefix].is_free:
            return CallPrice()
        self.open()
        tariff = self._tariffs[prefix, name]
        return None if tariff is None else tariff.of_calls(datetime.now(UTC))

    async def aclose(self) -> None:
        """Closes them all; a connection that hangs does not hold up the end of a process."""
        with anyio.move_on_after(5, shield=True):
            for model in self._open.values():
                await model.aclose()
        self._open.clear()

    def _open_model(self, prefix: str, name: str) -> Model:
        row = PROVIDERS[prefix]
        if row.is_remote and not name:
            raise UsageError(f"{prefix} names no model here", hint=f"write {row.form}")
        base_url = self._base_url(prefix)
        opening = Opening(
            name=name,
            base_url=base_url,
            api_key=self._settings.api_keys.get(prefix, ""),
            provider=self._models.provider(prefix),
            files=self._files,
            pace=partial(self._pace_of, prefix),
            tariff=None if row.is_free else self._tariff_for(prefix, name, base_url),
        )
        return _opener_of(row)(opening)

    def _base_url(self, prefix: str) -> str:
        """The address that was chosen, where this provider was; else what was said of it."""
        is_chosen = self._choice.spec.partition(":")[0] == prefix
        chosen = self._choice.base_url if is_chosen else ""
        return chosen or self._settings.base_urls.get(prefix, "")

    def _pace_of(self, prefix: str) -> Pace:
        from swarmd.adapters.models.rate_limit import Pace

        if prefix not in self._paces:
            provider = self._models.provider(prefix)
            self._paces[prefix] = Pace(
                per_minute=provider.calls_per_minute,
                at_once=provider.calls_at_once,
                shared=self._shared(prefix, provider) if self._shared else None,
            )
        return self._paces[prefix]

    def _tariff_for(self, prefix: str, name: str, base_url: str) -> Tariff | None:
        from swarmd.adapters.models.prices import said_of, tariff_of

        spec = f"{prefix}:{name}"
        tariff = self._tariffs[prefix, name] = tariff_of(spec, base_url, self._models)
        self.prices.append(said_of(spec, tariff))
        return tariff


def _opener_of(row: ModelProvider) -> Callable[[Opening], Model]:
    open_model: Callable[[Opening], Model] = import_module(
        f"swarmd.adapters.models.{row.module}"
    ).open_model
    return open_model
