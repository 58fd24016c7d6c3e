"""An answer as far as it has come, piece by piece. Pure.

Pieces are kept as they came and put together when they are asked for: what a server says late can
decide how what it said early is to be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from swarmd.adapters.models.openai import calls
from swarmd.adapters.models.openai import text as texts
from swarmd.adapters.models.openai.usage import SaidUsage, usage_of
from swarmd.core.ledger.prices import Counted

TEXT_CHARS_MAX: Final = 2_000  # of what a model wrote, in a record or a correction
# Of what goes back to the provider with an answer. It is kept with the answer in the step journal,
# and a model whose thoughts are longer goes on without them.
THREAD_BYTES_MAX: Final = 256 * 1024

# What one piece of a call takes beside its text. Pieces without text are counted by it: what is
# counted by its text alone could be sent, and kept, without end.
FRAGMENT_BYTES: Final = 16

# The reasons for an end, in the words of several providers.
AT_LIMIT: Final = frozenset(
    {
        "length",
        "max_tokens",
        "max_output_tokens",
        "max_length",
        "model_length",
        "token_limit",
        "context_length",
        "model_context_window_exceeded",
    }
)
WITHHELD: Final = frozenset(
    {
        "content_filter",
        "content_filtered",
        "safety",
        "recitation",
        "prohibited_content",
        "blocklist",
        "spii",
        "sensitive",
        "guardrail_intervened",
        "refusal",
        "moderation",
    }
)
BROKEN_OFF: Final = frozenset(
    {
        "error",
        "abort",
        "aborted",
        "cancelled",
        "canceled",
        "failed",
        "interrupted",
        "network_error",
        "server_error",
        "internal_error",
        "engine_error",
        "insufficient_system_resource",
        "timeout",
    }
)

# Where servers put what a model thinks before it answers.
_THOUGHTS: Final = ("reasoning_content", "reasoning", "thinking")


@dataclass(slots=True)
class Received:
    """`text_bytes` counts all that the model generated, kept or not, and `kept_bytes` what is kept
    beside it: items for the next request, and what tells the pieces of calls apart.

    `said` is the most that the server has said of its usage, and `is_counted` that this was of the
    whole answer: some servers report a running count with each piece, or an empty one with the
    first.
    """

    refusal: str = ""
    finish: str = ""
    said: SaidUsage = field(default_factory=SaidUsage)
    is_counted: bool = False
    has_end: bool = (
        False  # by something else than a reason: a mark, the end of a document, the usage
    )
    text_bytes: int = 0
    kept_bytes: int = 0
    is_over: bool = False  # the server said with its last piece that nothing follows
    _choice: int | None = None
    _thoughts_name: str = ""  # under which the server sends them
    _deltas: int = 0
    _pieces: list[str] = field(default_factory=list)
    _thoughts: list[str] = field(default_factory=list)
    _fragments: list[calls.Fragment] = field(default_factory=list)

    def pieces(self, raw: Any) -> Iterable[Any]:
        """What an event or a document says, each as `take` reads it."""
        return (raw,)

    def thread(self, moves: int) -> str:
        """What the server wants back with this answer within the turn, as JSON; `moves` were read
        from it.
        """
        thoughts = "".join(self._thoughts)
        if not thoughts or len(self.calls) != moves:
            return ""
        text = json.dumps([{self._thoughts_name: thoughts}], ensure_ascii=False)
        return text if len(text.encode("utf-8", "replace")) <= THREAD_BYTES_MAX else ""

    @property
    def has_begun(self) -> bool:
        """Whether the model wrote anything, as far as we saw or the server said."""
        return self.text_bytes > 0 or bool(self.said.tokens_out)

    @property
    def content(self) -> str:
        return "".join(self._pieces)

    @property
    def thoughts(self) -> str:
        """Of an answer that has nothing else: some servers leave the whole answer there."""
        return "" if self._fragments or self.content.strip() else "".join(self._thoughts)

    @property
    def put_together(self) -> calls.Calls:
        return calls.put_together(self._fragments)

    @property
    def calls(self) -> tuple[calls.WrittenCall, ...]:
        return self.put_together.calls

    @property
    def counted(self) -> Counted | None:
        return self.said.counted

    @property
    def is_whole(self) -> bool:
        """The server said that this is all, and not because a limit was reached or it broke.

        Where it gave no reason, as behind a proxy that drops the last piece, another sign of the
        end is one if what came before it is whole too.
        """
        if self.finish:
            return not (self.is_at_limit or self.is_broken)
        return self.has_end and self._is_complete()

    @property
    def is_at_limit(self) -> bool:
        return self.finish in AT_LIMIT

    @property
    def is_broken(self) -> bool:
        return self.finish in BROKEN_OFF

    @property
    def is_withheld(self) -> bool:
        return self.refusal != "" or self.finish in WITHHELD

    def _is_complete(self) -> bool:
        if self._fragments:
            return self.put_together.is_whole
        return self.refusal != "" or not texts.is_cut_off(self.content)

    def take(self, piece: object) -> None:
        """One piece of a stream, or a whole answer; raises `ValueError` for what is neither."""
        if not isinstance(piece, dict):
            raise ValueError("a piece of the answer is not an object")
        said, before = usage_of(piece), self.text_bytes
        if said is not None:
            self.said = self.said.most(said)
        choices = as_list(piece.get("choices"))
        for choice in choices:
            if not isinstance(choice, dict):
                raise ValueError("a choice of the answer is not an object")
            self._take_choice(choice)
        if self.text_bytes > before:
            # What was said of an end or of the whole was said too early.
            self.has_end = self.is_counted = False
        if said is not None and said.tokens_out is not None:
            self._take_count(is_alone=not choices)

    def _take_count(self, *, is_alone: bool) -> None:
        """A count of what was written is one of the whole answer once that has ended."""
        self.has_end = self.has_end or (is_alone and self.text_bytes > 0)
        if self.finish or self.has_end:
            self.is_counted = self._counts_text()

    def _counts_text(self) -> bool:
        # A text of no tokens was not counted, whatever the field says.
        counted = self.counted
        return counted is not None and (counted.tokens_out > 0 or self.text_bytes == 0)

    def end_document(self) -> None:
        """All that was taken was the whole answer, its usage included."""
        self.has_end = True
        self.is_counted = self._counts_text()

    def _take_choice(self, choice: Mapping[str, Any]) -> None:
        index = choice.get("index")
        if self._choice is None and isinstance(index, int):
            self._choice = index
        if isinstance(index, int) and index != self._choice:
            self._count_text(
                _text_within(choice)
            )  # another answer, which nobody asked for: paid, not kept
            return
        self._take_body(choice)
        finish = choice.get("finish_reason")
        if isinstance(finish, str) and finish.strip():
            self.finish = finish.strip().lower()

    def _take_body(self, choice: Mapping[str, Any]) -> None:
        delta, message = choice.get("delta"), choice.get("message")
        if delta:
            self._take_delta(delta)
        elif message and not self.text_bytes:
            # Behind pieces a whole message says them once more.
            self._take_delta(message, is_message=True)
        elif isinstance(text := choice.get("text"), str):
            self._keep_text(text)

    def _take_delta(self, delta: object, *, is_message: bool = False) -> None:
        if not isinstance(delta, dict):
            raise ValueError("a delta of the answer is not an object")
        self._deltas += 1
        content = delta.get("content")
        if isinstance(content, str):  # as nearly always
            self._keep_text(content)
        elif content:
            self._take_content(content)
        if refusal := delta.get("refusal"):
            self.refusal += self._count_text(refusal)
        self._take_thoughts(delta)
        if "tool_calls" in delta or "function_call" in delta:
            self._take_calls(delta, is_message=is_message)

    def _take_thoughts(self, delta: Mapping[str, Any]) -> None:
        """They are no part of the answer, but they are paid for like the rest."""
        name = next((name for name in _THOUGHTS if delta.get(name)), "")
        if name:
            self._thoughts_name, thoughts = name, delta[name]
            text = thoughts if isinstance(thoughts, str) else _text_within(thoughts)
            if text:
                self._thoughts.append(self._count_text(text))

    def _take_calls(self, delta: Mapping[str, Any], *, is_message: bool) -> None:
        fragments = calls.fragments_of(delta.get("tool_calls"), self._deltas, is_message=is_message)
        if isinstance(call := delta.get("function_call"), dict) and not fragments:
            fragments = [calls.fragment_of(call, self._deltas)]
        for fragment in fragments:
            self._count_text(fragment.name)
            self._count_text(fragment.arguments)
            self.kept_bytes += FRAGMENT_BYTES + len(fragment.id)
        self._fragments += fragments

    def _take_content(self, content: object) -> None:
        """Text, or parts of which some are text and others thoughts, images and the like."""
        parts = content if isinstance(content, list) else [content]
        for part in parts:
            if isinstance(part, str):
                self._keep_text(part)
            elif isinstance(part, dict):
                self._take_part(part)

    def _take_part(self, part: Mapping[str, Any]) -> None:
        kind, text = part.get("type"), part.get("text")
        if kind == "refusal":
            self.refusal += self._count_text(part.get("refusal"))
        elif isinstance(text, str) and kind in ("text", "output_text", None):
            self._keep_text(text)
        else:
            self._count_text(_text_within(part))

    def _keep_text(self, text: str) -> None:
        if text:
            self._pieces.append(self._count_text(text))

    def _count_text(self, text: object) -> str:
        if not isinstance(text, str):
            return ""
        self.text_bytes += len(text.encode("utf-8", "replace"))
        return text

    def text(self) -> str:
        """What the model wrote, for the record: bounded, in one form for both modes."""
        written = [f"{call.name}({call.arguments})" for call in self.calls]
        parts = "\n".join(part for part in (self.content.strip(), self.refusal, *written) if part)
        # What UTF-8 cannot carry may have come in as lone surrogates, which no request can hold.
        return parts[:TEXT_CHARS_MAX].encode("utf-8", "replace").decode()


def _text_within(value: object) -> str:
    """All text in a nested value, to be counted: names of fields and kinds are not generated."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "".join(
            _text_within(inner) for key, inner in value.items() if key not in ("type", "id")
        )
    return "".join(_text_within(inner) for inner in as_list(value))


def as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
