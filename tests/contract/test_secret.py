"""The swarm's secret on a real file system: made once, whoever comes first, and read by its
owner alone.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from swarmd.adapters import secret
from swarmd.adapters.server.data_folder import has_data
from swarmd.app.process import with_secret
from swarmd.core.model.masking import MASK, Masking
from swarmd.errors import UsageError
from swarmd.settings import Settings

GOOD = "a secret that is long enough for this"


def read(data: Path, named: Path | None = None, *, is_elsewhere: bool = False) -> str:
    return secret.read(data, named, is_elsewhere=is_elsewhere)


def written(path: Path, text: str = GOOD, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_first_start_makes_a_secret_that_only_its_owner_reads_and_later_ones_keep_it(
    tmp_path: Path,
) -> None:
    data = tmp_path / "new" / "data"
    secret.make(data)
    first = read(data)
    assert re.fullmatch(r"[0-9a-f]{64}", first)
    assert stat.S_IMODE((data / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    secret.make(data)
    assert read(data) == first
    assert [path.name for path in data.iterdir()] == ["secret"], "something was left behind"


def test_many_that_start_at_once_agree(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from swarmd.adapters import secret; data = "
        "Path(sys.argv[1]); sys.stdin.read(); secret._make_file(data / 'secret'); "
        "print(secret.read(data, None, is_elsewhere=False))"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "data")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    said = [child.communicate()[0] for child in children if child.stdin is not None]
    assert len(said) == 6
    assert {child.returncode for child in children} == {0}
    assert len(set(said)) == 1
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["secret"]


@pytest.mark.parametrize(
    ("owner", "mode", "is_good"),
    [
        ("own", 0o600, True),
        ("own", 0o400, True),
        ("own", 0o640, False),
        ("own", 0o604, False),
        ("own", 0o644, False),
        ("root", 0o640, True),
        ("root", 0o440, True),
        ("root", 0o600, True),
        ("root", 0o644, False),
        ("root", 0o660, False),
    ],
)
def test_a_secret_that_others_can_read_is_refused_with_what_to_do(
    owner: str, mode: int, is_good: bool, tmp_path: Path
) -> None:
    path = written(tmp_path / "secret", mode=mode)
    if os.getuid() == 0:
        os.chown(path, 0 if owner == "root" else 10_001, -1)
    elif owner == "root":
        pytest.skip("only root can make files of root's")
    if is_good:
        assert read(tmp_path) == GOOD
        return
    with pytest.raises(UsageError, match=f"mode 0{mode:o}") as refused:
        read(tmp_path)
    assert refused.value.hint == f"chmod 600 {path}"


@pytest.mark.parametrize("text", ["", "short", " " * 40, "x" * 5_000, "\u00fc" * 40])
def test_what_is_no_secret_is_refused_and_not_shown(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no secret") as refused:
        read(tmp_path, written(tmp_path / "mine", text))
    assert not text.strip() or text not in f"{refused.value} {refused.value.hint}"


def test_without_a_secret_everyone_is_told_his_own_way_out(tmp_path: Path) -> None:
    hints = []
    for named, is_elsewhere in ((None, False), (None, True), (tmp_path / "none", True)):
        with pytest.raises(UsageError, match="there is no secret") as refused:
            read(tmp_path, named, is_elsewhere=is_elsewhere)
        hints.append(refused.value.hint)
    assert "swarmd up" in hints[0]
    assert "SWARMD_SECRET_FILE" in hints[1]
    assert "SWARMD_SECRET_FILE names it" in hints[2]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"the data folder .*/file/data cannot be made") as told:
        secret.make(tmp_path / "file" / "data")
    assert "SWARMD_DATA" in told.value.hint
    assert "secret" not in told.value.what


def test_a_named_file_goes_before_the_data_folder_and_is_never_made(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data", secret_file=tmp_path / "mine")
    with pytest.raises(UsageError):
        with_secret(settings)
    assert not any(tmp_path.iterdir())
    written(tmp_path / "mine", GOOD + "\n")
    assert with_secret(settings).secret == GOOD
    assert not settings.data.exists()


def test_the_secret_is_masked_in_logs_and_not_in_the_settings_words(tmp_path: Path) -> None:
    settings = replace(Settings(data=tmp_path), secret=GOOD, api_keys={"openai": "a key of theirs"})
    assert GOOD not in repr(settings)
    assert Masking(settings.secrets).text(f"it is {GOOD}.") == f"it is {MASK}."
    assert set(settings.secrets) == {GOOD, "a key of theirs"}


def test_a_folder_that_nobody_may_look_into_is_told_and_not_taken_for_an_empty_one() -> None:
    # A name that is too long fails as a folder without rights does, for root too.
    data = Path("/" + "x" * 300)
    with pytest.raises(UsageError, match="cannot be read"):
        secret.make(data)
    with pytest.raises(UsageError, match="cannot be looked at"):
        has_data(data)


def test_a_pipe_in_the_place_of_the_secret_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "secret", 0o600)
    with pytest.raises(UsageError, match="holds no secret"):
        secret.read(tmp_path, None, is_elsewhere=False)
