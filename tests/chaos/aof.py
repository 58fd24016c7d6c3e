"""What a damaged disk does to a swarm: the append-only file cut at random bytes, damaged files,
lost power.

    python -m tests.chaos aof --cuts 1000 --seed 1

Makes the data of a real mission once. Then each of: the last incremental file ends at a random
byte, and the server must boot with every law kept; base or manifest are damaged, and the start must
be refused with the file's name and a way out, nothing on disk changed; under `strict`, the file
ends where it was on the disk when a write was acknowledged, and that write must be there. A few of
the cut folders are taken up again to the mission's end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from swarmd.adapters.archive.fsck import check
from swarmd.adapters.archive.verify import Tail, prove
from swarmd.adapters.redis.connection.requirements import connect_sync
from swarmd.adapters.redis.connection.sync_client import Wire
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.lua import script
from swarmd.adapters.redis.reader import view_of
from swarmd.adapters.server.damage import DamagedError
from swarmd.adapters.server.embedded import EmbeddedServer, momentary
from swarmd.adapters.server.pauses import drive
from swarmd.core.model.channels import room
from swarmd.core.model.names import SOB
from tests.chaos.report import Report

MISSION: Final = "What happens to an agent when its worker is killed?"
FILES: Final = ("docs/architecture.md", "docs/law.md", "docs/journal.md")
NAMESPACE: Final = "swarm"
# What a cut may show: the journal's signed heads are files of their own, and know of what was lost
# with the end.
TOLD: Final = frozenset({"lost"})
STRICT_WRITES: Final = 400


@dataclass(slots=True)
class Tally:
    """What was tried and what went wrong."""

    cuts: int = 0
    damages: int = 0
    strict: int = 0
    resumed: int = 0
    told: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


# --- the data ----------------------------------------------------------------------------------


def make(folder: Path) -> Path:
    """The data folder of a mission that was delivered, with a base file that holds something."""
    data = folder / "made"
    files = [word for name in FILES for word in ("--files", str(Path(name).absolute()))]
    _swarmd(data, "run", MISSION, "--quiet", *files)
    with momentary(data) as target, connect_sync(target) as wire:
        wire.command("BGREWRITEAOF")
        _until_rewritten(wire)
    # What the incremental file holds comes after the rewrite.
    _swarmd(data, "run", MISSION, "--quiet", *files)
    return data


def _swarmd(data: Path, *words: str, codes: tuple[int, ...] = (0,)) -> int:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OPENAI_", "REDIS_", "SWARMD_"))
    }
    command = [sys.executable, "-m", "swarmd", *words, "--data", str(data)]
    if words[0] == "run":
        command += ["--model", "builtin"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env=environment
    )
    assert done.returncode in codes, f"{words}: {done.returncode}: {done.stderr[-2_000:]}"
    return done.returncode


def _until_rewritten(wire: Wire) -> None:
    for _ in range(400):
        said = wire.command("INFO", "persistence")
        assert isinstance(said, bytes)
        if b"aof_rewrite_in_progress:0" in said and b"aof_rewrite_scheduled:0" in said:
            return
        time.sleep(0.05)
    raise AssertionError("the rewrite did not end")


def copied(source: Path, place: Path, *, whole: bool = False) -> Path:
    """A fresh copy; the journal goes along, and all else only where the mission is to be taken
    up again.
    """
    shutil.rmtree(place, ignore_errors=True)
    if whole:
        shutil.copytree(source, place, ignore=shutil.ignore_patterns("redis.sock"))
    else:
        place.mkdir(mode=0o700)
        for name in ("appendonlydir", "journal"):
            shutil.copytree(source / name, place / name)
    return place


def last_incremental(data: Path) -> Path:
    return max(
        (data / "appendonlydir").glob("*.incr.aof"), key=lambda path: int(path.name.split(".")[2])
    )


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


# --- cut -----------------------------------------------------------------------------------------


def cut(source: Path, place: Path, at: int, tally: Tally) -> None:
    """One boot of a file that ends at that byte, and every law looked at."""
    data = copied(source, place)
    os.truncate(last_incremental(data), at)
    tally.cuts += 1
    try:
        with momentary(data) as target, closing(view_of(target, NAMESPACE)) as view:
            id = view.swarm_id()
            for flaw in check(view, data / "journal", id, looks=1):
                tally.faults.append(f"cut at {at}: {flaw.name}: {flaw.subject}: {flaw.what}")
            proof = prove(
                data / "journal", id, lambda: Tail(view.journal(), view.journal_head())
            ).proof
            for finding in proof.findings:
                if finding.kind in TOLD:
                    tally.told[finding.kind] += 1
                else:
                    tally.faults.append(f"cut at {at}: {finding.kind}: {finding.what}")
    except Exception as error:
        tally.faults.append(f"cut at {at}: {type(error).__name__}: {error}")


def resume(source: Path, place: Path, at: int, tally: Tally) -> None:
    """The cut folder is taken up again: an open mission comes to its end, and the living swarm
    is sound.
    """
    data = copied(source, place, whole=True)
    os.truncate(last_incremental(data), at)
    try:
        # 2: nothing was open there.
        if _swarmd(data, "run", "--resume", "--quiet", codes=(0, 2)) == 0:
            tally.resumed += 1
        _swarmd(data, "fsck")
    except (AssertionError, subprocess.TimeoutExpired) as error:
        tally.faults.append(f"resumed after a cut at {at}: {error}")


# --- damage ---------------------------------------------------------------------------------------


def damage(source: Path, place: Path, dice: random.Random, tally: Tally) -> None:
    """Base or manifest damaged in a random way: refused by name, with a way out, and left as it
    is.
    """
    data = copied(source, place)
    folder = data / "appendonlydir"
    kind = dice.choice(["base.rdb", "manifest"])
    [path] = [path for path in folder.iterdir() if path.name.endswith(kind)]
    how = _damaged(path, kind, dice)
    before = digests(folder)
    tally.damages += 1
    server = EmbeddedServer(data)
    try:
        drive(server._start())
    except DamagedError as told:
        if told.path.parent != folder or not (folder / told.path.name == path or how == "no file"):
            tally.faults.append(f"{path.name}, {how}: the error names {told.path}")
        if str(folder) not in told.hint:
            tally.faults.append(f"{path.name}, {how}: no way out in: {told.hint}")
    except Exception as error:
        tally.faults.append(f"{path.name}, {how}: {type(error).__name__}: {error}")
    else:
        drive(server._stop())
        tally.faults.append(f"{path.name}, {how}: it started")
    if digests(folder) != before:
        tally.faults.append(f"{path.name}, {how}: what is on the disk was changed")


def _damaged(path: Path, kind: str, dice: random.Random) -> str:
    content = bytearray(path.read_bytes())
    ways = ["cut", "bytes"] if kind == "base.rdb" else ["cut", "lines", "empty", "no file"]
    how = dice.choice(ways)
    if how == "no file":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "lines":
        lines = content.splitlines(keepends=True)
        path.write_bytes(b"".join(lines[: dice.randrange(1, len(lines))]))
    elif how == "cut":
        path.write_bytes(content[: dice.randrange(1, len(content))])
    else:
        for _ in range(8):
            # Beyond the header: the version there may become another that is read as well.
            content[dice.randrange(9, len(content))] ^= dice.randrange(1, 256)
        path.write_bytes(content)
    return how


# --- strict ---------------------------------------------------------------------------------------


def strict(folder: Path, dice: random.Random, points: int, tally: Tally) -> None:
    """Writes one after the other, each with the file's length when it was acknowledged; then power
    is lost between.

    One writer alone, so that all of the file up to there had been put on the disk when the reply
    came: the server replies after the fsync of what it has written.
    """
    data, marks = folder / "strict", list[tuple[int, str]]()
    server = EmbeddedServer(data, durability="strict")
    drive(server._start())
    try:
        with connect_sync(server.socket) as wire:
            assert wire.command("CONFIG", "GET", "appendfsync") == [b"appendfsync", b"always"]
            for number in range(STRICT_WRITES):
                id = _posted(wire, number)
                marks.append((last_incremental(data).stat().st_size, id))
    finally:
        drive(server._stop())
    keys = Keys(NAMESPACE)
    for _ in range(points):
        last = dice.randrange(len(marks))
        beyond = marks[last + 1][0] if last + 1 < len(marks) else marks[last][0] + 1
        at = dice.randrange(marks[last][0], beyond)
        place = folder / "cut"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(mode=0o700)
        shutil.copytree(data / "appendonlydir", place / "appendonlydir")
        os.truncate(last_incremental(place), at)
        tally.strict += 1
        with momentary(place) as target, connect_sync(target) as wire:
            found = wire.command("XRANGE", keys.channel(_ROOM), "-", "+")
            assert isinstance(found, list)
            there = [
                entry[0].decode()
                for entry in found
                if isinstance(entry, list) and isinstance(entry[0], bytes)
            ]
            wanted = [id for _, id in marks[: last + 1]]
            if there[: len(wanted)] != wanted:
                tally.faults.append(
                    f"strict, cut at {at}: {len(wanted)} were acknowledged, {len(there)} are there"
                )


_ROOM: Final = room("strict")


def _posted(wire: Wire, number: int) -> str:
    keys = Keys(NAMESPACE)
    stream = keys.channel(_ROOM)
    names = [stream, keys.heads, keys.posts, stream, keys.ends]
    line = json.dumps({"from": SOB, "kind": "say", "text": f"{number}"})
    reply = wire.command("EVAL", script("post").text, 5, *names, _ROOM, line, "", 60)
    assert isinstance(reply, bytes), reply
    return reply.decode()


# --- all of it ------------------------------------------------------------------------------------


def trial(folder: Path, *, cuts: int, damages: int, points: int, resumes: int, seed: int) -> Tally:
    """Everything, `folder` being a place for scratch."""
    dice, tally = random.Random(seed), Tally()
    source = make(folder)
    size = last_incremental(source).stat().st_size
    for _ in range(cuts):
        cut(source, folder / "cut", dice.randrange(size + 1), tally)
    for _ in range(damages):
        damage(source, folder / "damaged", dice, tally)
    strict(folder, dice, points, tally)
    for _ in range(resumes):
        resume(source, folder / "resumed", dice.randrange(size // 4, size), tally)
    return tally


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cuts", type=int, default=1_000)
    parser.add_argument("--damages", type=int, default=200)
    parser.add_argument(
        "--points", type=int, default=200, help="moments of lost power under strict"
    )
    parser.add_argument("--resumes", type=int, default=10)


def run(arguments: argparse.Namespace) -> Report:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="aof-") as folder:
        tally = trial(
            Path(folder),
            cuts=arguments.cuts,
            damages=arguments.damages,
            points=arguments.points,
            resumes=arguments.resumes,
            seed=arguments.seed,
        )
    counts = {
        "cuts": tally.cuts,
        "of them told as lost by anchors": tally.told["lost"],
        "damages": tally.damages,
        "moments of lost power": tally.strict,
        "missions taken up again": tally.resumed,
    }
    return Report(
        "aof", arguments.seed, counts, {"seconds": time.monotonic() - began}, tally.faults
    )
