"""A result on a terminal."""

from __future__ import annotations

from swarmd.cli.render.wrapping import wrapped

BRIEF = """# A heading that is longer than the terminal is wide

- A quotation of many words that goes on. [docs/a/long/path/of/a/file.md:12]
  ```
  code --that --is --longer --than --the --terminal --is
  ```
A paragraph of rather many words.
| a row | that is longer than it |
"""


def test_text_is_broken_between_words_and_code_tables_and_headings_stay_whole() -> None:
    shown = wrapped(BRIEF, 30)
    assert shown.split("\n") == [
        "# A heading that is longer than the terminal is wide",
        "",
        "- A quotation of many words",
        "  that goes on.",
        "  [docs/a/long/path/of/a/file.md:12]",
        "  ```",
        "  code --that --is --longer --than --the --terminal --is",
        "  ```",
        "A paragraph of rather many",
        "words.",
        "| a row | that is longer than it |",
        "",
    ]
    assert wrapped(BRIEF, 200) == BRIEF
