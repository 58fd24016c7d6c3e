"""`swarmd explain`: what a refusal means and what to do about it. It asks no server."""

from __future__ import annotations

import sys
from typing import Final

from swarmd.cli.exit_codes import Exit
from swarmd.cli.render.text import plain
from swarmd.cli.session import print_json
from swarmd.core.model.refusals import Rule
from swarmd.core.queries.refusals import explained, similar_codes
from swarmd.errors import NotFoundError

SUGGESTED_MAX: Final = 5
_CODE_WIDTH: Final = max(len(rule.value) for rule in Rule)


def explain(code: str = "", *, as_json: bool = False) -> Exit:
    """One refusal, or all of them where none is named. Raises `NotFoundError` for another code."""
    if not code:
        return _list_all(as_json=as_json)
    rule = _rule_of(code)
    if as_json:
        print_json(explained(rule))
        return Exit.DONE
    print(f"{rule.value}: {rule.meaning}")
    print(f"what to do: {rule.remedy}")
    page = f"; more in docs/{rule.page}" if rule.page else ""
    print(f"law {rule.law.value}, {rule.law.title} (docs/laws.md){page}")
    return Exit.DONE


def _list_all(*, as_json: bool) -> Exit:
    if as_json:
        rows = [explained(rule) for rule in Rule]
        print_json({"refusals": rows})
        return Exit.DONE
    for rule in Rule:
        print(f"{rule.value:<{_CODE_WIDTH}}  {rule.meaning}")
    if sys.stdout.isatty():
        print("what to do about one of them: swarmd explain CODE", file=sys.stderr)
    return Exit.DONE


def _rule_of(code: str) -> Rule:
    # As it stands in an answer, `refused by spawn.tier: …`, the code is followed by a colon.
    wanted = code.strip().removesuffix(":").lower()
    if wanted in {rule.value for rule in Rule}:
        return Rule(wanted)
    similar = similar_codes(wanted)[:SUGGESTED_MAX]
    meant = f"did you mean {' or '.join(similar)}? " if similar else ""
    raise NotFoundError(
        f"no refusal has the code {plain(code)!r}", hint=f"{meant}`swarmd explain` lists them all"
    )
