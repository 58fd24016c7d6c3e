"""Privileges as paths: what covers what, and that the store's lookup agrees with the law's walk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.privileges import covers, is_covered, is_path, overlaps, sufficient, uncovered

_plain = st.lists(st.sampled_from(["tool", "file", "read", "a", "b"]), min_size=1, max_size=4).map("/".join)
_held = st.one_of(_plain, _plain.map(lambda path: path + "/**"), st.just("**"))


@pytest.mark.parametrize(
    ("holder", "wanted", "is_so"),
    [
        ("tool/read", "tool/read", True),
        ("tool/**", "tool/read", True),
        ("tool/**", "tool", True),
        ("tool/**", "tool/file/**", True),
        ("**", "tool/**", True),
        ("**", "**", True),
        ("tool/file/**", "tool/**", False),
        ("tool/read", "tool/**", False),
        ("tool/**", "toolbox/read", False),
        ("tool/**", "**", False),
        ("tool", "tool/read", False),
    ],
)
def test_a_path_covers_itself_and_a_subtree_what_is_below(holder: str, wanted: str, is_so: bool) -> None:
    assert covers(holder, wanted) is is_so


@given(_held, _held, _held)
def test_covering_is_transitive(top: str, middle: str, low: str) -> None:
    if covers(top, middle) and covers(middle, low):
        assert covers(top, low)


@given(_held, _held)
def test_two_that_cover_each_other_mean_the_same(one: str, other: str) -> None:
    if covers(one, other) and covers(other, one):
        assert one == other


@given(_held, _held, _plain)
def test_whatever_lies_in_both_makes_them_overlap(path: str, forbidden: str, inside: str) -> None:
    assert overlaps(path, forbidden) == overlaps(forbidden, path)
    if covers(path, inside) and covers(forbidden, inside):
        assert overlaps(path, forbidden)


@given(_plain, st.lists(_held, max_size=5))
def test_the_stores_lookup_and_the_laws_walk_agree(wanted: str, held: list[str]) -> None:
    assert is_covered(wanted, held) == (not set(sufficient(wanted)).isdisjoint(held))


def test_what_is_uncovered_keeps_its_order() -> None:
    assert uncovered(["c", "tool/x", "a"], ["tool/**"]) == ("c", "a")


@pytest.mark.parametrize("path", ["tool/file/read", "**", "model/openai:gpt-5-mini", "file/kb/**"])
def test_a_path_of_words_is_a_privilege(path: str) -> None:
    assert is_path(path)


@pytest.mark.parametrize(
    "path", ["", "/", "/**", "a//b", "a/", "file/x **", "file/x\n**", "a b", "file/\u00e9"]
)
def test_what_is_no_path_of_words_is_no_privilege(path: str) -> None:
    assert not is_path(path)
