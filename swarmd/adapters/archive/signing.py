"""The key that signs the journal's files, and lines whose last field is a signature."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from swarmd.adapters.archive.durable import sync_folder, write_synced
from swarmd.core.model.chain import canonical
from swarmd.errors import ArchiveError

_SIGNATURE: Final = ',"signature":"'
_KEY: Final = "signing.key"
_PUBLIC: Final = "signing.pub"


class FileFault(Exception):  # noqa: N818 - a finding
    """What is wrong with a file: `FILE:LINE: what`."""


def public_key(folder: Path) -> Ed25519PublicKey | None:
    """The key that verifies; `None` where no supervisor has made one. Raises `FileFault`."""
    path = folder / _PUBLIC
    try:
        key = load_pem_public_key(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise FileFault(f"{path.name}: it is no public key") from error
    if not isinstance(key, Ed25519PublicKey) or _public_text(key) != path.read_bytes():
        raise FileFault(f"{path.name}: it is no Ed25519 public key as swarmd writes it")
    return key


def fingerprint(key: Ed25519PublicKey) -> str:
    return "SHA256:" + hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def sign_line(value: dict[str, Any], key: Ed25519PrivateKey) -> bytes:
    body = canonical(value).encode()
    return body[:-1] + f'{_SIGNATURE}{key.sign(body).hex()}"}}'.encode()


def read_signed_line(raw: bytes, key: Ed25519PublicKey, where: str) -> dict[str, Any]:
    """A line whose last field is the signature of the rest of it. Raises `FileFault`."""
    body, mark, tail = raw.rpartition(_SIGNATURE.encode())
    try:
        if not mark or not _is_signature(tail):
            raise FileFault(f"{where}: it is not signed")
        key.verify(bytes.fromhex(tail[:-2].decode()), body + b"}")
        value = json.loads(body + b"}")
    except (InvalidSignature, ValueError) as error:
        raise FileFault(f"{where}: its signature is not of what it says") from error
    if not isinstance(value, dict):
        raise FileFault(f"{where}: it is no object")
    return value


def _is_signature(tail: bytes) -> bool:
    """Whether it is spelled in the one way that we write it. Raises `ValueError` for no hex."""
    hexed = tail[:-2].decode()
    return tail[-2:] == b'"}' and hexed == bytes.fromhex(hexed).hex()


def _public_text(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def signing_key(folder: Path) -> Ed25519PrivateKey:
    path, hint = (
        folder / _KEY,
        "restore both halves from a copy; without them no anchor can be verified",
    )
    try:
        key = load_pem_private_key(path.read_bytes(), None)
        public = (folder / _PUBLIC).read_bytes()
    except FileNotFoundError as error:
        if path.exists() or (folder / _PUBLIC).exists():
            raise ArchiveError(
                f"a half of the signing key in {folder} is missing", hint=hint
            ) from error
        return _new_key(folder)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ArchiveError(f"{path} is no signing key", hint=hint) from error
    if not isinstance(key, Ed25519PrivateKey) or _public_text(key.public_key()) != public:
        raise ArchiveError(f"{path} is not the key of {_PUBLIC}", hint=hint)
    return key


def _new_key(folder: Path) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    public = folder / f".{_PUBLIC}.{os.getpid()}"
    public.write_bytes(_public_text(key.public_key()))
    private = folder / f".{_KEY}.{os.getpid()}"
    descriptor = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    write_synced(descriptor, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.rename(folder / _PUBLIC)
    private.rename(folder / _KEY)
    sync_folder(folder)
    return key
