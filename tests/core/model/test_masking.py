"""Secrets taken out of a text: all of them, always alike, and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.model.masking import MASK, Masking

KEY = "local-model-key-7"
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    "MIIEowIBAAKCAQEA0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLM\n"
    "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJCrze8SNFZ4kKvN7xI=\n"
    "-----END RSA PRIVATE KEY-----"
)
SECRETS = {
    "an API key": "sk-proj-0123456789abcdefABCDEF",
    "another provider's": "sk-ant-api03-abcdefgh_ijklmn-0123",
    "GitHub's": "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "GitHub's newer": "github_pat_11ABCDEFG0123456789_abcdefghij",
    "GitLab's": "glpat-abcdefghij0123456789",
    "Amazon's": "AKIAIOSFODNN7EXAMPLE",
    "Google's": "AIzaSyA0123456789abcdefghijklmnopqrstuv",
    "Slack's": "xoxb-123456789012-abcdefABCDEF",
    "Hugging Face's": "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH",
    "a web token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkw.dozjgNryP4J3jVmNHl0w5N_X",
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "the key is {}.",
        '{{"key":"{}"}}',
        "KEY={}\n",
        "({})",
        "MY_KEY_{}",
        "\u00e9{}",
        # A character of JSON, of a program's text and of a URL that ends with a letter or a digit.
        '{{"text":"key:\\n{}"}}',
        '{{"text":"a\\t{}\\u00e9{}"}}',
        '{{"text":"{{\\"text\\":\\"key:\\\\n{}\\"}}"}}',
        "b'\\xe9{}'",
        "?key%3D{}%0A{}",
        # In colour.
        "\x1b[1m{}\x1b[0m",
        "\\u001b[38;5;196m{} \\033[1m{}",
    ],
)
def test_what_has_the_shape_of_a_secret_is_masked(secret: str, around: str) -> None:
    masked = Masking().text(around.format(*[secret] * 2))
    assert masked == around.format(*[MASK] * 2)


def test_a_key_that_the_process_holds_is_masked_whatever_its_shape() -> None:
    masking = Masking([KEY, KEY + "-longer", "", "no"])
    assert masking.text(f"{KEY} x{KEY}y no {KEY}-longer") == f"{MASK} x{MASK}y no {MASK}"


def test_a_key_that_json_writes_otherwise_is_masked_there_too() -> None:
    key = 'p"ss\\w\u00f6rd-1'
    for dumped in (json.dumps(key), json.dumps(key, ensure_ascii=False)):
        assert Masking([key]).text(f'{{"key": {dumped}}}') == f'{{"key": "{MASK}"}}'
        within = json.dumps(f'{{"key": {dumped}}}')
        assert Masking([key]).text(within) == json.dumps(f'{{"key": "{MASK}"}}')


def test_of_a_url_the_password_alone_is_masked() -> None:
    said = "redis://worker:p@ss-w0rd@host:6379/0 and rediss://:hidden1@[::1]/0"
    assert Masking().text(said) == f"redis://worker:{MASK}@host:6379/0 and rediss://:{MASK}@[::1]/0"


def test_a_header_keeps_its_name() -> None:
    said = "Authorization: Bearer abc.def-0123456789\nauthorization: Basic dXNlcjpwYXNzd29yZA=="
    expected = f"Authorization: Bearer {MASK}\nauthorization: Basic {MASK}"
    assert Masking().text(said) == expected
    in_json = json.dumps(json.dumps({"text": said.replace("Authorization: ", "\n")}))
    assert json.dumps({"text": expected.replace("Authorization: ", "\n")}) == json.loads(
        Masking().text(in_json)
    )


def test_a_private_key_is_masked_line_by_line_so_that_line_numbers_stay() -> None:
    said = f"before\n{PEM}\nafter"
    assert Masking().text(said) == "\n".join(["before", *[MASK] * 4, "after"])
    # A result of a function has them as a list, and may have been cut off before the end.
    lines = said.split("\n")
    assert Masking().value(lines) == ["before", *[MASK] * 4, "after"]
    assert Masking().value(lines[:-2]) == ["before", *[MASK] * 3]


LINES = ["QUJDREVG" * 8, "QUJDREVH" * 8]
HEADED = ["Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-128-CBC,0123456789ABCDEF", *LINES]


@pytest.mark.parametrize("lines", [LINES, HEADED], ids=["plain", "encrypted"])
@pytest.mark.parametrize("before", ["", "> ", "    ", "# ", " * ", "> > "])
@pytest.mark.parametrize("has_end", [True, False])
def test_a_private_key_is_masked_however_its_lines_are_quoted(
    lines: list[str], before: str, has_end: bool
) -> None:
    ending = ["-----END RSA PRIVATE KEY-----"] if has_end else []
    key = [before + line for line in ["-----BEGIN RSA PRIVATE KEY-----", *lines, *ending]]
    masked = Masking().text("\n".join(["before", *key, "behind it"]))
    assert "QUJDREV" not in masked
    assert masked.split("\n") == ["before", before + MASK, *[MASK] * (len(key) - 1), "behind it"]
    assert "QUJDREV" not in Masking().text(json.dumps("\r\n".join(key)))


def test_of_a_key_longer_than_any_its_lines_are_masked_and_not_what_follows() -> None:
    long = ["-----BEGIN PGP PRIVATE KEY BLOCK-----", *LINES * 200]
    said = "\n".join([*long, "and then: a long text.", "-----END PGP PRIVATE KEY BLOCK-----"])
    masked = Masking().text(said).split("\n")
    assert masked == [*[MASK] * len(long), "and then: a long text.", said.split("\n")[-1]]


@pytest.mark.parametrize(
    "text",
    [
        "Bearer authentication is described in RFC 6750; the bearer understands it.",
        "http://localhost:8080/v1 and redis://host:6379/0",
        '{"url":"http://localhost:8080","mail":"a@b.example"}',
        "task-oriented-agents and risk-averse-behaviour, disk-based-storage",
        "ask-for-permission, a task-list-of-ten, risk-free-trials; C:\\task-lists \\ask-for-much",
        json.dumps("a list:\n\task-for-permission\r\nrisk-free-trials\u00e9task-list-of-ten"),
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "a" * 64,
        "AKIA is the prefix; eyJ begins many.",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Masking([KEY]).text(text) == text


@dataclass(frozen=True)
class Said:
    text: str
    parts: tuple[tuple[str, str], ...]


def test_a_text_is_masked_wherever_it_stands_and_the_rest_is_the_same_object() -> None:
    masking = Masking([KEY])
    said = Said(f"a {KEY}", (("user", "b"), ("assistant", KEY)))
    assert masking.value(said) == Said(f"a {MASK}", (("user", "b"), ("assistant", MASK)))
    assert masking.value({KEY: [1, None, {"deep": (KEY,)}]}) == {MASK: [1, None, {"deep": (MASK,)}]}
    clean = {"a": ["b", 1]}
    assert masking.value(clean) is clean


def test_a_secret_that_stands_in_the_mask_itself_masks_nothing() -> None:
    masking = Masking(["secret", "masked", "secret masked", "t masked] x"])
    text = f"the secret is {MASK} x"
    assert masking.text(text) == text


PIECES = st.sampled_from(
    [
        *SECRETS.values(),
        KEY,
        PEM,
        MASK,
        "AKIA",
        "sk-",
        "://u:",
        "@h",
        "Bearer ",
        "\n",
        " ",
        "x",
        '"',
    ]
)


@given(st.lists(PIECES | st.text(max_size=8), max_size=12).map("".join))
def test_masking_again_changes_nothing_and_lines_stay_as_many(text: str) -> None:
    masking = Masking([KEY, "x" + MASK, "AKIAx]", "u:u:u:"])
    once = masking.text(text)
    assert masking.text(once) == once
    assert masking.text(text) == once
    assert once.count("\n") == text.count("\n")
    assert KEY not in once


def test_a_long_text_costs_little() -> None:
    """Each prompt passes here several times: a regular expression for each shape at each place of
    it would cost a worker with 64 turns at once its event loop.
    """
    import time

    text = "An agent says something of http://host:80/path and of task-based work.\n" * 3_000
    masking = Masking([KEY, "another-secret-value"])
    started = time.perf_counter()
    assert masking.text(text) == text
    assert time.perf_counter() - started < 0.5
