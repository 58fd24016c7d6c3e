"""`swarmd acl`: the Redis users of this swarm, printed, generated with passwords, compared with a
server's.

Invariant: no password is printed or taken from the command line. They are in files; the server and
what is printed hold hashes.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Literal, get_args

from swarmd.adapters.config import checks, loader
from swarmd.adapters.redis import acl
from swarmd.adapters.redis.connection.requirements import connect_sync
from swarmd.adapters.redis.keys import channel_names, key_names
from swarmd.cli import connection
from swarmd.cli.exit_codes import Exit
from swarmd.cli.options import Users
from swarmd.cli.render.text import counted, plain
from swarmd.cli.session import note, print_json
from swarmd.core.model.redis_users import Acl
from swarmd.errors import UsageError, WorkspaceError
from swarmd.settings import Settings

Format = Literal["setuser", "aclfile"]

PASSWORD_BYTES: Final = 32  # of randomness: its hash needs no salt and cannot be guessed back
_PASSWORD: Final = "password"
_FILE: Final = "users.acl"


def store_names() -> checks.StoreNames:
    return checks.StoreNames(key_names(), channel_names())


def policy_of(settings: Settings) -> Acl:
    """Raises `DeclarationError` with every fault, for rules made of half a policy would be worse
    than none.
    """
    return loader.load(settings.policies, settings.channels, store_names()).acl


# --- printing ---------------------------------------------------------------------------------


def of_users(settings: Settings, users: Users, *, is_check: bool, as_json: bool) -> Exit:
    """The rules as asked for: made, compared with the server's, or printed."""
    refuse_contradictions(users.roles, users.password_files, users.folder, is_check=is_check)
    if users.folder is not None:
        return generate(settings, users.folder, as_json=as_json)
    if is_check:
        return check(settings, users.roles or (), as_json=as_json)
    return show(
        settings, users.roles or (), users.form, users.password_files or (), as_json=as_json
    )


def show(
    settings: Settings,
    roles: Sequence[str],
    form: str,
    password_files: Sequence[str],
    *,
    as_json: bool,
) -> Exit:
    """Prints the rules of all roles, or of those named."""
    if form not in get_args(Format):
        raise UsageError(
            f"--format {form!r} is unknown", hint=f"it is {' or '.join(get_args(Format))}"
        )
    policy = policy_of(settings)
    hashes = _hashes(policy, password_files)
    users = acl.users(policy, settings.namespace, hashes)
    chosen = {role: users[role] for role in _chosen(policy, roles)}
    if as_json:
        value = [_user_value(role, user, role in hashes) for role, user in chosen.items()]
        print_json({"namespace": settings.namespace, "users": value})
        return Exit.DONE
    print("\n".join(_rule_lines(chosen, form, is_whole=not roles)))
    _note_without_password([role for role in chosen if role not in hashes])
    return Exit.DONE


def _note_without_password(roles: Sequence[str]) -> None:
    if roles:
        note(
            f"no password is set by this for: {', '.join(roles)} (see --password-file and "
            "--generate)"
        )


def _user_value(role: str, user: acl.User, has_password: bool) -> dict[str, Any]:
    return {"role": role, "user": user.name, "rules": user.words(), "password": has_password}


def _rule_lines(users: Mapping[str, acl.User], form: str, *, is_whole: bool) -> list[str]:
    if form != "aclfile":
        return [acl.setuser(user) for user in users.values()]
    # A whole file says what becomes of the default user, too; a part of one is for a file that
    # does.
    default = [acl.DEFAULT_OFF] if is_whole else []
    return [*default, *(acl.file_line(user) for user in users.values())]


def _chosen(policy: Acl, roles: Sequence[str]) -> list[str]:
    for role in roles:
        _known(policy, role, "--role")
    return [role for role in policy.roles if not roles or role in roles]


def _known(policy: Acl, role: str, option: str) -> None:
    if role not in policy.roles:
        raise UsageError(
            f"{option}: there is no role {role!r}",
            hint=f"policies/acl.yaml has: {', '.join(policy.roles)}",
        )


def _hashes(policy: Acl, password_files: Sequence[str]) -> dict[str, str]:
    hashes = {}
    for given in password_files:
        role, equals, file = given.partition("=")
        if not (equals and file):
            # Not repeated: who takes ROLE=FILE for ROLE=PASSWORD has just typed one.
            raise UsageError(
                "--password-file is not ROLE=FILE", hint="name the role and a file: worker=FILE"
            )
        _known(policy, role, "--password-file")
        hashes[role] = acl.hashed(_password(Path(file)))
    return hashes


def _password(path: Path) -> str:
    try:
        password = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(
            f"cannot read the password in {path}: {reason}",
            hint="name a readable file that holds it alone",
        ) from error
    if not password:
        raise UsageError(f"{path} is empty", hint="a user without a password is no user")
    return password


# --- generating -------------------------------------------------------------------------------


def generate(settings: Settings, folder: Path, *, as_json: bool) -> Exit:
    """Makes DIR/ROLE/password for each role and DIR/users.acl. Passwords that are there already
    are kept.
    """
    policy = policy_of(settings)
    try:
        made, users = _written(policy, settings.namespace, folder)
    except OSError as error:
        raise WorkspaceError(
            f"cannot write {error.filename or folder}: {error.strerror or error}"
        ) from error
    written = [*made, folder / _FILE]
    if as_json:
        print_json({"written": [str(path) for path in written], "users": _names(users)})
        return Exit.DONE
    print("\n".join(str(path) for path in written))
    kept = len(policy.roles) - len(made)
    note(
        f"{counted(len(made), 'password')} made{f', {kept} kept' if kept else ''}; each is for "
        "REDIS_PASSWORD_FILE"
    )
    return Exit.DONE


def _written(
    policy: Acl, namespace: str, folder: Path
) -> tuple[list[Path], Mapping[str, acl.User]]:
    """The passwords that were made, and the users of the file. Raises `OSError`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = [path for role in policy.roles if (path := _made_password(folder / role))]
    hashes = {role: acl.hashed(_password(folder / role / _PASSWORD)) for role in policy.roles}
    users = acl.users(policy, namespace, hashes)
    _replace(folder / _FILE, "\n".join(_rule_lines(users, "aclfile", is_whole=True)) + "\n")
    return made, users


def _names(users: Mapping[str, acl.User]) -> dict[str, str]:
    return {role: user.name for role, user in users.items()}


def _made_password(folder: Path) -> Path | None:
    """A folder for each, so that each can be mounted alone, into the container of its role."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / _PASSWORD
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return None
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(PASSWORD_BYTES) + "\n")
    return path


def _replace(path: Path, text: str) -> None:
    """Whole or not at all: a server may be reading it."""
    draft = path.with_suffix(".new")
    draft.write_text(text, encoding="ascii")
    # The server runs as another user, and what it reads is hashes of long random words.
    draft.chmod(0o644)
    draft.replace(path)


def refuse_contradictions(
    roles: Sequence[str] | None,
    password_files: Sequence[str] | None,
    folder: Path | None,
    *,
    is_check: bool,
) -> None:
    """Raises `UsageError` for options of which one would pass the other over."""
    if (is_check or folder is not None) and password_files:
        raise UsageError(
            "--password-file is for printing", hint="leave it out, or leave out what is with it"
        )
    if folder is not None and (is_check or roles):
        raise UsageError("--generate makes all users", hint="leave out --check and --role")


# --- comparing --------------------------------------------------------------------------------


def check(settings: Settings, roles: Sequence[str], *, as_json: bool) -> Exit:
    """Compares a running server's users with the policy. Its user must be one that may ACL LIST."""
    policy = policy_of(settings)
    wanted = acl.users(policy, settings.namespace)
    with closing(connect_sync(connection.living(settings), namespace=settings.namespace)) as wire:
        found = acl.users_of(wire)
    compared = [
        acl.difference(role, wanted[role], found.get(wanted[role].name))
        for role in _chosen(policy, roles)
    ]
    default = acl.default_user(found, settings.namespace)
    if as_json:
        print_json(_compared_value(compared, default))
    else:
        _tell_compared(compared, default)
    is_as_declared = not default.faults and all(one.is_none for one in compared)
    return Exit.DONE if is_as_declared else Exit.FINDINGS


def _tell_compared(compared: Sequence[acl.Difference], default: acl.DefaultUser) -> None:
    print("\n".join(plain(line, multiline=True) for one in compared for line in _lines(one)))
    for fault in default.faults:
        note(f"finding: {fault}")


def _compared_value(compared: Sequence[acl.Difference], default: acl.DefaultUser) -> dict[str, Any]:
    return {
        "users": [one.value() for one in compared],
        "default_user_is_open": default.is_open,
        "default_user_is_on": default.is_on,
        "default_user_replays": default.replays,
    }


def _lines(one: acl.Difference) -> list[str]:
    if one.is_none:
        return [f"{one.user}: as declared"]
    if not one.is_there:
        return [f"{one.user}: is not on the server"]
    return [
        f"{one.user}: differs",
        *(f"  {fault}" for fault in one.faults),
        *(f"  lacks {rule}" for rule in one.missing),
        *(f"  has beyond the policy {rule}" for rule in one.extra),
    ]
