"""Which model a swarm thinks with, and opening it.

`choose` settles it once, at the start, in the order: named (`--model`, `SWARMD_MODEL`), environment
(`OPENAI_API_KEY`, `OPENAI_BASE_URL`), `policies/models.yaml`, a server on this machine, built-in.
What it found is said in one line, for whoever pays must not have to guess who is being asked.

Importing this module imports no SDK: verbs that only look start without one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import anyio

from swarmd.adapters.models.addresses import checked_key, checked_url, is_loopback
from swarmd.adapters.models.openai import http_client
from swarmd.adapters.models.openai.faults import REDIRECTS, same_host
from swarmd.adapters.models.openai.listing import Listed, listed_in
from swarmd.core.model.declarations import Models, Provider
from swarmd.errors import UsageError
from swarmd.ports.files import Files
from swarmd.ports.models import Model

if TYPE_CHECKING:
    import httpx2

    from swarmd.adapters.models.rate_limit import Pace, SharedPace

OPENAI_DEFAULT: Final = "gpt-5-mini"  # where there is a key and nothing else was said
FORMS: Final = "openai:NAME, openai (the first that the server lists), builtin or scripted:FILE"
OTHERWISE: Final = "choose another with --model PROVIDER:NAME or SWARMD_MODEL"
PROBE_SECONDS: Final = 0.5
LIST_SECONDS: Final = 10.0
# The longest lists, of gateways with a description of each model, are about one megabyte.
LIST_BYTES_MAX: Final = 8 * 1024 * 1024
LIST_REDIRECTS_MAX: Final = 4
OTHERS_SHOWN: Final = 5

# In this order the first that answers wins, however fast the others are.
LOCAL_SERVERS: Final = (
    ("Ollama", 11434),
    ("llama-server", 8080),
    ("LM Studio", 1234),
    ("vLLM", 8000),
)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What flags and the environment say. `local_servers` are tried on 127.0.0.1."""

    model: str = ""
    api_key: str = field(default="", repr=False)
    base_url: str = ""
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
        return await _named(settings.model, settings, "as named")
    if settings.api_key or settings.base_url:
        variable = "OPENAI_BASE_URL" if settings.base_url else "OPENAI_API_KEY"
        return await _named("openai", settings, f"because {variable} is set")
    if models.default:
        return await _named(models.default, settings, "as policies/models.yaml says")
    if (local := await _first_local(settings)) is not None:
        spec = f"openai:{local.model}"
        return _said(spec, local.base_url, f"found as {local.server}")
    return Choice(
        "builtin",
        "",
        "model: builtin, which is rules and retrieval and not a language model, because there is "
        "no key and"
        " no server on this machine; set OPENAI_API_KEY or OPENAI_BASE_URL, or choose with --model",
    )


def parse(spec: str) -> tuple[str, str]:
    """`PROVIDER:NAME` in two; raises `UsageError` that names the forms."""
    provider, _, name = spec.strip().partition(":")
    name = name.strip()
    is_builtin = provider == "builtin" and name in ("", "rules")  # as the built-in calls itself
    if provider == "openai" or is_builtin or (provider == "scripted" and name):
        return provider, name
    if provider == "local":
        what = f"{spec}: running a model file in this process is not part of this version"
        raise UsageError(
            what, hint="serve it with llama-server or Ollama, and name that: OPENAI_BASE_URL"
        )
    raise UsageError(f"{spec!r} names no model", hint=f"one of: {FORMS}")


async def _named(spec: str, settings: ModelSettings, reason: str) -> Choice:
    provider, name = parse(spec)
    if provider != "openai":
        return _said(spec.strip(), "", reason)
    base_url = checked_url(settings.base_url) if settings.base_url else ""
    if not base_url and not settings.api_key:
        local = await _first_local(settings)
        if local is None:
            raise UsageError(
                (
                    f"{spec} needs a server: there is no OPENAI_API_KEY, and none answers on this "
                    "machine"
                ),
                hint="set OPENAI_API_KEY, or OPENAI_BASE_URL",
            )
        base_url, name, reason = local.base_url, name or local.model, f"{reason}, at {local.server}"
    if not name:
        name = await _first_listed(base_url, settings.api_key) if base_url else OPENAI_DEFAULT
    return _said(f"openai:{name}", base_url, reason)


def _said(spec: str, base_url: str, reason: str) -> Choice:
    at = ""
    if spec.startswith("openai:"):
        parts = urlsplit(base_url or "https://api.openai.com")
        at = f" at {parts.hostname}" + (f":{parts.port}" if parts.port else "")
    return Choice(spec, base_url, f"model: {spec}{at}, {reason}; {OTHERWISE}")


# --- asking servers what they have ------------------------------------------------------------


async def _first_local(settings: ModelSettings) -> _Local | None:
    """All are asked at once, so that nothing listening costs half a second and not two."""
    found: dict[int, _Local] = {}

    async def ask(client: httpx2.AsyncClient, position: int, server: str, port: int) -> None:
        base_url = f"http://127.0.0.1:{port}/v1"
        names = (await _listed(client, base_url, "", PROBE_SECONDS)).names
        if names:
            found[position] = _Local(server, base_url, names[0])

    # One client for all: it loads certificates, which takes longer than a server on this machine.
    async with _client("http://127.0.0.1") as client, anyio.create_task_group() as tasks:
        for position, (server, port) in enumerate(settings.local_servers):
            tasks.start_soon(ask, client, position, server, port)
    return found[min(found)] if found else None


async def _first_listed(base_url: str, api_key: str) -> str:
    async with _client(base_url) as client:
        listed = await _listed(client, base_url, api_key, LIST_SECONDS)
    if not listed.names:
        others = ", ".join(listed.others[:OTHERS_SHOWN])
        what = (
            f"none under /models that can chat, only {others}" if others else "none under /models"
        )
        raise UsageError(
            f"no model was named, and the server of OPENAI_BASE_URL lists {what}",
            hint="name one: --model openai:NAME; a base URL usually ends in /v1",
        )
    return listed.names[0]


def _client(base_url: str) -> httpx2.AsyncClient:
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


async def _listed(
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
        self._pace: Pace | None = None
        self.prices: list[str] = []  # a line for each model that is not of this process

    def open(self, spec: str = "") -> Model:
        """The model of a role's `spec`, or the swarm's own where it names none.

        Raises `UsageError` for one that cannot be meant, `RefusedError` for one whose price must be
        known.
        """
        wanted = spec.strip() or self._choice.spec
        if wanted not in self._open:
            provider, name = parse(wanted)
            build: dict[str, Callable[[str], Model]] = {
                "openai": self._openai,
                "builtin": self._builtin,
                "scripted": _scripted,
            }
            self._open[wanted] = build[provider](name)
        return self._open[wanted]

    async def aclose(self) -> None:
        """Closes them all; a connection that hangs does not hold up the end of a process."""
        with anyio.move_on_after(5, shield=True):
            for model in self._open.values():
                await model.aclose()
        self._open.clear()

    def _openai(self, name: str) -> Model:
        from swarmd.adapters.models.openai.model import OpenAIModel
        from swarmd.adapters.models.prices import said_of, tariff_of
        from swarmd.adapters.models.rate_limit import Pace

        if not name:
            raise UsageError("openai names no model here", hint="write openai:NAME")
        provider = self._models.provider("openai")
        if self._pace is None:
            self._pace = Pace(
                per_minute=provider.calls_per_minute,
                at_once=provider.calls_at_once,
                shared=self._shared("openai", provider) if self._shared else None,
            )
        base_url = self._choice.base_url or self._settings.base_url
        spec = f"openai:{name}"
        tariff = tariff_of(spec, base_url, self._models)
        self.prices.append(said_of(spec, tariff))
        return OpenAIModel(
            name,
            base_url=base_url,
            api_key=self._settings.api_key,
            provider=provider,
            pace=self._pace,
            tariff=tariff,
        )

    def _builtin(self, name: str) -> Model:
        from swarmd.adapters.models.builtin import BuiltinModel

        return BuiltinModel(self._files)


def _scripted(path: str) -> Model:
    from swarmd.adapters.models.scripted import ScriptedModel

    return ScriptedModel.from_file(path)
