"""How many words a text has. Pure.

One count for all who show or check it: a report of which a check says 385 words has 385 in every
head above it.
"""

from __future__ import annotations

import re
from typing import Final

# `file:line` or `file:first-last`: a file has an ending, and is no host of a URL.
CITED: Final = re.compile(
    r"(?<![\w/:.@-])(?P<path>[\w-][\w./-]*\.[A-Za-z]\w{0,7}):(?P<first>\d{1,7})"
    r"(?:[-–](?P<last>\d{1,7}))?(?![\w.:-]*:\d)"
)


def words_of(text: str) -> int:
    """What stands between spaces and has a letter or a digit. A citation `file:line` is none: who
    has to be brief need not drop its sources.
    """
    return sum(any(map(str.isalnum, word)) for word in CITED.sub(" ", text).split())
