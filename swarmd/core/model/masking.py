"""Secrets taken out of a text: the one function for prompts, answers, results of functions, the
record, log lines, the journal and the store. Pure.

It knows two kinds: values that this process was given (keys, passwords, the swarm's secret), and
shapes by which a secret of anybody is known. Invariant: what was masked is not changed by masking
it again, and the same text is always masked alike, so that a digest of it is stable. The number of
lines stays as it is, for what is read is cited by line.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import lru_cache, partial
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
    a prompt of a hundred thousand characters has none of most.

    Its time is to grow as the text does, whoever wrote that: no pattern may read the same
    characters again from each of many starts.
    """

    signs: tuple[str, ...]
    masked: Callable[[str], str]


def _shape(signs: tuple[str, ...], pattern: str, into: str = MASK) -> _Shape:
    return _Shape(signs, partial(re.compile(pattern).sub, into))


# After one of these a word begins, although a letter or a digit stands before it: a character that
# JSON, a programming language or a URL writes as a letter or a number, and a terminal's colour.
_ESCAPES: Final = (
    r"\\[befnrtv0]",
    r"\\x[0-9A-Fa-f]{2}",
    r"\\u[0-9A-Fa-f]{4}",
    r"%[2-7][0-9A-Fa-f]",
    r"%0[9ADad]",
    *(rf"[\x1bBbe3]\[[0-9;]{{{length}}}m" for length in range(12)),
)


def _begun(sign: str) -> str:
    """A pattern of `sign` where no word goes on before it. The sign is compared first, which is
    cheap, and what stands before it only then.
    """
    escaped = "|".join(rf"(?<={escape}{sign})" for escape in _ESCAPES)
    return rf"{sign}(?:(?<![A-Za-z0-9]{sign})|{escaped})"


def _shape_of_prefix(prefix: str, rest: str) -> _Shape:
    """What begins with a provider's own sign. `rest` ends where its characters do: a secret right
    behind it, which is no word of its own, is masked with it.
    """
    return _shape((prefix,), _begun(re.escape(prefix)) + rest)


_KEY_NAME: Final = r"(?:[A-Z0-9]{1,32} ){0,4}PRIVATE KEY(?: BLOCK)?"
_KEY_MARK: Final = re.compile(rf"-{{4,5}} ?(BEGIN|END) {_KEY_NAME} ?-{{4,5}}")
# From its first line to the end of its last: what lies farther apart is not one key. One of 16,384
# bits has 12,700 characters.
_KEY_CHARS_MAX: Final = 16_384
# A line of nothing but a key's characters, or a header of an encrypted one. Before it stands a line
# break, as it is or escaped, and what quotes a line in a mail or a comment. No group in it is
# possessive: Python 3.11.2 matches those wrongly.
_KEY_LINE: Final = re.compile(
    r"(?:\\{1,8}[nrt]|[\s>|#*]){0,256}"
    r"(?:[A-Za-z0-9+/=]{16,}|(?:Proc-Type|DEK-Info|Comment|Version|Charset|Hash):[^\r\n\\\"]*)"
)


def _without_private_keys(text: str) -> str:
    """Each with its end, or, where that was cut off, as far as its lines go. All marks are found
    first: from each beginning on, only the next end is looked at.
    """
    marks = list(_KEY_MARK.finditer(text))
    begins = (mark for mark in marks if mark[1] == "BEGIN")
    ends = deque(mark.end() for mark in marks if mark[1] == "END")
    pieces, done = [], 0
    for begin in begins:
        if begin.start() >= done:
            pieces.append(text[done : begin.start()])
            done = _end_of_key(begin, ends)
            lines = text.count("\n", begin.start(), done) + 1
            pieces.append("\n".join([MASK] * lines))
    return "".join([*pieces, text[done:]])


def _end_of_key(begin: re.Match[str], ends: deque[int]) -> int:
    """`ends` that lie before it are dropped: no later key ends there."""
    while ends and ends[0] < begin.end():
        ends.popleft()
    if ends and ends[0] - begin.start() <= _KEY_CHARS_MAX:
        return ends[0]
    end = begin.end()
    while line := _KEY_LINE.match(begin.string, end):
        end = line.end()
    return end


_BEARER: Final = "".join(f"[{letter.upper()}{letter}]" for letter in "bearer")
_TOKEN: Final = "[A-Za-z0-9_-]"
_SHAPES: Final = (
    _Shape(("PRIVATE KEY",), _without_private_keys),
    # The password of a URL. A quotation mark ends it: else one would be taken out of JSON.
    _shape(
        ("://",),
        r"""(://[^\s/:@"'<>]{0,256}:)[^\s/"'<>`\\]{1,1024}@""",
        rf"\1{MASK}@",
    ),
    # A digit is asked for, or "Bearer authentication" would be taken for a token.
    _shape(
        ("earer", "EARER"),
        rf"({_begun(_BEARER)}\s++)(?=[A-Za-z._~+/=-]*+\d)[A-Za-z0-9._~+/=-]{{8,}}",
        rf"\1{MASK}",
    ),
    _shape(
        ("asic ",),
        r"(?i)(authorization[\\\"']{0,8}\s*+[:=]\s*+[\\\"']{0,8}basic\s++)[A-Za-z0-9+/=]{8,}",
        rf"\1{MASK}",
    ),
    _shape(
        ("secret_access_key", "SECRET_ACCESS_KEY", "SecretAccessKey"),
        r"(?i)(secret_?access_?key[\\\"']{0,8}\s*+[:=]\s*+[\\\"']{0,8})[A-Za-z0-9/+]{40,}",
        rf"\1{MASK}",
    ),
    # A JSON web token. It is looked for once in each run of its characters, and there from the
    # first sign on: from a later one, it would end at the same place.
    _shape(
        ("eyJ",),
        rf"(?<!{_TOKEN})(?>({_TOKEN}*?){_begun('eyJ')}){_TOKEN}{{10,}}+"
        rf"\.eyJ{_TOKEN}{{10,}}+\.{_TOKEN}{{10,}}",
        rf"\1{MASK}",
    ),
    _shape_of_prefix("sk-", r"[A-Za-z0-9_-]{8,}"),  # OpenAI, Anthropic, OpenRouter and others
    _shape_of_prefix("sk_live_", r"[A-Za-z0-9]{8,}"),
    _shape_of_prefix("rk_live_", r"[A-Za-z0-9]{8,}"),
    _shape_of_prefix("gsk_", r"[A-Za-z0-9]{20,}"),
    _shape_of_prefix("xai-", r"[A-Za-z0-9]{20,}"),
    _shape_of_prefix("hf_", r"[A-Za-z0-9]{30,}"),
    _shape_of_prefix("AIza", r"[A-Za-z0-9_-]{35,}"),
    _shape_of_prefix("gh", r"[opsru]_[A-Za-z0-9]{30,}"),
    _shape_of_prefix("github_pat_", r"[A-Za-z0-9_]{20,}"),
    _shape_of_prefix("glpat-", r"[A-Za-z0-9_-]{20,}"),
    _shape_of_prefix("npm_", r"[A-Za-z0-9]{36,}"),
    _shape_of_prefix("xox", r"[abeoprs]-[A-Za-z0-9-]{10,}"),
    *(_shape_of_prefix(f"A{kind}IA", r"[0-9A-Z]{16}(?![0-9A-Za-z])") for kind in "KS"),
)


def _spellings(secret: str) -> set[str]:
    """The secret as it is, and as it stands in JSON, and in JSON within a text of JSON."""
    spelled = {secret}
    for _ in range(2):
        spelled |= {json.dumps(one, ensure_ascii=a)[1:-1] for one in spelled for a in (True, False)}
    return spelled


def _mask_piece(text: str, known: Iterable[str], shapes: Iterable[_Shape]) -> str:
    for secret in known:
        text = text.replace(secret, MASK)
    for shape in shapes:
        text = shape.masked(text)
    return text


class Masking:
    """What is masked in one process: these secrets, and all shapes."""

    __slots__ = ("_known", "_remembered")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # Longest first: a secret that is the beginning of another would leave the other's rest.
        fit = [one for one in secrets if len(one) >= SECRET_CHARS_MIN and one not in MASK]
        known = {spelling for one in fit for spelling in _spellings(one)}
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
        known = [secret for secret in self._known if secret in text]
        shapes = [shape for shape in _SHAPES if any(sign in text for sign in shape.signs)]
        if not known and not shapes:
            return text
        # What is masked already is not looked into, whatever the secrets are.
        return MASK.join(_mask_piece(piece, known, shapes) for piece in text.split(MASK))

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
