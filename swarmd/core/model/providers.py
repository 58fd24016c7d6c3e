"""The providers of models: what each is called, where it is asked, and what tells its key.

A new provider is a row here and the module that the row names. Settings, declarations, the choice
of a model and its price ask the rows. Nothing here imports a library, for every verb reads the
settings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ModelProvider:
    """`prefix` is what stands before the colon of a spec, and `form` shows people a whole one.

    `module`, under `swarmd.adapters.models`, has the function `open_model`; it is imported when the
    first model is opened, for an SDK takes half a second. `only_model` is the one name of a
    provider that has no other, and `default_model` the one that is meant where a server lists its
    models and none was named; where a row has neither, a spec has to name one. Variables of the
    environment are empty where the provider takes no key, or has no address.
    """

    prefix: str
    form: str
    module: str
    means: str
    is_free: bool
    only_model: str = ""
    default_model: str = ""
    default_url: str = ""
    key_variable: str = ""
    url_variable: str = ""

    @property
    def is_remote(self) -> bool:
        """Whether a server is asked, so that there is an address to it."""
        return bool(self.default_url)

    @property
    def may_stand_alone(self) -> bool:
        """Whether the prefix without a name says which model is meant."""
        return bool(self.only_model or self.default_model)

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings that are its own, and the variable of the environment that tells each."""
        named = {}
        if self.key_variable:
            named[self.key_setting] = self.key_variable
            named[f"{self.key_setting}_file"] = f"{self.key_variable}_FILE"
        if self.url_variable:
            named[self.url_setting] = self.url_variable
        return named

    @property
    def key_setting(self) -> str:
        return f"{self.prefix}_api_key"

    @property
    def url_setting(self) -> str:
        return f"{self.prefix}_base_url"

    def has_model(self, name: str) -> bool:
        if self.only_model:
            return name in ("", self.only_model)
        return bool(name or self.default_model)


# In this order the first that has a key or an address in the environment is asked.
_ROWS: Final = (
    ModelProvider(
        "openai",
        form="openai:NAME",
        module="openai.model",
        means="that model of the server at the address, or of OpenAI",
        is_free=False,
        default_model="gpt-5-mini",
        default_url="https://api.openai.com/v1",
        key_variable="OPENAI_API_KEY",
        url_variable="OPENAI_BASE_URL",
    ),
    ModelProvider(
        "builtin",
        form="builtin",
        module="builtin.model",
        means="rules and retrieval, and not a language model",
        is_free=True,
        only_model="rules",
    ),
    ModelProvider(
        "scripted",
        form="scripted:FILE",
        module="scripted",
        means="answers from a file",
        is_free=True,
    ),
)
PROVIDERS: Final[Mapping[str, ModelProvider]] = {row.prefix: row for row in _ROWS}
FORMS: Final = tuple(row.form for row in _ROWS)

# As declarations name a model: what a server lists first is no name that they could check.
_ALONE: Final = "|".join(row.prefix for row in _ROWS if row.only_model)
DECLARED_MODEL: Final = re.compile(rf"(?:{_ALONE})|(?:{'|'.join(PROVIDERS)}):\S+")
# As flags and the environment name one. The registry tells of a prefix that there is not.
_SHORT: Final = "|".join(row.prefix for row in _ROWS if row.may_stand_alone)
NAMED_MODEL: Final = re.compile(rf"(?:{_SHORT})|[a-z][a-z0-9_]*:\S.*")
# A model that a price can be named for: the others cost nothing.
PRICED_PATTERN: Final = "|".join(rf"^{row.prefix}:\S+$" for row in _ROWS if not row.is_free)
