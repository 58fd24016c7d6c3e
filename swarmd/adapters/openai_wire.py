"""What is said to an OpenAI-compatible server and how its answer is read: pure, no I/O, no SDK.

A request offers exactly the moves that the prompt allows, either as function tools or as one JSON
schema. An answer is read piece by piece into `Received`, and becomes moves only if every one of
them is valid; otherwise it becomes one short correction, written for the model that must mend it.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal, cast
from urllib.parse import SplitResult, urlsplit

from pydantic import ValidationError

from swarmd.core.moves import MOVE_TYPES, MOVES_MAX, Move
from swarmd.core.prices import Counted
from swarmd.errors import UsageError
from swarmd.ports import Prompt

Mode = Literal["tools", "schema"]
Json = dict[str, Any]

OPENAI_URL: Final = "https://api.openai.com/v1"
TEXT_CHARS_MAX: Final = 2_000  # of what a model wrote, in a record or a correction
ERRORS_MAX: Final = 4  # in one correction: a model mends the first ones, a longer list distracts it
PROBE_OUTPUT_TOKENS: Final = 1_000  # room for a reasoning model's thoughts before so small a call
PROBE: Final = "say_ready"
PRIVATE_SUFFIXES: Final = (".localhost", ".local", ".internal", ".home.arpa")
# More than any context holds. It keeps what a lying server says within what the ledger can add up.
TOKENS_COUNTED_MAX: Final = 1_000_000_000
# A grammar-constrained server (llama.cpp, Ollama) spells a repetition out and refuses, or crawls
# under, one as large as a file list may be. What is not offered is still checked when it is read.
REPETITION_MAX: Final = 32

_FENCED: Final = re.compile(r"\A```[A-Za-z]*\s*\n?(.*?)\s*```\Z", re.DOTALL)
_THOUGHT: Final = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_DROPPED: Final = frozenset({"title", "discriminator", "maxLength", "minLength"})

_HOW: Final = (
    'Answer with one JSON object and nothing else: {"moves": [...]}, your moves in order.'
    " Each move is an object that fits one of these schemas:\n"
)


# --- whom we ask ------------------------------------------------------------------------------


def checked_url(url: str) -> str:
    """A base URL that may be logged; raises `UsageError` for one that may not, or is none."""
    parts = _split(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        what = "the base URL (OPENAI_BASE_URL) is not an http or https address"
        raise UsageError(what, hint="e.g. http://127.0.0.1:11434/v1")
    if parts.username or parts.password or parts.query:
        raise UsageError(
            "the base URL (OPENAI_BASE_URL) must not carry a key, a password or a query: it is shown in logs",
            hint="put the key into OPENAI_API_KEY",
        )
    return url.rstrip("/")


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # reading it is what checks it
        # As it is asked for in the end: a part that is empty or too long is no name, now or later.
        (parts.hostname or "").encode("idna")
    except ValueError:
        return None
    return parts


def checked_key(key: str) -> str:
    """A key as a header can carry it; raises `UsageError`, which does not show it."""
    key = key.strip()  # a key from a file ends with its line
    if not (key.isascii() and key.isprintable()):
        raise UsageError("the key has characters that no key has", hint="look at OPENAI_API_KEY or its file")
    return key


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def is_private(url: str) -> bool:
    """Whether the address can only be one of this machine's or its own network's."""
    host = urlsplit(url).hostname or ""
    try:
        # Python also calls private what is only for documentation or benchmarks: no server is there.
        return ipaddress.ip_address(host).is_private
    except ValueError:
        # A name of one part is resolved by a hosts file or a container engine, never by the public DNS.
        return "." not in host or host.endswith(PRIVATE_SUFFIXES)


# --- asking -----------------------------------------------------------------------------------


def request_body(model: str, prompt: Prompt, mode: Mode, limit_field: str) -> bytes:
    """The whole request as JSON; no tokenizer makes more tokens than bytes of it.

    `limit_field` is the server's name for the output limit. What every call of a role has in common is encoded once.
    """
    frame = _dump(_frame(model, limit_field, prompt.output_tokens_max))
    shared, offered = _offer(prompt.shared, prompt.functions, mode)
    messages = ",".join([*shared, *map(_dump, _messages(prompt))])
    # What UTF-8 cannot carry, as the lone surrogates that stand for a file's undecodable bytes, is a question mark.
    return f'{frame[:-1]},"messages":[{messages}],{offered}}}'.encode("utf-8", "replace")


@lru_cache(maxsize=64)
def _offer(shared: str, functions: tuple[str, ...], mode: Mode) -> tuple[tuple[str, ...], str]:
    """The leading system message, where there is one, and how the model is to answer."""
    if mode == "tools":
        return _system(shared), f'"tools":{_dump(_tools(functions))},"tool_choice":"required"'
    schema = _reply_schema(functions)
    # Most local servers hold the model to the schema without ever showing it to the model: one
    # that was not told what the fields mean fills them with valid nonsense.
    told = f"{shared}\n\n{_HOW}{_dump(schema['properties']['moves']['items'])}"
    if "$defs" in schema:
        told += f"\nwith $defs {_dump(schema['$defs'])}"
    reply = {"name": "reply", "schema": schema, "strict": False}
    return _system(told), f'"response_format":{_dump({"type": "json_schema", "json_schema": reply})}'


def _system(text: str) -> tuple[str, ...]:
    return (_dump({"role": "system", "content": text}),) if text.strip() else ()


def probe_body(model: str, limit_field: str) -> bytes:
    """Asks for one harmless call, to learn whether the model calls functions at all."""
    body = _frame(model, limit_field, PROBE_OUTPUT_TOKENS)
    body["messages"] = [{"role": "user", "content": f"Call the function {PROBE} now."}]
    function = {
        "name": PROBE,
        "description": "Say that you are ready.",
        "parameters": {"type": "object", "properties": {"ready": {"type": "boolean"}}},
    }
    body |= {"tools": [{"type": "function", "function": function}], "tool_choice": "required"}
    return _dump(body).encode("utf-8", "replace")


def _frame(model: str, limit_field: str, output_tokens_max: int) -> Json:
    return {
        "model": model,
        "stream": True,
        "stream_options": {"include_usage": True},
        limit_field: output_tokens_max,
    }


def _messages(prompt: Prompt) -> list[Json]:
    """The exchange, and the persona at the very end.

    The persona is the tail of the last user message and no message of its own: many chat templates
    allow one leading system message and then strictly take turns. At its tail, not its head, for a
    prompt cache reuses the longest common prefix, and this way that reaches through the exchange.
    """
    turns: list[tuple[str, str]] = []
    for role, text in (*prompt.exchange, ("user", prompt.persona)):
        if not text.strip():
            continue
        if turns and turns[-1][0] == role:
            turns[-1] = (role, f"{turns[-1][1]}\n\n{text}")
        else:
            turns.append((role, text))
    return [{"role": role, "content": text} for role, text in turns]


def _encodable(text: str) -> str:
    """A file's undecodable bytes may have come in as lone surrogates, which no request can carry."""
    return text.encode("utf-8", "replace").decode()


@lru_cache(maxsize=64)
def _tools(functions: tuple[str, ...]) -> list[Json]:
    return [{"type": "function", "function": _function(name)} for name in functions]


def _function(name: str) -> Json:
    parameters = _parameters(name)
    description = parameters.pop("description", "")
    return {"name": name, "description": description, "parameters": parameters}


def _parameters(name: str) -> Json:
    schema = cast(Json, _portable(MOVE_TYPES[name].model_json_schema()))
    # The function's name says which move it is. Tier and parent are minted by the supervisor: a
    # model that isn't offered them seldom claims them, and if it does, the law answers.
    hidden = {"move", "tier", "parent"} if name == "spawn" else {"move"}
    schema["properties"] = {k: v for k, v in schema["properties"].items() if k not in hidden}
    schema["required"] = [k for k in schema.get("required", []) if k not in hidden]
    return schema


@lru_cache(maxsize=64)
def _reply_schema(functions: tuple[str, ...]) -> Json:
    defs: Json = {}
    union: list[Json] = []
    for name in functions:
        move = _parameters(name)
        defs |= move.pop("$defs", {})
        move["properties"] = {"move": {"const": name, "type": "string"}, **move["properties"]}
        move["required"] = ["move", *move["required"]]
        union.append(move)
    moves = {"type": "array", "minItems": 1, "maxItems": MOVES_MAX, "items": {"anyOf": union}}
    schema: Json = {
        "type": "object",
        "properties": {"moves": moves},
        "required": ["moves"],
        "additionalProperties": False,
    }
    return schema | ({"$defs": defs} if defs else {})


def _portable(schema: Any) -> Any:
    """The part of JSON schema that every server understands; `title` and the like only cost tokens."""
    if isinstance(schema, list):
        return [_portable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _portable_value(key, value) for key, value in schema.items() if key not in _DROPPED}
    if plain.get("maxItems", 0) > REPETITION_MAX:
        del plain["maxItems"]
    if "propertyNames" in plain:
        # Grammars know no `propertyNames`: a map with a closed set of keys is said as an object.
        names = plain.pop("propertyNames")["enum"]
        plain["properties"] = dict.fromkeys(names, plain["additionalProperties"])
        plain["additionalProperties"] = False
    return plain


def _portable_value(key: str, value: Any) -> Any:
    if key in ("properties", "$defs"):  # maps of names, which may be words that are dropped elsewhere
        return {name: _portable(inner) for name, inner in value.items()}
    if key in ("default", "enum", "const", "required"):
        return value
    return _portable(value)


_dump: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


# --- receiving --------------------------------------------------------------------------------


class Events:
    """Server-sent events out of the bytes of a stream, however these are cut: the data of each, and no more of it."""

    __slots__ = ("_after_return", "_data", "_line")

    def __init__(self) -> None:
        self._line: list[
            bytes
        ] = []  # the pieces of a line that has not ended: adding up a long one is quadratic
        self._data: list[bytes] = []
        self._after_return = False

    def take(self, chunk: bytes) -> list[bytes]:
        """The data of the events that end in this chunk."""
        if not chunk:
            return []
        # A line ends with a newline, a return, or both, which may come in two chunks.
        if self._after_return and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_return = chunk.endswith(b"\r")
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        first, *lines = chunk.split(b"\n")
        self._line.append(first)
        if not lines:
            return []
        lines[:0] = [b"".join(self._line)]
        self._line = [lines.pop()]
        return [event for line in lines if (event := self._event_at(line)) is not None]

    def _event_at(self, line: bytes) -> bytes | None:
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
        elif not line and self._data:
            event, self._data = b"\n".join(self._data), []
            return event
        return None


@dataclass(slots=True)
class _CallPieces:
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)  # adding up a long text is quadratic

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)


@dataclass(slots=True)
class Received:
    """An answer as far as it has come. `text_bytes` counts all that the model generated.

    `counted` is the newest that the server said of its usage, and `is_counted` that this was of the whole
    answer: some servers report a running count with each piece, or an empty one with the first.
    """

    refusal: str = ""
    calls: list[_CallPieces] = field(default_factory=list)
    finish: str = ""
    counted: Counted | None = None
    is_counted: bool = False
    text_bytes: int = 0
    _by_index: dict[int, _CallPieces] = field(default_factory=dict)
    _pieces: list[str] = field(default_factory=list)

    @property
    def content(self) -> str:
        return "".join(self._pieces)

    @property
    def is_whole(self) -> bool:
        """The server said that this is all, and not because a limit was reached."""
        return self.finish != "" and not self.is_at_limit

    @property
    def is_at_limit(self) -> bool:
        return self.finish in ("length", "max_tokens")

    def take(self, piece: object) -> None:
        """One piece of a stream, or a whole answer; raises `ValueError` for what is neither."""
        if not isinstance(piece, dict):
            raise ValueError("a piece of the answer is not an object")
        counted = _counted(piece.get("usage"))
        self.counted = counted or self.counted
        for choice in _list(piece.get("choices"))[:1]:
            if not isinstance(choice, dict):
                raise ValueError("a choice of the answer is not an object")
            self._take_delta(choice.get("delta") or choice.get("message") or {})
            finish = choice.get("finish_reason")
            self.finish = finish if isinstance(finish, str) and finish else self.finish
        if counted is not None and self.finish:
            # A text of no tokens was not counted, whatever the field says.
            self.is_counted = counted.tokens_out > 0 or self.text_bytes == 0

    def _take_delta(self, delta: object) -> None:
        if not isinstance(delta, dict):
            raise ValueError("a delta of the answer is not an object")
        self._pieces.append(self._counted(delta.get("content")))
        self.refusal += self._counted(delta.get("refusal"))
        # Thoughts are not kept, but they are paid for like the rest.
        self._counted(delta.get("reasoning_content") or delta.get("reasoning"))
        for fragment in _list(delta.get("tool_calls")):
            if not isinstance(fragment, dict):
                raise ValueError("a tool call of the answer is not an object")
            self._take_fragment(fragment)

    def _take_fragment(self, fragment: Mapping[str, Any]) -> None:
        function = fragment.get("function") or {}
        if not isinstance(function, dict):
            raise ValueError("the function of a tool call is not an object")
        name = self._counted(function.get("name"))
        call = self._call_of(fragment, is_named=name != "")
        call.name += "" if call.name == name else name
        arguments = function.get("arguments")
        # Some servers hand the arguments over as the object that they stand for.
        call.pieces.append(self._counted(_dump(arguments) if isinstance(arguments, dict) else arguments))

    def _call_of(self, fragment: Mapping[str, Any], *, is_named: bool) -> _CallPieces:
        """The call that a fragment belongs to: by index, except that a new id is a new call.

        Some servers number every one of several calls 0. Where the number is left out, a name after
        arguments begins the next call.
        """
        index, call_id = fragment.get("index"), fragment.get("id")
        position = index if isinstance(index, int) else 0
        call = self._by_index.get(position)
        is_new = call is None or (isinstance(call_id, str) and call_id != "" and call.id not in ("", call_id))
        if index is None and call is not None:
            is_new = is_new or (is_named and call.pieces != [])
        if call is None or is_new:
            call = self._by_index[position] = _CallPieces()
            self.calls.append(call)
        if isinstance(call_id, str):
            call.id = call.id or call_id
        return call

    def _counted(self, text: object) -> str:
        if not isinstance(text, str):
            return ""
        self.text_bytes += len(text.encode("utf-8", "replace"))
        return text

    def text(self) -> str:
        """What the model wrote, for the record: bounded, in one form for both modes."""
        calls = [f"{call.name}({call.arguments})" for call in self.calls]
        written = "\n".join(part for part in (self.content.strip(), self.refusal, *calls) if part)
        return _encodable(written[:TEXT_CHARS_MAX])


def _counted(usage: object) -> Counted | None:
    """What a server says of its usage; nothing where it says it without having counted."""
    if not isinstance(usage, dict):
        return None
    tokens_in, tokens_out = _tokens(usage.get("prompt_tokens")), _tokens(usage.get("completion_tokens"))
    # No prompt is empty: a zero is a server that fills the field in.
    if not tokens_in or tokens_out is None:
        return None
    details = usage.get("prompt_tokens_details")
    of_input = details if isinstance(details, dict) else {}
    return Counted(
        tokens_in,
        tokens_out,
        cached=_tokens(of_input.get("cached_tokens")) or 0,
        stored=_tokens(of_input.get("cache_write_tokens")) or 0,
    )


def _tokens(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return None
    return min(value, TOKENS_COUNTED_MAX)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


# --- reading ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Correction:
    """Why an answer is no move, in words for the model."""

    text: str


def read_moves(received: Received, functions: Sequence[str]) -> tuple[Move, ...] | Correction:
    """All moves of an answer in order, or what is wrong with it; never some of them."""
    written = _written_moves(received, functions)
    if isinstance(written, Correction):
        return written
    if not written:
        return Correction(f"Your answer has no moves. Use one or more of: {', '.join(functions)}.")
    if len(written) > MOVES_MAX:
        return Correction(f"{len(written)} moves in one answer; at most {MOVES_MAX} are allowed.")
    moves: list[Move] = []
    for position, raw in enumerate(written):
        move = _read_move(raw, functions, f"moves[{position}]")
        if isinstance(move, Correction):
            return move
        moves.append(move)
    return tuple(moves)


def _written_moves(received: Received, functions: Sequence[str]) -> list[Any] | Correction:
    if received.calls:
        return _called_moves(received.calls)
    if not received.content.strip():
        return Correction(f"You called no function. Call one or more of: {', '.join(functions)}.")
    return _content_moves(received.content, functions)


def _called_moves(calls: Sequence[_CallPieces]) -> list[Any] | Correction:
    moves: list[Any] = []
    for call in calls:
        arguments = _loads(call.arguments or "{}")
        if isinstance(arguments, Correction):
            return Correction(f"The arguments of `{call.name}` are {arguments.text}")
        if not isinstance(arguments, dict):
            return Correction(f"The arguments of `{call.name}` are not a JSON object.")
        moves.append({**arguments, "move": arguments.get("move", call.name)})
        if moves[-1]["move"] != call.name:
            return Correction(f"`{call.name}` has no parameter `move`; leave it out.")
    return moves


def _content_moves(content: str, functions: Sequence[str]) -> list[Any] | Correction:
    """Moves written as JSON text; in tools mode too, for a model may copy the form of its history."""
    text = _THOUGHT.sub("", content).strip()
    if fenced := _FENCED.match(text):
        text = fenced.group(1)
    reply = _loads(text)
    form = f'Answer with moves only ({", ".join(functions)}), as JSON: {{"moves": [...]}}.'
    if isinstance(reply, Correction):
        return Correction(f"Your answer is {reply.text} {form}")
    if isinstance(reply, dict) and "move" in reply and "moves" not in reply:
        return [reply]
    if not isinstance(reply, dict) or not isinstance(reply.get("moves"), list):
        return Correction(f"Your answer has no list `moves`. {form}")
    if unknown := sorted(set(reply) - {"moves"}):
        return Correction(f"Unknown field `{unknown[0][:80]}` beside `moves`. {form}")
    return cast(list[Any], reply["moves"])


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        return Correction(f"not valid JSON: {error.msg} at character {error.pos}.")
    except (ValueError, RecursionError):  # a number of thousands of digits, a thousand brackets
        return Correction("JSON that is too deep or too large to read.")


def _read_move(raw: Any, functions: Sequence[str], where: str) -> Move | Correction:
    name = raw.get("move") if isinstance(raw, dict) else None
    if not isinstance(name, str):
        return Correction(f"{where}: expected an object with `move`, one of: {', '.join(functions)}.")
    if name not in functions or name not in MOVE_TYPES:
        return Correction(
            f"{where}: `{name[:80]}` is not open to you now. Use one or more of: {', '.join(functions)}."
        )
    try:
        return cast(Move, MOVE_TYPES[name].model_validate(raw))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        said = "; ".join(f"{_place(fault['loc'])}: {fault['msg']}" for fault in faults[:ERRORS_MAX])
        more = f"; and {len(faults) - ERRORS_MAX} more" if len(faults) > ERRORS_MAX else ""
        return Correction(f"{where} ({name}): {said}{more}."[:TEXT_CHARS_MAX])


def _place(loc: tuple[int | str, ...]) -> str:
    """`charter.goals[2]`. A motion's tag is no field of what the model wrote, so it is left out."""
    steps = (loc[0], *loc[2:]) if loc[:1] == ("motion",) else loc
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step[:80]}" for step in steps)
    return path.removeprefix(".") or "the whole"
