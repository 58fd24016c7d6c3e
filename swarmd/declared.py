"""Reads `policies/` and `channels/`: what people declare, checked whole before anything runs.

All faults of all files are found in one reading, each with the line that it stands on, for whoever
edits five files wants one list and not five runs. Invariant: what `load` returns has no fault, and
nothing but `DeclarationError` comes out of a folder that has one, whatever its bytes are.

A user's folder replaces the shipped one file by file: a folder with only `limits.yaml` is enough.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError

from swarmd.core.moves import AMOUNT_MAX
from swarmd.core.privileges import covers
from swarmd.core.rules import Acl, BoardRules, Declarations, Limits, Models, Persona, Role, Room
from swarmd.errors import DeclarationError, UsageError, WorkspaceError

if TYPE_CHECKING:
    from yaml import Node

FILE_BYTES_MAX: Final = 1_000_000  # all prompts carry these texts: a larger file is a mistake
VALUES_MAX: Final = 10_000  # of one file; ours have dozens, and each wrong one is a fault to say
DEPTH_MAX: Final = 16  # ours nest three deep; deeper ones are made to exhaust a parser's stack
TITLE_CHARS_MAX: Final = 200
SHOWN_CHARS_MAX: Final = 60  # of a value or key repeated in a fault

_TEXTS: Final = ("constitution.md", "procedures.md", "handbook.md")
_SETTINGS: Final = ("acl.yaml", "board.yaml", "limits.yaml", "models.yaml")
_FOLDERS: Final = {"personas": ".md", "roles": ".yaml"}
_README: Final = "README.md"
_PROVIDERS: Final = ("openai", "builtin", "scripted")
_MODEL: Final = re.compile(rf"builtin|(?:{'|'.join(_PROVIDERS)}):\S+")
_DECIMAL: Final = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?")
_PRIVILEGES: Final = {
    "spawn": "spawn/ROLE",
    "room": "room/NAME/say",
    "tool": "tool/file/read, search or write",
    "file": "file/NAME/read",
    "model": "model/PROVIDER:NAME",
}

_Note = Callable[[int, str, str], None]  # line, field, what is wrong


@dataclass(frozen=True, slots=True)
class StoreNames:
    """What `acl.yaml` may speak of: keys and channels of the store, without the namespace, `*` for an id.

    The store says what there is; a process that renders no rules need not ask it.
    """

    keys: tuple[str, ...]
    channels: tuple[str, ...]


def load(
    policies: Path | None = None, channels: Path | None = None, names: StoreNames | None = None
) -> Declarations:
    """Read and check everything; `None` is what swarmd ships. Without `names`, those in `acl.yaml` go unchecked.

    Raises `DeclarationError` with all faults of all files.
    """
    found = _Faults()
    files = _effective("policies", policies, found) | _effective("channels", channels, found)
    return _declarations(files, found, names)


def faults(
    policies: Path | None = None, channels: Path | None = None, names: StoreNames | None = None
) -> tuple[str, ...]:
    """What is wrong, each as `file:line: field: what`; empty where nothing is. `names` as for `load`."""
    try:
        load(policies, channels, names)
    except DeclarationError as error:
        return error.faults
    return ()


def write_out(target: Path) -> tuple[Path, ...]:
    """Write the shipped `policies/` and `channels/` below `target`, to be edited.

    Returns what was written; a file that is there already with the same bytes is left out. Raises
    `UsageError`, before it writes anything, if one is there with other bytes.
    """
    try:
        missing = tuple(_missing(target))
        for path, raw in missing:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(raw)
    except OSError as error:
        raise WorkspaceError(f"cannot write {error.filename or target}: {error.strerror or error}") from error
    return tuple(path for path, _ in missing)


def _missing(target: Path) -> Iterator[tuple[Path, bytes]]:
    for top in ("policies", "channels"):
        source = shipped(top)
        for default in sorted(path for path in source.rglob("*") if path.suffix in (".md", ".yaml")):
            path, raw = target / top / default.relative_to(source), default.read_bytes()
            if not path.exists():
                yield path, raw
            elif path.read_bytes() != raw:
                raise UsageError(
                    f"{path} is there already and differs; nothing was written",
                    hint="name an empty folder, or move that file away",
                )


def shipped(top: str) -> Path:
    """Where the defaults are: inside the installed wheel, or beside the package in a checkout."""
    package = Path(__file__).parent
    in_wheel = package / "_declared" / top
    return in_wheel if in_wheel.is_dir() else package.parent / top


# --- faults -----------------------------------------------------------------------------------


class _Faults:
    """Collects. Of two faults on one field of one line the first is kept: the second is its echo."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int, str], str] = {}

    @property
    def any(self) -> bool:
        return bool(self._found)

    def note(self, file: str, line: int, field: str, what: str) -> None:
        self._found.setdefault((file, line, field), " ".join(what.split()))

    def lines(self) -> tuple[str, ...]:
        return tuple(
            _printable(f"{file}:{line}: {field}: {what}")
            for (file, line, field), what in sorted(self._found.items())
        )


def _printable(text: str) -> str:
    """One line that cannot steer a terminal, for file names and keys are somebody else's bytes."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _short(value: object) -> str:
    shown = value if isinstance(value, str) else json.dumps(value)
    return shown if len(shown) <= SHOWN_CHARS_MAX else f"{shown[:SHOWN_CHARS_MAX]}…"


def _field(parts: Iterable[str | int]) -> str:
    """`root.tokens`, `seats.2`; a key that is no word is quoted, so that a fault's parts stay apart."""
    words = (str(part) for part in parts)
    return (
        ".".join(word if re.fullmatch(r"[\w-]{1,64}", word) else repr(_short(word)) for word in words)
        or "file"
    )


# --- files ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _File:
    """A file that counts. `shown` is its path as faults name it."""

    shown: str
    raw: bytes
    note: _Note

    @property
    def stem(self) -> str:
        return Path(self.shown).stem


def _effective(top: str, folder: Path | None, found: _Faults) -> dict[str, _File]:
    """The files that count, by their place (`policies/roles/writer.yaml`)."""
    files = _files_in(top, shipped(top), found)
    return files if folder is None else files | _files_in(top, folder, found)


def _files_in(top: str, folder: Path, found: _Faults) -> dict[str, _File]:
    files = {}
    for path in _walk(top, folder, found):
        note = partial(found.note, str(path))
        raw = _bytes_of(path, note)
        if raw is not None:
            files[f"{top}/{path.relative_to(folder).as_posix()}"] = _File(str(path), raw, note)
    return files


def _walk(top: str, folder: Path, found: _Faults) -> Iterator[Path]:
    """The declarations in a folder. What else lies there is a fault: `limit.yaml` would limit nothing."""
    for path in _listed(folder, found):
        if top == "policies" and path.name in _FOLDERS:
            ending = _FOLDERS[path.name]
            yield from _of_ending(_listed(path, found), ending, f"{path.name}/*{ending}", found)
        elif top == "policies" and path.name in (*_TEXTS, *_SETTINGS):
            yield path
        elif top == "policies":
            known = (*_TEXTS, *_SETTINGS, *(f"{name}/" for name in _FOLDERS))
            found.note(str(path), 1, "file", f"is unknown{_meant(path.name, known)}")
        else:
            yield from _of_ending((path,), ".yaml", "*.yaml", found)


def _of_ending(paths: Iterable[Path], ending: str, known: str, found: _Faults) -> Iterator[Path]:
    for path in paths:
        if path.suffix == ending:
            yield path
        else:
            found.note(str(path), 1, "file", f"is unknown; known here: {known}")


def _listed(folder: Path, found: _Faults) -> list[Path]:
    """Without hidden entries: mounted config maps and desktops leave their own in every folder."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        found.note(str(folder), 1, "folder", f"cannot be read: {error.strerror}")
        return []
    return [path for path in entries if not path.name.startswith(".") and path.name != _README]


def _bytes_of(path: Path, note: _Note) -> bytes | None:
    try:
        if not path.is_file():  # asked first, for opening a pipe would wait for its writer
            note(1, "file", "is not a file")
            return None
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        note(1, "file", f"cannot be read: {error.strerror}")
        return None
    if len(raw) > FILE_BYTES_MAX:
        note(1, "file", f"is larger than {FILE_BYTES_MAX} bytes")
        return None
    return raw


def _text_of(file: _File) -> str | None:
    try:
        return file.raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        file.note(file.raw.count(b"\n", 0, error.start) + 1, "file", "is not UTF-8 text")
        return None


# --- YAML with its lines ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Located:
    """A value as JSON would have it, with the lines that it, its keys and its parts stand on."""

    value: Any
    line: int
    parts: Mapping[str | int, _Located] = field(default_factory=dict)
    keys: Mapping[str, int] = field(default_factory=dict)

    def line_of(self, path: Sequence[str | int]) -> int:
        """The line of the deepest part of `path` that exists."""
        at = self
        for part in path:
            if part not in at.parts:
                return at.line
            at = at.parts[part]
        return at.line

    def key_line_of(self, path: Sequence[str | int]) -> int:
        """The line of the key that `path` ends in."""
        at = self
        for part in path[:-1]:
            at = at.parts.get(part, at)
        return at.keys.get(str(path[-1]), self.line_of(path))


@cache
def _loader() -> Any:
    """The C parser where there is one: ten times faster, and its scanner needs no stack."""
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _located(text: str, note: _Note) -> _Located | None:
    """Parse YAML safely; `None` where it is no YAML at all, which was noted."""
    import yaml

    unfit = yaml.reader.Reader.NON_PRINTABLE.search(text) or re.search("\ufeff", text)
    if unfit:
        note(text.count("\n", 0, unfit.start()) + 1, "file", f"has the control character {unfit[0]!r}")
        return None
    try:
        if not _is_plain(text, note):
            return None
        node = yaml.compose(text, Loader=_loader())
    # The parsers raise their own errors, and plain ones for what only the conversion of an escape finds.
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        note(_line(mark), "file", f"is not YAML: {getattr(error, 'problem', None) or error}")
        return None
    return _of_node(node, (), note) if node else _Located(None, 1)


def _line(mark: Any) -> int:
    """Counted from 1; some errors of the parsers have no mark."""
    return mark.line + 1 if mark else 1


def _is_plain(text: str, note: _Note) -> bool:
    """Refuses what a small file can grow large by, before anything is built from it.

    Aliases are refused altogether: no declaration needs one, and counting what they unfold to would
    be a second parser.
    """
    import yaml

    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_loader())):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if getattr(event, "anchor", None):
            note(_line(event.start_mark), "file", "anchors and aliases are not allowed; write it out")
            return False
        if count > VALUES_MAX:
            note(_line(event.start_mark), "file", f"has more than {VALUES_MAX} values")
            return False
        if depth > DEPTH_MAX:
            note(_line(event.start_mark), "file", f"is nested more than {DEPTH_MAX} deep")
            return False
    return True


def _of_node(node: Node, path: tuple[str | int, ...], note: _Note) -> _Located:
    import yaml

    line = _line(node.start_mark)
    if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
        return _of_mapping(node, path, note)
    if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        parts: dict[str | int, _Located] = {
            at: _of_node(item, (*path, at), note) for at, item in enumerate(node.value)
        }
        return _Located([part.value for part in parts.values()], line, parts)
    if isinstance(node, yaml.ScalarNode):
        try:
            return _Located(_scalar(node), line)
        except ValueError as error:
            note(line, _field(path), str(error))
            return _Located(None, line)
    note(line, _field(path), f"the tag {_short(node.tag)} is not allowed")
    return _Located(None, line)


def _of_mapping(node: Node, path: tuple[str | int, ...], note: _Note) -> _Located:
    import yaml

    parts: dict[str | int, _Located] = {}
    keys: dict[str, int] = {}
    for key_node, value_node in node.value:
        line = _line(key_node.start_mark)
        if not isinstance(key_node, yaml.ScalarNode):
            note(line, _field(path), "a key must be a word")
            continue
        key = key_node.value  # as it is written: `on` and `1` are names here, not a truth and a number
        if key in keys:
            note(line, _field((*path, key)), f"is given twice, first on line {keys[key]}")
            continue
        keys[key] = line
        parts[key] = _of_node(value_node, (*path, key), note)
    value = {key: part.value for key, part in parts.items()}
    return _Located(value, _line(node.start_mark), parts, keys)


def _scalar(node: Node) -> Any:
    """The value of a scalar by YAML's own rules. Raises `ValueError` with what is wrong."""
    import yaml

    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if kind in ("str", "timestamp", "value", "merge"):
        text: str = node.value
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise ValueError("has half of a surrogate pair")
        return text
    if kind not in ("null", "bool", "int", "float"):
        raise ValueError(f"the tag {_short(node.tag)} is not allowed")
    # YAML 1.1 takes 010 for 8 and 1:30 for 90, which nobody who writes a limit means.
    if kind in ("int", "float") and not _DECIMAL.fullmatch(node.value):
        raise ValueError(f"must be a decimal number, not {_short(node.value)}")
    try:
        value = yaml.constructor.SafeConstructor().construct_object(node)
    except (ValueError, KeyError, yaml.YAMLError):
        raise ValueError(f"{_short(node.value)} is not a value of type {kind}") from None
    if isinstance(value, float) and not abs(value) < float("inf"):
        raise ValueError("is not a finite number")
    if isinstance(value, int | float) and abs(value) > AMOUNT_MAX:
        raise ValueError(f"is beyond {AMOUNT_MAX:,}, up to which numbers are exact")
    return value


# --- models -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Read:
    """A file of fields as it was read, and its model where it has no fault of its own.

    What is compared between files is taken from `located`, so that one fault in a file does not hide
    another until the next run.
    """

    file: _File
    located: _Located
    model: Any = None

    def note(self, path: Sequence[str | int], what: str) -> None:
        self.file.note(self.located.line_of(path), _field(path), what)

    def words(self, key: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """The texts at `key`, alone or in a list, each with its path."""
        at = self.located.parts.get(key, _Located(None, 1))
        for path, part in [((key,), at), *(((key, index), item) for index, item in at.parts.items())]:
            if isinstance(part.value, str):
                yield path, part.value

    def number(self, *path: str) -> int | None:
        at: _Located | None = self.located
        for part in path:
            at = at and at.parts.get(part)
        return at.value if at and type(at.value) is int else None


def _read(model: type[BaseModel], file: _File | None) -> _Read | None:
    """A file, checked against its model; `None` where it has no fields to look at, which was noted."""
    text = None if file is None else _text_of(file)
    located = None if file is None or text is None else _located(text, file.note)
    if file is None or located is None:
        return None
    if located.value is None:  # all commented out: every field is absent, which may be fine
        located = _Located({}, located.line)
    if not isinstance(located.value, dict):
        file.note(located.line, "file", "must be fields, each as `name: value`")
        return None
    try:
        # Through JSON, where strict still takes a list for a tuple but never "5" for 5.
        checked = model.model_validate_json(json.dumps(located.value), strict=True)
    except ValidationError as error:
        for one in error.errors(include_url=False):
            _note_error(one, model, located, file.note)
        return _Read(file, located)
    return _Read(file, located, checked)


def _note_error(error: Mapping[str, Any], model: type[BaseModel], located: _Located, note: _Note) -> None:
    path: tuple[str | int, ...] = tuple(part for part in error["loc"] if part != "[key]")
    match error["type"]:
        case "missing":
            note(located.line_of(path[:-1]), _field(path), "is required")
        case "extra_forbidden":
            known = _fields_at(model, path[:-1])
            note(located.key_line_of(path), _field(path), f"is unknown{_meant(str(path[-1]), known)}")
        case "too_short" if len(error["input"]) >= error["ctx"]["min_length"]:
            pass  # pydantic's echo: it counts only the items without a fault
        case "value_error":
            note(located.line_of(path), _field(path), str(error["ctx"]["error"]))
        case _:
            is_key = "[key]" in error["loc"]
            note(located.key_line_of(path) if is_key else located.line_of(path), _field(path), _said(error))


# By pydantic's names of its errors, which are part of its interface: its sentences are not, and change.
_SHOULD: Final = {
    "bool_type": "be a valid boolean",
    "dict_type": "be fields",
    "float_type": "be a valid number",
    "greater_than": "be greater than {gt}",
    "greater_than_equal": "be greater than or equal to {ge}",
    "int_from_float": "be a valid integer",
    "int_type": "be a valid integer",
    "less_than": "be less than {lt}",
    "less_than_equal": "be less than or equal to {le}",
    "literal_error": "be {expected}",
    "model_type": "be fields",
    "string_pattern_mismatch": "match pattern '{pattern}'",
    "string_too_long": "have at most {max_length} characters",
    "string_too_short": "have at least {min_length} characters",
    "string_type": "be a valid string",
    "too_long": "have at most {max_length} items",
    "too_short": "have at least {min_length} items",
    "tuple_type": "be a valid array",
}


def _should(error: Mapping[str, Any]) -> str:
    """What the value should be, in our words; in pydantic's for an error that the table does not have."""
    known = _SHOULD.get(error["type"])
    if known is None:
        return re.sub(r"^(?:Input|\w+) should ", "should ", error["msg"])
    facts = error.get("ctx", {})
    whole = {name: int(fact) for name, fact in facts.items() if isinstance(fact, float) and fact.is_integer()}
    said = "should " + known.format_map({**facts, **whole})
    return re.sub(r" 1 (character|item)s$", r" 1 \1", said)


def _said(error: Mapping[str, Any]) -> str:
    what = _should(error)
    value = error["input"]
    if isinstance(value, list):
        return what
    # What was meant as a text and read as something else: `no`, `3`, or a sentence with a colon in it.
    quotes = "; write it in quotes" if error["type"] == "string_type" and value is not None else ""
    was = "fields" if isinstance(value, dict) else _short(value) or "''"
    return f"{what}, not {was}{quotes}"


def _fields_at(model: type[BaseModel], path: Sequence[str | int]) -> tuple[str, ...]:
    """The fields that `model` knows at `path`."""
    at: Any = model
    for part in path:
        at = get_args(at)[1] if get_origin(at) is dict else at.model_fields[str(part)].annotation
    return tuple(at.model_fields)


def _meant(name: str, known: Iterable[str]) -> str:
    choices = list(known)
    close = difflib.get_close_matches(name[:SHOWN_CHARS_MAX], choices, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(choices)}"


# --- prose ------------------------------------------------------------------------------------


def _prose(file: _File | None) -> str:
    text = None if file is None else _text_of(file)
    if file is not None and text is not None and not text.strip():
        file.note(1, "file", "is empty")
    return (text or "").strip()


def _persona(file: _File) -> Persona | None:
    text = _text_of(file)
    if text is None:
        return None
    parts = re.match(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)(.*)", text, re.DOTALL | re.MULTILINE)
    if parts is None:
        file.note(1, "file", "must begin with front matter: `---`, name and title, `---`")
        return None
    body = parts[2].strip()
    if not body:
        file.note(text.count("\n", 0, parts.start(2)) + 1, "body", "is empty")
    # The line that the first `---` took is put back, so that lines are counted as in the file.
    front = _located("\n" + parts[1], file.note)
    return None if front is None else _persona_of(front, body, file)


def _persona_of(front: _Located, body: str, file: _File) -> Persona | None:
    """Checked by hand: two fields are not worth a model that each start would have to build."""
    if not isinstance(front.value, dict):
        file.note(max(front.line, 2), "file", "the front matter must be fields, name and title")
        return None
    for key, line in front.keys.items():
        if key not in ("name", "title"):
            file.note(line, _field((key,)), f"is unknown{_meant(key, ('name', 'title'))}")
    for key in ("name", "title"):
        value = front.value.get(key)
        if key not in front.keys:
            file.note(front.line, key, "is required")
        elif not isinstance(value, str) or not value.strip() or len(value) > TITLE_CHARS_MAX:
            file.note(front.line_of((key,)), key, f"must be a text of 1 to {TITLE_CHARS_MAX} characters")
        elif key == "name" and value != file.stem:
            file.note(front.line_of((key,)), key, f"must be the file's name, {file.stem}")
    return Persona(str(front.value.get("name")), str(front.value.get("title")), body)


# --- the whole --------------------------------------------------------------------------------


def _declarations(
    files: Mapping[str, _File], found: _Faults, names: StoreNames | None = None
) -> Declarations:
    """Reads each file, then compares them. Raises `DeclarationError` where anything was noted."""
    constitution, procedures, handbook = (_prose(files.get(f"policies/{name}")) for name in _TEXTS)
    personas = {file.stem: _persona(file) for file in _below(files, "policies/personas/")}
    roles = {file.stem: _read(Role, file) for file in _below(files, "policies/roles/")}
    rooms = {file.stem: _read(Room, file) for file in _below(files, "channels/")}
    board = _read(BoardRules, files.get("policies/board.yaml"))
    limits = _read(Limits, files.get("policies/limits.yaml"))
    models = _read(Models, files.get("policies/models.yaml"))
    acl = _read(Acl, files.get("policies/acl.yaml"))
    known = _Known(tuple(personas), tuple(roles), tuple(rooms))
    _check_board(board, known)
    _check_limits(limits, known)
    _check_forbidden(limits, roles)
    _check_models(models)
    _check_acl(acl, names)
    _check_named(roles, partial(_check_role, known=known))
    _check_named(rooms, partial(_check_room, known=known))
    if found.any:
        raise DeclarationError(found.lines())
    # Nothing was noted, so each file is there and each is its model.
    assert board is not None
    assert limits is not None
    assert models is not None
    assert acl is not None
    return Declarations(
        constitution=constitution,
        procedures=procedures,
        handbook=handbook,
        personas={name: persona for name, persona in personas.items() if persona},
        board=board.model,
        limits=limits.model,
        roles={name: role.model for name, role in roles.items() if role},
        models=models.model,
        rooms={name: room.model for name, room in rooms.items() if room},
        digest=_digest(files),
        acl=acl.model,
    )


def _below(files: Mapping[str, _File], place: str) -> list[_File]:
    return [file for name, file in sorted(files.items()) if name.startswith(place)]


def _digest(files: Mapping[str, _File]) -> str:
    """Of each file's place, length and bytes, so that text moved from one file to the next is seen."""
    digest = hashlib.sha256()
    for place, file in sorted(files.items()):
        digest.update(f"{place}\0{len(file.raw)}\0".encode("utf-8", "surrogateescape"))
        digest.update(file.raw)
    return digest.hexdigest()


# --- checks between files ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Known:
    """What there is, by file name. A file with faults is there too: to name it is no second fault."""

    personas: tuple[str, ...]
    roles: tuple[str, ...]
    rooms: tuple[str, ...]


def _check_named(read: Mapping[str, _Read | None], check: Callable[[_Read], None]) -> None:
    for stem, one in read.items():
        if one is None:
            continue
        for path, name in one.words("name"):
            if name != stem:
                one.note(path, f"must be the file's name, {stem}")
        check(one)


def _check_board(board: _Read | None, known: _Known) -> None:
    if board is None:
        return
    for path, seat in board.words("seats"):
        if seat not in known.personas:
            board.note(path, f"there is no personas/{_short(seat)}.md{_meant(seat, known.personas)}")


def _check_limits(limits: _Read | None, known: _Known) -> None:
    if limits is None:
        return
    for kind in ("tokens", "calls", "agents"):
        root, mission = limits.number("root", kind), limits.number("mission", kind)
        if root is not None and mission is not None and mission > root:
            limits.note(("mission", kind), f"{mission} is more than root has, {root}")
    _check_privileges(limits, "forbidden", known)


def _check_forbidden(limits: _Read | None, roles: Mapping[str, _Read | None]) -> None:
    """A role would silently lose the whole of a privilege of which only a part is forbidden."""
    if limits is None:
        return
    for path, forbidden in limits.words("forbidden"):
        for name, role in roles.items():
            held = () if role is None else tuple(held for _, held in role.words("privileges"))
            broader = next((one for one in held if one != forbidden and covers(one, forbidden)), None)
            if broader:
                what = f"role {name} holds {_short(broader)} and would lose it whole; let it list what it may keep"
                limits.note(path, f"{_short(forbidden)}: {what}")
                break


def _check_models(models: _Read | None) -> None:
    if models is None:
        return
    _check_model_name(models, "default")
    providers = models.located.parts.get("providers", _Located(None, 1))
    for name, line in providers.keys.items():
        if name not in _PROVIDERS:
            models.file.note(line, _field(("providers", name)), f"is unknown{_meant(name, _PROVIDERS)}")


def _check_acl(acl: _Read | None, names: StoreNames | None) -> None:
    if acl is None:
        return
    groups = list(acl.located.parts.get("commands", _Located(None, 1)).parts)
    for role, declared in acl.located.parts.get("roles", _Located(None, 1)).parts.items():
        for at, group in declared.parts.get("commands", _Located(None, 1)).parts.items():
            if group.value not in groups:
                what = f"there is no group of commands {_short(group.value)}"
                acl.note(("roles", role, "commands", at), what + _meant(str(group.value), map(str, groups)))
        if names is not None:
            _check_acl_names(acl, str(role), declared, names)


def _check_acl_names(acl: _Read, role: str, declared: _Located, names: StoreNames) -> None:
    """A name that there is not grants nothing, and a key that nobody spoke of is granted to nobody."""
    known = dict.fromkeys(("reads", "writes", "never"), names.keys)
    known |= dict.fromkeys(("hears", "rings"), names.channels)
    said = {one: _words_of(declared, one) for one in known}
    for one, words in said.items():
        for at, word in enumerate(words):
            if word != "*" and not any(_is_within(word, name) for name in known[one]):
                what = f"there is no {_short(word)}{_meant(word, known[one])}"
                acl.note(("roles", role, one, at), what)
    if not said["never"]:
        return
    touched = [*said["reads"], *said["writes"]]
    for at, word in enumerate(said["never"]):
        if any(_is_within(word, other) for other in touched):
            acl.note(("roles", role, "never", at), f"{_short(word)} is among what it reads or writes, too")
    said_of = (*touched, *said["never"])
    unsaid = [name for name in names.keys if not any(_is_within(name, word) for word in said_of)]
    if unsaid:
        acl.note(
            ("roles", role), f"says nothing of {', '.join(unsaid)}: it reads, writes or never touches it"
        )


def _words_of(of: _Located, key: str) -> list[str]:
    return [str(part.value) for part in of.parts.get(key, _Located(None, 1)).parts.values()]


def _is_within(name: str, pattern: str) -> bool:
    """Whether all that `name` stands for is what `pattern` stands for: `room:sob` is within `room:*`."""
    return name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1]))


def _check_role(role: _Read, known: _Known) -> None:
    _check_model_name(role, "model")
    _check_privileges(role, "privileges", known)


def _check_room(room: _Read, known: _Known) -> None:
    for at, tier in room.located.parts.get("tiers", _Located(None, 1)).parts.items():
        if type(tier.value) is int and tier.value < 0:
            room.note(("tiers", at), "tiers begin at 0, the board's")
    for path, role in room.words("roles"):
        if role not in known.roles:
            room.note(path, f"there is no role {_short(role)}{_meant(role, known.roles)}")
    if room.file.stem == "sob":
        _check_board_room(room)


# What a seat reads of the room when it is called, and a node more, for streams lose whole ones.
_BOARD_KEEPS_MIN: Final = 500


def _check_board_room(room: _Read) -> None:
    if room.located.value.get("tiers", [0]) != [0]:
        room.note(("tiers",), "must be [0]: the board's room is the board's alone")
    if room.located.value.get("scope", "swarm") != "swarm":
        room.note(("scope",), "must be swarm: the board has one room for all missions")
    keep = room.located.value.get("keep", {})
    messages = keep.get("messages", _BOARD_KEEPS_MIN) if isinstance(keep, dict) else _BOARD_KEEPS_MIN
    if isinstance(messages, int) and messages < _BOARD_KEEPS_MIN:
        room.note(
            ("keep", "messages"), f"must be at least {_BOARD_KEEPS_MIN}: the seats read that part of it"
        )


def _check_model_name(of: _Read, key: str) -> None:
    for path, name in of.words(key):
        if name and not _MODEL.fullmatch(name):
            of.note(path, f"must be PROVIDER:NAME with one of {', '.join(_PROVIDERS)}, not {_short(name)}")


def _check_privileges(of: _Read, key: str, known: _Known) -> None:
    for path, privilege in of.words(key):
        what = _privilege_fault(privilege, known)
        if what:
            of.note(path, f"{_short(privilege)}: {what}")


def _privilege_fault(privilege: str, known: _Known) -> str:
    """Why no action would ever ask for this privilege: a typo grants, or forbids, nothing at all."""
    kind, *rest = privilege.split("/")
    if privilege == "**":
        return ""
    if kind not in _PRIVILEGES:
        return f"there is no kind of privilege {_short(kind)}{_meant(kind, _PRIVILEGES)}"
    if "*" in "/".join(rest).removesuffix("**"):
        return "`*` stands only in a last `/**`"
    match kind, rest:
        case _, ["**"]:
            return ""
        case "spawn", [role]:
            return "" if role in known.roles else f"there is no role {role}{_meant(role, known.roles)}"
        case "room", [room, "say" | "**"]:
            return "" if room in known.rooms else f"there is no room {room}{_meant(room, known.rooms)}"
        case ("tool", ["file", "read" | "search" | "write" | "**"]) | ("file", [_, *_, "read" | "**"]):
            return ""
        case "model", [*name] if _MODEL.fullmatch("/".join(name).removesuffix("/**")):
            return ""
    return f"must be {_PRIVILEGES[kind]}, or have `**` as its last part"
