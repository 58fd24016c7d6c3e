"""What kind of answer a question asks for, and whether a sentence is one by its form."""

from __future__ import annotations

import re
from typing import Final

from swarmd.adapters.files.sentences import Sentence

LIKELY: Final = 1.2

_HOW_TO: Final = re.compile(r"\bhow\s+(?:do|can|could|should|would|may|to|does\s+one)\b", re.I)
_HOW_MUCH: Final = re.compile(r"\b(?:how\s+(?:many|much|long|often|large|big|fast)|when)\b", re.I)
_WHY: Final = re.compile(r"\bwhy\b", re.I)
_NAMES_COMMAND: Final = re.compile(r"`[^`]+`")
_HAS_NUMBER: Final = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|hundred|thousand|half|twice)\b"
)
_HAS_REASON: Final = re.compile(r"\b(?:because|since|so that|reason|caused?|due to)\b", re.I)


def answers(asked: str, sentence: Sentence) -> float:
    """A factor: how to do a thing is told by code and names of commands, how many by a number, why
    by a reason. Of other questions the form of an answer says nothing.
    """
    if _HOW_MUCH.search(asked) and _HAS_NUMBER.search(sentence.text):
        return LIKELY
    if _WHY.search(asked) and _HAS_REASON.search(sentence.text):
        return LIKELY
    if _HOW_TO.search(asked) and (sentence.code or _NAMES_COMMAND.search(sentence.text)):
        return LIKELY
    return 1.0
