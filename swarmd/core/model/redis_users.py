"""`policies/acl.yaml`: the Redis users of a swarm, and what the process of each may do there."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from swarmd.core.model.charter import Line, Word, Written

KeyName = Annotated[str, Field(pattern=r"^(?:\*|_?[a-z]+(?::[A-Za-z0-9_*-]+)?)$", max_length=128)]
"""A key or channel without its namespace: `missions`, `room:sob`, `agent:*`, `_meta`; `*` is all
of the namespace.
"""
Command = Annotated[str, Field(pattern=r"^(?:@all|[a-z]+(?:\|[a-z-]+)?)$", max_length=64)]


class AclRole(Written):
    """One Redis user of a swarm: what its process may do there, whatever it is told."""

    summary: Line
    commands: tuple[Word, ...] = Field((), description="groups of commands")
    scripts: bool = Field(
        False,
        description="may run scripts; what a script touches is allowed or not as anything else",
    )
    reads: tuple[KeyName, ...] = ()
    writes: tuple[KeyName, ...] = ()
    hears: tuple[KeyName, ...] = Field((), description="channels that it may subscribe to")
    rings: tuple[KeyName, ...] = Field((), description="channels that it may publish to")
    tables: Literal["", "workers"] = Field(
        "", description="reads the tables of records that are for it, and none of the others"
    )
    never: tuple[KeyName, ...] = Field(
        (), description="keys it neither reads nor writes; where given, no key may be left unsaid"
    )


class Acl(Written):
    """`policies/acl.yaml`: the Redis users. `swarmd acl` renders it; nothing else reads it."""

    commands: dict[Word, tuple[Command, ...]]
    roles: dict[Word, AclRole]
