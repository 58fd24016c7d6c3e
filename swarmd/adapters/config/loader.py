"""Reads `policies/` and `channels/`: what people declare, checked whole before anything runs.

All faults of all files are found in one reading, each with the line that it stands on, for whoever
edits five files wants one list and not five runs. Invariant: what `load` returns has no fault, and
nothing but `DeclarationError` comes out of a folder that has one, whatever its bytes are.

A user's folder replaces the shipped one file by file: a folder with only `limits.yaml` is enough.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from swarmd.adapters.config.checks import (
    KnownNames,
    StoreNames,
    check_acl,
    check_board,
    check_forbidden,
    check_limits,
    check_models,
    check_named,
    check_role,
    check_room,
)
from swarmd.adapters.config.faults import (
    Faults,
    NoteFault,
    SourceFile,
    field_path,
    suggestion,
)
from swarmd.adapters.config.validation import note_validation_error
from swarmd.adapters.config.yaml_lines import Located, Parsed, parse_lines
from swarmd.core.model.board_rules import BoardRules
from swarmd.core.model.corrections import Corrections
from swarmd.core.model.declarations import (
    Declarations,
    Limits,
    Models,
    Persona,
    Role,
    Room,
)
from swarmd.core.model.functions import BUILT_IN, Functions
from swarmd.core.model.redis_users import Acl
from swarmd.errors import DeclarationError, UsageError, WorkspaceError

FILE_BYTES_MAX: Final = 1_000_000  # all prompts carry these texts: a larger file is a mistake


TITLE_CHARS_MAX: Final = 200


_TEXTS: Final = ("constitution.md", "procedures.md", "handbook.md")


_SETTINGS: Final = ("acl.yaml", "board.yaml", "corrections.yaml", "limits.yaml", "models.yaml")


_FOLDERS: Final = {"personas": ".md", "roles": ".yaml"}


_README: Final = "README.md"


def load(
    policies: Path | None = None,
    channels: Path | None = None,
    names: StoreNames | None = None,
    functions: Functions = BUILT_IN,
) -> Declarations:
    """Read and check everything; `None` is what swarmd ships. Without `names`, those in `acl.yaml`
    go unchecked. `functions` are those that roles may name.

    Raises `DeclarationError` with all faults of all files.
    """
    found = Faults()
    files = _effective_files("policies", policies, found) | _effective_files(
        "channels", channels, found
    )
    return _check_declarations(files, found, names, functions)


def faults(
    policies: Path | None = None, channels: Path | None = None, names: StoreNames | None = None
) -> tuple[str, ...]:
    """What is wrong, each as `file:line: field: what`; empty where nothing is. `names` as for
    `load`.
    """
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
        missing = tuple(_missing_files(target))
        for path, raw in missing:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(raw)
    except OSError as error:
        raise WorkspaceError(
            f"cannot write {error.filename or target}: {error.strerror or error}"
        ) from error
    return tuple(path for path, _ in missing)


def _missing_files(target: Path) -> Iterator[tuple[Path, bytes]]:
    for top in ("policies", "channels"):
        source = shipped(top)
        for default in sorted(
            path for path in source.rglob("*") if path.suffix in (".md", ".yaml")
        ):
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
    package = Path(__file__).parents[2]
    in_wheel = package / "_declared" / top
    return in_wheel if in_wheel.is_dir() else package.parent / top


def _effective_files(top: str, folder: Path | None, found: Faults) -> dict[str, SourceFile]:
    """The files that count, by their place (`policies/roles/writer.yaml`)."""
    files = _files_in(top, shipped(top), found)
    return files if folder is None else files | _files_in(top, folder, found)


def _files_in(top: str, folder: Path, found: Faults) -> dict[str, SourceFile]:
    files = {}
    for path in _walk_folder(top, folder, found):
        note = partial(found.note, str(path))
        raw = _bytes_of(path, note)
        if raw is not None:
            files[f"{top}/{path.relative_to(folder).as_posix()}"] = SourceFile(str(path), raw, note)
    return files


def _walk_folder(top: str, folder: Path, found: Faults) -> Iterator[Path]:
    """The declarations in a folder. What else lies there is a fault: `limit.yaml` would limit
    nothing.
    """
    for path in _list_folder(folder, found):
        if top == "policies" and path.name in _FOLDERS:
            ending = _FOLDERS[path.name]
            yield from _of_ending(
                _list_folder(path, found), ending, f"{path.name}/*{ending}", found
            )
        elif top == "policies" and path.name in (*_TEXTS, *_SETTINGS):
            yield path
        elif top == "policies":
            known = (*_TEXTS, *_SETTINGS, *(f"{name}/" for name in _FOLDERS))
            found.note(str(path), 1, "file", f"is unknown{suggestion(path.name, known)}")
        else:
            yield from _of_ending((path,), ".yaml", "*.yaml", found)


def _of_ending(paths: Iterable[Path], ending: str, known: str, found: Faults) -> Iterator[Path]:
    for path in paths:
        if path.suffix == ending:
            yield path
        else:
            found.note(str(path), 1, "file", f"is unknown; known here: {known}")


def _list_folder(folder: Path, found: Faults) -> list[Path]:
    """Without hidden entries: mounted config maps and desktops leave their own in every folder."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        found.note(str(folder), 1, "folder", f"cannot be read: {error.strerror}")
        return []
    return [path for path in entries if not path.name.startswith(".") and path.name != _README]


def _bytes_of(path: Path, note: NoteFault) -> bytes | None:
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


def _text_of(file: SourceFile) -> str | None:
    try:
        return file.raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        file.note(file.raw.count(b"\n", 0, error.start) + 1, "file", "is not UTF-8 text")
        return None


def _read_fields(model: type[BaseModel], file: SourceFile | None) -> Parsed | None:
    """A file, checked against its model; `None` where it has no fields to look at, which was
    noted.
    """
    located = None if file is None else _fields_of(file)
    if file is None or located is None:
        return None
    try:
        # Through JSON, where strict still takes a list for a tuple but never "5" for 5.
        checked = model.model_validate_json(json.dumps(located.value), strict=True)
    except ValidationError as error:
        for one in error.errors(include_url=False):
            note_validation_error(one, model, located, file.note)
        return Parsed(file, located)
    return Parsed(file, located, checked)


def _fields_of(file: SourceFile) -> Located | None:
    text = _text_of(file)
    located = None if text is None else parse_lines(text, file.note)
    if located is None or isinstance(located.value, dict):
        return located
    if located.value is None:  # all commented out: every field is absent, which may be fine
        return Located({}, located.line)
    file.note(located.line, "file", "must be fields, each as `name: value`")
    return None


def _read_prose(file: SourceFile | None) -> str:
    text = None if file is None else _text_of(file)
    if file is not None and text is not None and not text.strip():
        file.note(1, "file", "is empty")
    return (text or "").strip()


def _read_persona(file: SourceFile) -> Persona | None:
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
    front = parse_lines("\n" + parts[1], file.note)
    return None if front is None else _persona_of(front, body, file)


def _persona_of(front: Located, body: str, file: SourceFile) -> Persona | None:
    """Checked by hand: two fields are not worth a model that each start would have to build."""
    if not isinstance(front.value, dict):
        file.note(max(front.line, 2), "file", "the front matter must be fields, name and title")
        return None
    _check_front_matter(front, file)
    return Persona(str(front.value.get("name")), str(front.value.get("title")), body)


def _check_front_matter(front: Located, file: SourceFile) -> None:
    for key, line in front.keys.items():
        if key not in _PERSONA_FIELDS:
            file.note(line, field_path((key,)), f"is unknown{suggestion(key, _PERSONA_FIELDS)}")
    for key in _PERSONA_FIELDS:
        what = _persona_fault(front, key, file.stem)
        if what:
            file.note(front.line_of((key,)), key, what)


_PERSONA_FIELDS: Final = ("name", "title")


def _persona_fault(front: Located, key: str, stem: str) -> str:
    if key not in front.keys:
        return "is required"
    value = front.value.get(key)
    if not isinstance(value, str) or not value.strip() or len(value) > TITLE_CHARS_MAX:
        return f"must be a text of 1 to {TITLE_CHARS_MAX} characters"
    return f"must be the file's name, {stem}" if key == "name" and value != stem else ""


def _check_declarations(
    files: Mapping[str, SourceFile],
    found: Faults,
    names: StoreNames | None,
    functions: Functions,
) -> Declarations:
    """Reads each file, then compares them. Raises `DeclarationError` where anything was noted."""
    read = _read_all(files)
    _check_against_each_other(read, names, functions)
    if found.any:
        raise DeclarationError(found.lines())
    return _assemble(read, _digest_files(files), functions)


def _assemble(read: _Read, digest: str, functions: Functions) -> Declarations:
    constitution, procedures, handbook = read.texts
    return Declarations(
        constitution=constitution,
        procedures=procedures,
        handbook=handbook,
        personas={name: persona for name, persona in read.personas.items() if persona},
        board=_model_of(read.board),
        limits=_model_of(read.limits),
        roles={name: _model_of(role) for name, role in read.roles.items()},
        models=_model_of(read.models),
        rooms={name: _model_of(room) for name, room in read.rooms.items()},
        digest=digest,
        corrections=_model_of(read.corrections),
        acl=_model_of(read.acl),
        functions=functions,
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """All files as they were read; `None` where one has no fields to look at, which was noted."""

    texts: tuple[str, ...]
    personas: Mapping[str, Persona | None]
    roles: Mapping[str, Parsed | None]
    rooms: Mapping[str, Parsed | None]
    board: Parsed | None
    limits: Parsed | None
    models: Parsed | None
    corrections: Parsed | None
    acl: Parsed | None


def _read_all(files: Mapping[str, SourceFile]) -> _Read:
    return _Read(
        texts=tuple(_read_prose(files.get(f"policies/{name}")) for name in _TEXTS),
        personas={
            file.stem: _read_persona(file) for file in _files_below(files, "policies/personas/")
        },
        roles={
            file.stem: _read_fields(Role, file) for file in _files_below(files, "policies/roles/")
        },
        rooms={file.stem: _read_fields(Room, file) for file in _files_below(files, "channels/")},
        board=_read_fields(BoardRules, files.get("policies/board.yaml")),
        limits=_read_fields(Limits, files.get("policies/limits.yaml")),
        models=_read_fields(Models, files.get("policies/models.yaml")),
        corrections=_read_fields(Corrections, files.get("policies/corrections.yaml")),
        acl=_read_fields(Acl, files.get("policies/acl.yaml")),
    )


def _check_against_each_other(read: _Read, names: StoreNames | None, functions: Functions) -> None:
    tools = tuple(function.privilege for function in functions.values() if function.privilege)
    known = KnownNames(
        tuple(read.personas), tuple(read.roles), tuple(read.rooms), tuple(functions), tools
    )
    check_board(read.board, known)
    check_limits(read.limits, known)
    check_forbidden(read.limits, read.roles)
    check_models(read.models)
    check_acl(read.acl, names)
    check_named(read.roles, partial(check_role, known=known))
    check_named(read.rooms, partial(check_room, known=known))


def _model_of(parsed: Parsed | None) -> Any:
    """Asked for once nothing was noted: each file is there then, and each is its model."""
    assert parsed is not None
    return parsed.model


def _files_below(files: Mapping[str, SourceFile], place: str) -> list[SourceFile]:
    return [file for name, file in sorted(files.items()) if name.startswith(place)]


def _digest_files(files: Mapping[str, SourceFile]) -> str:
    """Of each file's place, length and bytes, so that text moved from one file to the next is
    seen.
    """
    digest = hashlib.sha256()
    for place, file in sorted(files.items()):
        digest.update(f"{place}\0{len(file.raw)}\0".encode("utf-8", "surrogateescape"))
        digest.update(file.raw)
    return digest.hexdigest()
