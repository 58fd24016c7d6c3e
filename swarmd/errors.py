"""The world failed: what swarmd raises when something outside it does not do its part.

A request that the law refuses is not here: that is a value (`swarmd.core.model.refusals.Denied`). A
bug is an `assert`. Adapters translate the exceptions of Redis, of the model SDK and of the file
system into these where they enter; nothing beyond an adapter sees the originals.
"""

from __future__ import annotations


class SwarmError(Exception):
    """Base of all. `hint` names what the reader can do next."""

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class UsageError(SwarmError):
    """The caller's words are off: an option, a setting or a value that cannot be meant. Exit 2."""


class NotFoundError(SwarmError):
    """What was named does not exist. Exit 3."""


class RefusedError(SwarmError):
    """The board, the law or a policy said no to what the operator asked. Exit 4.

    Where a rule said it, `rule` is its code, and the hint ends with how to read about it.
    """

    def __init__(self, what: str, *, hint: str = "", rule: str = "") -> None:
        explain = f"swarmd explain {rule}" if rule else ""
        super().__init__(what, hint=f"{hint} ({explain})" if hint and explain else hint or explain)
        self.rule = rule


class StoreUnavailableError(SwarmError):
    """Redis cannot be reached, or did not answer within the bound. Exit 5."""


class StoreUnconfirmedError(StoreUnavailableError):
    """It is stored, and whether it survives a fail-over is not known: to write it again would
    tell no more.
    """


class StoreUnsuitableError(SwarmError):
    """The server answers, but must not be used: version, eviction policy or schema. Exit 5."""


class AnotherSchemaError(StoreUnsuitableError):
    """The swarm was made by a swarmd that stores it in another form, which is not read here."""


class StoreDeniedError(StoreUnsuitableError):
    """The server's user lacks a right: for good where it never had it, for a time where somebody
    took it away.
    """


class WrongKeyError(StoreUnsuitableError):
    """A key of the swarm's holds a value of another type: somebody else wrote it."""


class StoreFullError(SwarmError):
    """The server refuses writes: memory limit or disk. Nothing was written; retried by daemons."""


class TooLargeError(SwarmError):
    """The server takes no command of this size, now or ever. Nothing was written; to send it
    again is in vain.
    """


class NotLeadingError(SwarmError):
    """Another supervisor holds the lease; the commit under the old fencing number was refused."""


class DeclarationError(SwarmError):
    """Faults in `channels/` or `policies/`, all of them, each as `file:line: field: what`. Exit
    7.
    """

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("\n".join(faults), hint="mend the files named, then run `swarmd check`")
        self.faults = faults


class WorkspaceError(SwarmError):
    """A file cannot be read or written: absent, outside the workspace, a link, too large, disk
    full.
    """


class UnwritableError(SwarmError):
    """Standard output takes no more: its disk is full, or it was not opened for writing. Exit 1."""


class ArchiveError(SwarmError):
    """The journal's files cannot be written, or are not what they were: no supervisor starts
    without them.
    """
