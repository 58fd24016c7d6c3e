"""What declarations must agree on beyond each field's type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from swarmd.adapters.config.faults import field_path, shortened, suggestion
from swarmd.adapters.config.yaml_lines import Located, Parsed
from swarmd.core.model.privileges import AREAS, Area, covers
from swarmd.core.model.providers import DECLARED_MODEL, PROVIDERS
from swarmd.core.model.tables import TABLES


@dataclass(frozen=True, slots=True)
class StoreNames:
    """What `acl.yaml` may speak of: keys and channels of the store, without the namespace, `*` for
    an id.

    The store says what there is; a process that renders no rules need not ask it.
    """

    keys: tuple[str, ...]
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KnownNames:
    """What there is, by file name. A file with faults is there too: to name it is no second
    fault.
    """

    personas: tuple[str, ...]
    roles: tuple[str, ...]
    rooms: tuple[str, ...]
    functions: tuple[str, ...]
    tools: tuple[str, ...]  # privileges that functions take


def check_named(read: Mapping[str, Parsed | None], check: Callable[[Parsed], None]) -> None:
    for stem, one in read.items():
        if one is None:
            continue
        for path, name in one.words("name"):
            if name != stem:
                one.note(path, f"must be the file's name, {stem}")
        check(one)


def check_board(board: Parsed | None, known: KnownNames) -> None:
    if board is None:
        return
    for path, seat in board.words("seats"):
        if seat not in known.personas:
            board.note(
                path, f"there is no personas/{shortened(seat)}.md{suggestion(seat, known.personas)}"
            )


def check_limits(limits: Parsed | None, known: KnownNames) -> None:
    if limits is None:
        return
    for kind in ("tokens", "calls", "agents"):
        root, mission = limits.number("root", kind), limits.number("mission", kind)
        if root is not None and mission is not None and mission > root:
            limits.note(("mission", kind), f"{mission} is more than root has, {root}")
    _check_privileges(limits, "forbidden", known)


def check_forbidden(limits: Parsed | None, roles: Mapping[str, Parsed | None]) -> None:
    """A role would silently lose the whole of a privilege of which only a part is forbidden."""
    if limits is None:
        return
    for path, forbidden in limits.words("forbidden"):
        for name, role in roles.items():
            held = () if role is None else tuple(held for _, held in role.words("privileges"))
            broader = next(
                (one for one in held if one != forbidden and covers(one, forbidden)), None
            )
            if broader:
                what = (
                    f"role {name} holds {shortened(broader)} and would lose it whole; let it "
                    "list what it may keep"
                )
                limits.note(path, f"{shortened(forbidden)}: {what}")
                break


def check_models(models: Parsed | None) -> None:
    if models is None:
        return
    _check_model_name(models, "default")
    providers = models.located.part("providers")
    for name, line in providers.keys.items():
        if name not in PROVIDERS:
            models.file.note(
                line, field_path(("providers", name)), f"is unknown{suggestion(name, PROVIDERS)}"
            )


def check_acl(acl: Parsed | None, names: StoreNames | None) -> None:
    if acl is None:
        return
    for role, declared in acl.located.part("roles").parts.items():
        _check_acl_groups(acl, str(role), declared)
        if names is not None:
            _check_acl_names(acl, str(role), declared, names)


def _check_acl_groups(acl: Parsed, role: str, declared: Located) -> None:
    groups = list(acl.located.part("commands").parts)
    for at, group in declared.part("commands").parts.items():
        if group.value not in groups:
            what = f"there is no group of commands {shortened(group.value)}"
            near = suggestion(str(group.value), map(str, groups))
            acl.note(("roles", role, "commands", at), what + near)


def _check_acl_names(acl: Parsed, role: str, declared: Located, names: StoreNames) -> None:
    """A name that there is not grants nothing, and a key that nobody spoke of is granted to
    nobody.
    """
    known = dict.fromkeys(("reads", "writes", "never"), names.keys)
    known |= dict.fromkeys(("hears", "rings"), names.channels)
    said = {one: _words_of(declared, one) for one in known}
    for one, words in said.items():
        _check_known_names(acl, ("roles", role, one), words, known[one])
    if said["never"]:
        touched = [*said["reads"], *said["writes"]]
        _check_never_touched(acl, role, said["never"], touched)
        spoken_of = (*touched, *said["never"], *_patterns_of_rows(declared))
        _check_all_said(acl, role, names.keys, spoken_of)


def _patterns_of_rows(declared: Located) -> list[str]:
    return [table.pattern for table in TABLES] if "tables" in declared.parts else []


def _check_known_names(
    acl: Parsed, path: tuple[str, ...], words: Sequence[str], known: Sequence[str]
) -> None:
    for at, word in enumerate(words):
        if word != "*" and not any(_is_within(word, name) for name in known):
            what = f"there is no {shortened(word)}{suggestion(word, known)}"
            acl.note((*path, at), what)


def _check_never_touched(
    acl: Parsed, role: str, never: Sequence[str], touched: Sequence[str]
) -> None:
    for at, word in enumerate(never):
        if any(_is_within(word, other) for other in touched):
            what = f"{shortened(word)} is among what it reads or writes, too"
            acl.note(("roles", role, "never", at), what)


def _check_all_said(acl: Parsed, role: str, keys: Sequence[str], said: Sequence[str]) -> None:
    unsaid = [name for name in keys if not any(_is_within(name, word) for word in said)]
    if unsaid:
        what = f"says nothing of {', '.join(unsaid)}: it reads, writes or never touches it"
        acl.note(("roles", role), what)


def _words_of(of: Located, key: str) -> list[str]:
    return [str(part.value) for part in of.part(key).parts.values()]


def _is_within(name: str, pattern: str) -> bool:
    """Whether all that `name` stands for is what `pattern` stands for: `room:sob` is within
    `room:*`.
    """
    return name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1]))


def check_role(role: Parsed, known: KnownNames) -> None:
    _check_model_name(role, "model")
    _check_privileges(role, "privileges", known)
    for path, function in role.words("functions"):
        if function not in known.functions:
            what = f"there is no function {shortened(function)}"
            role.note(path, what + suggestion(function, known.functions))


def check_room(room: Parsed, known: KnownNames) -> None:
    for at, tier in room.located.part("tiers").parts.items():
        if type(tier.value) is int and tier.value < 0:
            room.note(("tiers", at), "tiers begin at 0, the board's")
    for path, role in room.words("roles"):
        if role not in known.roles:
            room.note(path, f"there is no role {shortened(role)}{suggestion(role, known.roles)}")
    if room.file.stem == "sob":
        _check_board_room(room)


# What a seat reads of the room when it is called, and a node more, for streams lose whole ones.
_BOARD_KEEPS_MIN: Final = 500


def _check_board_room(room: Parsed) -> None:
    if room.located.value.get("tiers", [0]) != [0]:
        room.note(("tiers",), "must be [0]: the board's room is the board's alone")
    if room.located.value.get("scope", "swarm") != "swarm":
        room.note(("scope",), "must be swarm: the board has one room for all missions")
    keep = room.located.value.get("keep", {})
    messages = (
        keep.get("messages", _BOARD_KEEPS_MIN) if isinstance(keep, dict) else _BOARD_KEEPS_MIN
    )
    if isinstance(messages, int) and messages < _BOARD_KEEPS_MIN:
        room.note(
            ("keep", "messages"),
            f"must be at least {_BOARD_KEEPS_MIN}: the seats read that part of it",
        )


def _check_model_name(of: Parsed, key: str) -> None:
    for path, name in of.words(key):
        if name and not DECLARED_MODEL.fullmatch(name):
            of.note(
                path,
                f"must be PROVIDER:NAME with one of {', '.join(PROVIDERS)}, not {shortened(name)}",
            )


def _check_privileges(of: Parsed, key: str, known: KnownNames) -> None:
    for path, privilege in of.words(key):
        what = _privilege_fault(privilege, known)
        if what:
            of.note(path, f"{shortened(privilege)}: {what}")


def _privilege_fault(privilege: str, known: KnownNames) -> str:
    """Why no action would ever ask for this privilege: a typo grants, or forbids, nothing at
    all.
    """
    if privilege == "**":
        return ""
    name, _, rest = privilege.partition("/")
    area = AREAS.get(name)
    if area is None:
        return f"there is no kind of privilege {shortened(name)}{suggestion(name, AREAS)}"
    if "*" in rest.removesuffix("**"):
        return "`*` stands only in a last `/**`"
    return "" if rest == "**" else _target_fault(privilege, area, rest, known)


def _target_fault(privilege: str, area: Area, rest: str, known: KnownNames) -> str:
    """What is wrong with that of the area that the privilege is for."""
    found = area.pattern.fullmatch(rest)
    names = found.groupdict() if found else {}
    if found is None or not DECLARED_MODEL.fullmatch(names.get("model", "builtin")):
        return f"must be {area.form}, or have `**` as its last part"
    if "tool" in names and not any(covers(privilege, tool) for tool in known.tools):
        return f"must be one of {', '.join(known.tools)}, or have `**` as its last part"
    return _unknown_name("role", names, known.roles) or _unknown_name("room", names, known.rooms)


def _unknown_name(what: str, names: Mapping[str, str], known: Sequence[str]) -> str:
    name = names.get(what)
    if name is None or name in known:
        return ""
    return f"there is no {what} {name}{suggestion(name, known)}"
