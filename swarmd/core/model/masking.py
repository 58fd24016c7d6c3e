"""Secrets taken out of a text: the one function for prompts, answers, results of functions, the
record, log lines, the journal and the store. Pure.

It knows two kinds: values that this process was given (keys, passwords, the swarm's secret), and
shapes by which a secret of anybody is known. Invariant: what was masked is not changed by masking
it again, and the same text is always masked alike, so that a digest of it is stable. The number of
lines stays as it is, for what is read is cited by line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import lru_cache
from typing import Any, Final, TypeVar

V = TypeVar("V")

MASK: Final = "[secret masked]"
# A shorter "secret" is found inside ordinary words, or is one: the key that a local server is given
# is often its own name.
SECRET_CHARS_MIN: Final = 8
# Of the last texts of such a length the outcome is remembered: 32 MB at most.
_REMEMBERED: Final = 128
_WORTH_REMEMBERING: Final = range(1_000, 128_000)


@dataclass(frozen=True, slots=True)
class _Shape:
    """A kind of secret. It is looked for only where one of `signs` stands, which is cheap to find:
    a prompt of a hundred thousand characters has none of most."""

    signs: tuple[str, ...]
    pattern: re.Pattern[str]
    into: str | Callable[[re.Match[str]], str] = MASK


def _lines_masked(found: re.Match[str]) -> str:
    return "\n".join([MASK] * (found[0].count("\n") + 1))


def _shape_of_prefix(prefix: str, rest: str) -> _Shape:
    """What begins with a provider's own sign, where no word goes on before it."""
    sign = re.escape(prefix)
    return _Shape((prefix,), re.compile(rf"{sign}(?<![A-Za-z0-9_]{sign}){rest}"))


_KEY_NAME: Final = r"(?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
_SHAPES: Final = (
    # With its end, or, where that was cut off, as far as lines of nothing but its characters go.
    _Shape(
        ("PRIVATE KEY",),
        re.compile(
            rf"-----BEGIN {_KEY_NAME}(?:[\s\S]{{0,16384}}?-----END {_KEY_NAME}"
            r"|(?:(?:\\n|\s)*[A-Za-z0-9+/=]{16,})*)"
        ),
        _lines_masked,
    ),
    # The password of a URL. A quotation mark ends it: else one would be taken out of JSON.
    _Shape(
        ("://",),
        re.compile(r"""(://[^\s/:@"'<>]{0,256}:)[^\s/"'<>`\\]{1,1024}@"""),
        rf"\1{MASK}@",
    ),
    # A digit is asked for, or "Bearer authentication" would be taken for a token.
    _Shape(
        ("earer", "EARER"),
        re.compile(r"(?i)\b(bearer\s+)(?=[A-Za-z._~+/=-]{0,4096}\d)[A-Za-z0-9._~+/=-]{8,}"),
        rf"\1{MASK}",
    ),
    _Shape(
        ("asic ",),
        re.compile(r"(?i)\b(authorization[\"']?\s*[:=]\s*[\"']?basic\s+)[A-Za-z0-9+/=]{8,}"),
        rf"\1{MASK}",
    ),
    _Shape(
        ("secret_access_key", "SECRET_ACCESS_KEY", "SecretAccessKey"),
        re.compile(r"(?i)(secret_?access_?key[\"']?\s*[:=]\s*[\"']?)[A-Za-z0-9/+]{40}"),
        rf"\1{MASK}",
    ),
    _Shape(("eyJ",), re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}")),  # a JSON web token
    _shape_of_prefix("sk-", r"[A-Za-z0-9_-]{8,}"),  # OpenAI, Anthropic, OpenRouter and others
    _shape_of_prefix("sk_live_", r"[A-Za-z0-9]{8,}"),
    _shape_of_prefix("rk_live_", r"[A-Za-z0-9]{8,}"),
    _shape_of_prefix("gsk_", r"[A-Za-z0-9]{20,}"),
    _shape_of_prefix("xai-", r"[A-Za-z0-9]{20,}"),
    _shape_of_prefix("hf_", r"[A-Za-z0-9]{30,}"),
    _shape_of_prefix("AIza", r"[A-Za-z0-9_-]{35}"),
    _Shape(("gh",), re.compile(r"gh(?<![A-Za-z0-9_]gh)[opsru]_[A-Za-z0-9]{30,}")),
    _shape_of_prefix("github_pat_", r"[A-Za-z0-9_]{20,}"),
    _shape_of_prefix("glpat-", r"[A-Za-z0-9_-]{20,}"),
    _shape_of_prefix("npm_", r"[A-Za-z0-9]{36}"),
    _shape_of_prefix("xox", r"[abeoprs]-[A-Za-z0-9-]{10,}"),
    *(_shape_of_prefix(f"A{kind}IA", r"[0-9A-Z]{16}(?![0-9A-Za-z])") for kind in "KS"),
)


class Masking:
    """What is masked in one process: these secrets, and all shapes."""

    __slots__ = ("_known", "_remembered")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # Longest first: a secret that is the beginning of another would leave the other's rest.
        known = {one for one in secrets if len(one) >= SECRET_CHARS_MIN and one not in MASK}
        self._known = tuple(sorted(known, key=lambda one: (-len(one), one)))
        # A turn's prompt holds what the one before it held, and each passes here several times.
        self._remembered = lru_cache(_REMEMBERED)(self._mask_text)

    def __repr__(self) -> str:
        return f"Masking({len(self._known)} secrets)"

    def text(self, text: str) -> str:
        return self._remembered(text) if len(text) in _WORTH_REMEMBERING else self._mask_text(text)

    def _mask_text(self, text: str) -> str:
        # Again until nothing more is found: a mask ends the word beside it, which may be a secret
        # only then. Each time there is less to look at.
        while (masked := self._mask_once(text)) != text:
            text = masked
        return text

    def _mask_once(self, text: str) -> str:
        # What is masked already is not looked into, whatever the secrets are.
        return MASK.join(map(self._mask_piece, text.split(MASK)))

    def _mask_piece(self, text: str) -> str:
        for secret in self._known:
            if secret in text:
                text = text.replace(secret, MASK)
        for shape in _SHAPES:
            if any(sign in text for sign in shape.signs):
                text = shape.pattern.sub(shape.into, text)
        return text

    def value(self, value: V) -> V:
        """With every text in it masked, wherever it stands in containers and dataclasses; the same
        object where there was none. What is of another kind is left as it is.
        """
        masked: Any = self._mask_value(value)
        return value if masked == value else masked

    def _mask_value(self, value: Any) -> Any:
        if isinstance(value, str):
            masked = self.text(value)
            return value if masked == value else masked  # a closed word keeps its type
        if isinstance(value, Mapping):
            return {self._mask_value(key): self._mask_value(one) for key, one in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self._mask_items(value))
        return self._mask_fields(value) if is_dataclass(value) else value

    def _mask_fields(self, value: Any) -> Any:
        names = [field.name for field in fields(value) if field.init]
        return replace(value, **{name: self._mask_value(getattr(value, name)) for name in names})

    def _mask_items(self, items: Iterable[Any]) -> list[Any]:
        """Lines of a text are masked as the text that they are: a private key has many."""
        lines = list(items)
        if len(lines) > 1 and all(isinstance(one, str) and "\n" not in one for one in lines):
            return self.text("\n".join(lines)).split("\n")
        return [self._mask_value(one) for one in lines]

    def plain(self, value: object) -> object:
        """As plain data for a log line: what is none is shown as its masked `str`."""
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.plain(one) for key, one in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.plain(one) for one in value]
        return self.text(
            value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        )


SHAPES_ALONE: Final = Masking()
"""For whoever holds no secret."""
