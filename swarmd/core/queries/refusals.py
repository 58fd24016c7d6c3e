"""What a refusal's code means, for people: the row of the table, and codes of a similar spelling.
Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from swarmd.core.model.refusals import Rule

_CODES: Final = frozenset(rule.value for rule in Rule)
_LIKE_A_CODE: Final = re.compile(r"[a-z]+\.[a-z-]+")


def explained(rule: Rule) -> Mapping[str, Any]:
    """The row as data: code, law, meaning, remedy and page."""
    return {
        "code": rule.value,
        "law": rule.law.value,
        "law_title": rule.law.title,
        "meaning": rule.meaning,
        "remedy": rule.remedy,
        "page": f"docs/{rule.page}" if rule.page else "",
    }


def similar_codes(text: str) -> list[str]:
    """Codes that `text` may have meant: of its family, where it names one, or of a like spelling.

    `frozen` means `stop.frozen`, so the parts of a code are compared as well as the whole.
    """
    from difflib import get_close_matches  # it takes as long to load as all the rest of this

    wanted = text.strip().lower()
    spellings: dict[str, list[str]] = {}
    for rule in Rule:
        for part in (rule.value, *rule.value.split(".")):
            spellings.setdefault(part, []).append(rule.value)
    close = get_close_matches(wanted, spellings, n=5, cutoff=0.6)
    return list(dict.fromkeys(code for part in close for code in spellings[part]))


def first_code(text: str) -> str:
    """The first code of a refusal that `text` names; empty where it names none."""
    return next((code for code in _LIKE_A_CODE.findall(text) if code in _CODES), "")
