"""What stands in prose for its looks alone: tags, badges, targets of links, marks of boxes.

Invariant: a line stays one line, and no word that a reader is shown is lost.
"""

from __future__ import annotations

import html
import re
from typing import Final

_COMMENT: Final = re.compile(r"<!--.*?(?:-->|$)")
# A name in angle brackets that is no tag (`<name>`, `<host:port>`) is a placeholder, and stays.
_TAG: Final = re.compile(
    r"</?(?:a|abbr|article|b|blockquote|br|button|center|code|dd|details|div|dl|dt|em|figcaption|"
    r"figure|footer|h[1-6]|header|hr|i|iframe|img|input|kbd|li|link|main|nav|ol|p|picture|pre|"
    r"script|section|small|source|span|strong|style|sub|summary|sup|svg|path|table|tbody|td|th|"
    r"thead|tr|u|ul|video)(?:\s[^<>]*)?/?>",
    re.I,
)
_IMAGE: Final = re.compile(r"!\[[^\[\]]*\](?:\([^()\s]*(?:\s[^()]*)?\)|\[[^\[\]]*\])")
_LINK: Final = re.compile(
    r"(?<!!)\[(?P<text>[^\[\]]*)\](?:\([^()\s]*(?:\([^()]*\)[^()\s]*)?(?:\s[^()]*)?\)|\[[^\[\]]*\])"
)
_TARGET: Final = re.compile(r"\s*\[[^\[\]]+\]:\s+\S+")
_ROLE: Final = re.compile(r":[a-z][\w:.-]{0,40}:`~?(?P<text>[^`<]*)(?:<[^<>`]*>)?`")
_REFERENCE: Final = re.compile(r"`(?P<text>[^`<>]{1,200}) <[^<>`\s]+>`_{1,2}")
# `!!! note "Title"`, `=== "Tab"`, `:::tip`, `.. code-block:: python`, `{% raw %}`, `[TOC]`, `+++`.
_DIRECTIVE: Final = re.compile(
    r"\s*(?:(?:!!!|\?\?\?\+?|===)\s.*|:::.*|\.\.\s+[\w|:-]+::.*|:[\w-]+:\s.*|\{%.*%\}|\[TOC\]|"
    r"\[![A-Z]+\]|\+\+\+)\s*$"
)


def is_directive(line: str) -> bool:
    """Whether the line tells a program how to show what follows, and a reader nothing."""
    return _DIRECTIVE.match(line) is not None or _TARGET.fullmatch(line) is not None


def without_markup(text: str) -> str:
    """The text without tags, images and targets of links; what a link is called stays."""
    if "<" in text:
        text = _TAG.sub("", _COMMENT.sub("", text))
    if "[" in text:
        text = _LINK.sub(r"\g<text>", _IMAGE.sub("", text))
    if "`" in text:
        text = _REFERENCE.sub(r"\g<text>", _ROLE.sub(_role_text, text))
    return html.unescape(text) if "&" in text else text


def _role_text(role: re.Match[str]) -> str:
    return f"`{role['text'].strip()}`"
