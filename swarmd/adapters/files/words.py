"""The words of a text: lower case, without their endings, and without those that every text has."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

# Function words, and the words that questions are asked with: they are in every passage.
STOP_WORDS: Final = frozenset(
    re.findall(
        r"\w+",
        "a about above across after again against all along also am an and any are as at be "
        "because been before behind being below beside between both but by can cannot could did do "
        "does doing don down during each else etc ever every few for from further had has have "
        "having he her here hers him his how "
        "i if in into is it its itself just let like me more most much my no nor not now of off on "
        "once one only or other our ours out over own per please rather same shall she should "
        "since so some such than that the their theirs them then there these they this those "
        "though through thus to too under until up upon us very was we were what when where "
        "whether which while who whom whose why will with within without would yet you your yours "
        "s t re ve ll isn doesn didn won wouldn shouldn couldn aren wasn weren hasn haven may "
        "might must e g",
    )
)

RUN: Final = re.compile(r"[^\W_]+")
# Scripts written without spaces: a run of them is searched by its pairs of characters.
UNSPACED: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]+")
_PIECE: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^A-Za-z\d]+")


def words(text: str) -> list[str]:
    """Lower-case words in order: `children_max`, `childrenMax` and `children max` are the same
    two.
    """
    found: list[str] = []
    for run in RUN.findall(text):
        if run.isascii() and (run.islower() or run.istitle() or run.isdigit()):
            found.append(run.lower())
        elif UNSPACED.search(run):
            found += _character_pairs(run)
        elif run.isascii():
            found += [piece.lower() for piece in _PIECE.findall(run)]
        else:
            found.append(run.casefold())
    return found


def _character_pairs(run: str) -> list[str]:
    if len(run) < 3:
        return [run]
    return [run[i : i + 2] for i in range(len(run) - 1)]


# The commonest words that change more than their ending.
_IRREGULAR: Final = {
    "better": "good",
    "bigger": "big",
    "faster": "fast",
    "higher": "high",
    "larger": "large",
    "longer": "long",
    "lower": "low",
    "shorter": "short",
    "slower": "slow",
    "smaller": "small",
    "began": "begin",
    "begun": "begin",
    "broke": "break",
    "broken": "break",
    "built": "build",
    "children": "child",
    "chosen": "choose",
    "chose": "choose",
    "fell": "fall",
    "fallen": "fall",
    "found": "find",
    "gave": "give",
    "given": "give",
    "gone": "go",
    "held": "hold",
    "kept": "keep",
    "knew": "know",
    "known": "know",
    "lost": "lose",
    "made": "make",
    "paid": "pay",
    "people": "person",
    "said": "say",
    "sent": "send",
    "shown": "show",
    "spent": "spend",
    "stole": "steal",
    "stolen": "steal",
    "taken": "take",
    "thought": "think",
    "told": "tell",
    "took": "take",
    "went": "go",
    "wrote": "write",
    "written": "write",
}


_ENDINGS: Final = (("ies", "y"), ("ied", "y"), ("sses", "ss"))  # and what stands instead


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Strip plural, past and -ing, so that `verified` finds `verify`. Crude, short, and the same
    everywhere.
    """
    word = _IRREGULAR.get(word, word)
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word[: -len(ending)] + instead
    word = _strip_past(_strip_plural(word))
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def _strip_plural(word: str) -> str:
    is_plural = word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if is_plural else word


def _strip_past(word: str) -> str:
    """Without "-ing" or "-ed", and without the letter that was doubled before it."""
    for ending in ("ing", "ed"):
        root = word[: -len(ending)]
        if word.endswith(ending) and len(root) >= 3 and re.search("[aeiouy]", root):
            return root[:-1] if root[-1] == root[-2] and root[-1] not in "lsz" else root
    return word


def terms(text: str) -> list[str]:
    """The stems of the words that carry meaning, in order, with repetitions."""
    return [stem(word) for word in words(text) if word not in STOP_WORDS]
