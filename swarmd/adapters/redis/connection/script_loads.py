"""How a connection's scripts come to the server: by their digests, and whole where that fails."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from swarmd.adapters.redis.connection.connection import packed
from swarmd.adapters.redis.connection.errors import is_unknown
from swarmd.adapters.redis.connection.items import Item, send_whole
from swarmd.adapters.redis.lua import Script

# A server that forgets a script as soon as it has it is told of, not asked for ever.
LOADS_MAX: Final = 5
_NOSCRIPT: Final = "NOSCRIPT"


@dataclass(slots=True, eq=False)
class ScriptLoads:
    # Scripts by their text: the server has no SCRIPT LOAD for this user, or no EVALSHA.
    sends_whole: bool = False
    _under_way: set[str] = field(default_factory=set)  # names of scripts

    def forget_all(self) -> None:
        """Another server, or the same after a restart, may lack every script: loads are asked for
        anew.
        """
        self._under_way.clear()

    def ended(self, item: Item) -> None:
        """A load was answered, or nobody waits for it any longer."""
        if item.future is None:
            self._under_way.discard(item.keys[0])

    def repeated(self, item: Item, script: Script, text: str) -> list[Item]:
        """What is sent again, in this order, where the script was refused for its digest; nothing
        where `text`, the server's refusal, means something else.
        """
        if item.loads >= LOADS_MAX:
            return []
        is_missing = text.startswith(_NOSCRIPT)
        if not is_missing and not is_unknown(text):
            return []
        item.loads += 1
        self.sends_whole = self.sends_whole or not is_missing
        if self.sends_whole:
            send_whole(item, script)
            return [item]
        return [*self._load(item, script), item]

    def _load(self, item: Item, script: Script) -> list[Item]:
        """Many callers miss a script at once; one load before the first of them is enough for
        all.
        """
        if script.name in self._under_way:
            return []
        self._under_way.add(script.name)
        text = packed(("SCRIPT", "LOAD", script.text))
        return [Item(text, "SCRIPT", None, (script.name,), None, item.since)]
