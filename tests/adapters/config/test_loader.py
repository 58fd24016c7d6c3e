"""The declarations: what is shipped is sound, and what is wrong is said with its file and line."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError

from swarmd.adapters.config import checks, loader, validation, yaml_lines
from swarmd.core.model.actions import verbs_of
from swarmd.core.model.functions import BUILT_IN
from swarmd.core.model.moves import MOVE_TYPES
from swarmd.core.model.names import Authority
from swarmd.core.model.privileges import is_covered
from swarmd.errors import DeclarationError, UsageError, WorkspaceError

SHIPPED = Path(loader.__file__).parents[3]
WELL_FORMED = re.compile(r"[^\n]+:[1-9][0-9]*: [^\s:][^\n]*?: [^\n]+")

Edit = Callable[[str, str, str], Path]


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED / "policies", tmp_path / "policies"))


@pytest.fixture
def channels(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED / "channels", tmp_path / "channels"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder of policies with nothing in it yet."""
    made = tmp_path / "mine"
    made.mkdir()
    return made


def put(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def change(path: Path, old: str, new: str) -> int:
    """Replace the one place where `old` stands; returns its line."""
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {path}"
    path.write_text(text.replace(old, new))
    return text[: text.index(old)].count("\n") + 1


def lines(policies: Path | None = None, channels: Path | None = None) -> list[str]:
    return list(loader.faults(policies, channels))


# --- what is shipped ---------------------------------------------------------------------------


def test_what_is_shipped_has_no_fault() -> None:
    assert loader.faults() == ()


def test_the_shipped_board_has_the_six_seats_of_the_design() -> None:
    shipped = loader.load()
    assert [shipped.personas[seat].title for seat in shipped.board.seats] == [
        "Captain Picard",
        "Socrates",
        "King Solomon",
        "Gandhi",
        "Marcus Aurelius",
        "Tony Stark",
    ]
    assert shipped.board.chair == "captain-picard"
    for text in (shipped.constitution, shipped.procedures, shipped.handbook):
        assert len(text.split()) > 200


def test_the_constitution_names_the_three_imperatives() -> None:
    text = loader.load().constitution.lower()
    for imperative in ("reduce suffering", "increase prosperity", "increase understanding"):
        assert imperative in text


def test_the_handbook_and_the_procedures_explain_each_move_and_motion() -> None:
    shipped = loader.load()
    for move in MOVE_TYPES:
        assert f"`{move}`" in shipped.handbook + shipped.procedures
    for function in BUILT_IN:
        assert f"`{function}`" in shipped.handbook
    for motion in ("charter", "direct", "act", "override", "deliver", "reject"):
        assert f"**{motion}**" in shipped.procedures


def test_what_every_agent_is_told_is_fifteen_hundred_tokens_at_most() -> None:
    shipped = loader.load()
    assert len(shipped.constitution + shipped.handbook) / 4 <= 1_500, "four characters a token"


def test_the_handbook_and_the_procedures_explain_each_verb_to_those_who_may_use_it() -> None:
    shipped = loader.load()
    for text, authority in (
        (shipped.handbook, Authority.LINEAGE),
        (shipped.procedures, Authority.BOARD),
    ):
        assert [verb for verb in verbs_of(authority) if f"`{verb}`" not in text] == []


def test_a_shipped_role_holds_all_that_the_roles_it_creates_need() -> None:
    roles = loader.load().roles
    for role in roles.values():
        for child in (
            roles[p.removeprefix("spawn/")] for p in role.privileges if p.startswith("spawn/")
        ):
            for needed in child.privileges:
                assert is_covered(needed, role.privileges), (role.name, child.name, needed)
            assert {tier + 1 for tier in role.tiers} <= set(child.tiers), (role.name, child.name)


def test_a_shipped_role_holds_what_its_functions_use() -> None:
    for role in loader.load().roles.values():
        assert is_covered("model/any:any", role.privileges), role.name
        for name in role.functions:
            needed = BUILT_IN[name].privilege
            assert not needed or is_covered(needed, role.privileges), (role.name, name)


# --- a user's folder ---------------------------------------------------------------------------


def test_an_empty_folder_stands_for_all_that_is_shipped(folder: Path) -> None:
    assert loader.load(folder, folder) == loader.load()


def test_one_file_of_the_users_replaces_one_that_is_shipped(folder: Path) -> None:
    put(folder, "models.yaml", "default: builtin\n")
    mine, shipped = loader.load(folder), loader.load()
    assert mine.models.default == "builtin"
    assert mine.models.providers == {}
    assert (mine.limits, mine.board, mine.roles) == (shipped.limits, shipped.board, shipped.roles)


def test_personas_roles_and_rooms_of_the_users_are_added(folder: Path, tmp_path: Path) -> None:
    put(
        folder,
        "personas/hypatia.md",
        "---\nname: hypatia\ntitle: Hypatia\n---\nYou measure the sky.\n",
    )
    put(
        folder,
        "roles/critic.yaml",
        ("name: critic\nsummary: Finds faults.\ntiers: [2]\nmoves: [report]\nmethodology: Look.\n"),
    )
    rooms = tmp_path / "rooms"
    put(
        rooms,
        "critics.yaml",
        "name: critics\npurpose: To criticise.\ntiers: [2]\nroles: [critic]\n",
    )
    mine = loader.load(folder, rooms)
    assert mine.personas["hypatia"].text == "You measure the sky."
    assert mine.roles["critic"].tiers == (2,)
    assert mine.rooms["critics"].roles == ("critic",)
    assert "sob" in mine.rooms


def test_the_digest_changes_with_any_file_and_with_nothing_else(
    policies: Path, channels: Path
) -> None:
    before = loader.load().digest
    assert loader.load(policies, channels).digest == before
    for path in sorted([*policies.rglob("*.*"), *channels.rglob("*.*")]):
        original = path.read_bytes()
        path.write_bytes(original + b"\n")
        assert (loader.load(policies, channels).digest == before) == (path.name == "README.md"), (
            path
        )
        path.write_bytes(original)


def test_readme_and_hidden_files_are_no_declarations(folder: Path) -> None:
    put(folder, "README.md", "mine")
    put(folder, ".limits.yaml.swp", b"\xff\x00")
    put(folder, "roles/README.md", "mine")
    assert lines(folder, folder / "roles") == []


def test_a_byte_order_mark_and_windows_line_ends_are_fine(policies: Path) -> None:
    board, persona = policies / "board.yaml", policies / "personas/gandhi.md"
    for path in (board, persona):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert loader.load(policies).personas == loader.load().personas


# --- each class of fault, on its line ----------------------------------------------------------


def fault_of(folder: Path, name: str, text: str | bytes) -> str:
    """The one fault of a folder with this one file, without the path before it."""
    path = put(folder, name, text)
    found = lines(folder)
    assert len(found) == 1, found
    assert found[0].startswith(f"{path}:"), found
    return found[0].removeprefix(f"{path}:")


LIMITS = """\
# mine
root: {tokens: 100, cost: 100, calls: 100, tools: 100, agents: 10}

mission:
  tokens: 10
  calls: 10
  agents: 5
  cost: 10
  tools: 10
"""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (LIMITS + "depth_max: '4'\n", "10: depth_max: should be a valid integer, not 4"),
        (LIMITS + "depth_max: 4.0\n", "10: depth_max: should be a valid integer, not 4.0"),
        (LIMITS + "depth_max: true\n", "10: depth_max: should be a valid integer, not true"),
        (LIMITS + "depth_max: 040\n", "10: depth_max: must be a decimal number, not 040"),
        (
            LIMITS + "deadline_seconds: 1:30\n",
            "10: deadline_seconds: must be a decimal number, not 1:30",
        ),
        (
            LIMITS + "deadline_seconds: .nan\n",
            "10: deadline_seconds: must be a decimal number, not .nan",
        ),
        (LIMITS + "deadline_seconds: 1.0e+999\n", "10: deadline_seconds: is not a finite number"),
        (LIMITS + "depth_max: 99\n", "10: depth_max: should be less than or equal to 16, not 99"),
        (LIMITS + "\n\ndeth_max: 4\n", "12: deth_max: is unknown; did you mean depth_max?"),
        (
            LIMITS + "depth_max: 4\ndepth_max: 5\n",
            "11: depth_max: is given twice, first on line 10",
        ),
        (LIMITS + "  agents: 6\n", "10: mission.agents: is given twice, first on line 7"),
        (LIMITS.replace("  calls: 10\n", ""), "5: mission.calls: is required"),
        (
            LIMITS.replace("  calls: 10\n", "  cals: 10\n  calls: 10\n"),
            "6: mission.cals: is unknown; did you mean calls?",
        ),
        (
            LIMITS.replace("  calls: 10\n", "  calls:\n    -1\n"),
            "7: mission.calls: should be greater than or equal to 0, not -1",
        ),
        (
            LIMITS.replace("calls: 10\n", "calls: 101\n"),
            "6: mission.calls: 101 is more than root has, 100",
        ),
        ("root: {tokens: 1, cost: 1, calls: 1, tools: 1, agents: 1}\n", "1: mission: is required"),
        (
            LIMITS + "forbidden:\n  - tool/file/write\n  - tools/file/read\n",
            (
                "12: forbidden.1: tools/file/read: there is no kind of privilege tools; did you "
                "mean tool?"
            ),
        ),
        (
            LIMITS + "forbidden: [model/openai:x]\n",
            "10: forbidden.0: model/openai:x: role analyst holds model/** and would lose it whole",
        ),
        (LIMITS + "forbidden: tool\n", "10: forbidden: should be a valid array, not tool"),
        (
            LIMITS + "a: !!python/object/apply:os.system [true]\n",
            "10: a: the tag tag:yaml.org,2002:python/object/apply:os.system is not allowed",
        ),
        (LIMITS + "depth_max: !odd 4\n", "10: depth_max: the tag !odd is not allowed"),
        (LIMITS + "depth_max: !!int four\n", "10: depth_max: must be a decimal number, not four"),
        (LIMITS + "? [a, b]\n: 1\n", "10: file: a key must be a word"),
        (LIMITS + "'a: b': 1\n", "10: 'a: b': is unknown; known: root"),
        ("- a\n- b\n", "1: file: must be fields, each as `name: value`"),
        ("\n\nroot: {\n", "4: file: is not YAML"),
        ("root: 1\n---\nroot: 2\n", "2: file: is not YAML"),
        ("root: 1\nmore: \x07\n", "2: file: has the control character '\\x07'"),
        (b"root: 1\nmore: \xff\xfe\n", "2: file: is not UTF-8 text"),
        ("a: &a [x]\nb: *a\n", "1: file: anchors and aliases are not allowed; write it out"),
        ("a: 1\nb: " + "[" * 17 + "]" * 17 + "\n", "2: file: is nested more than 16 deep"),
        # The parser may give up before our bound is asked, in words of its own.
        ("a: 1\nb: " + "[" * 100_000, "2: file: is "),
        ("a: 1\nb: " + "[" * 100_000 + "]" * 100_000 + "\n", "2: file: is "),
        (
            "a: 1\nb:\n" + "".join(" " * n + "-\n" for n in range(1, 40)),
            "18: file: is nested more than 16 deep",
        ),
        ("root:\n" + "- 1\n" * 10_000, "9998: file: has more than 10000 values"),
        ("#" * 1_000_001, "1: file: is larger than 1000000 bytes"),
        (
            LIMITS.replace("calls: 10\n", f"calls: {2**53}\n"),
            "6: mission.calls: is beyond 9,007,199,254,740,991",
        ),
        (
            LIMITS.replace("calls: 10\n", f"calls: {'9' * 400}\n"),
            "6: mission.calls: is beyond 9,007,199,254,740,991",
        ),
        (LIMITS.replace("calls: 10\n", f"calls: {'9' * 5_000}\n"), "6: mission.calls: "),
        (
            LIMITS + "deadline_seconds: 1.0e+300\n",
            "10: deadline_seconds: is beyond 9,007,199,254,740,991",
        ),
    ],
)
def test_a_fault_in_the_limits_is_said_with_its_line(
    folder: Path, text: str | bytes, fault: str
) -> None:
    found = fault_of(folder, "limits.yaml", text)
    assert found.startswith(fault), found


def test_what_a_value_should_be_is_said_in_our_words_whatever_the_library_calls_it() -> None:
    class Reworded(dict[str, object]):
        """An error of the next release of pydantic: the same facts in a sentence of another
        kind.
        """

        def __getitem__(self, name: str) -> object:
            return "Nope!" if name == "msg" else super().__getitem__(name)

    class Numbers(BaseModel, strict=True):
        few: int = Field(ge=1, le=16)
        share: float = Field(ge=0)
        word: Literal["one", "two"]
        name: str = Field(pattern="^[a-z]+$")
        names: tuple[str, ...] = Field(min_length=1)

    with pytest.raises(ValidationError) as caught:
        Numbers.model_validate_json(
            '{"few": 99, "share": -1, "word": "three", "name": "A", "names": []}', strict=True
        )
    assert [validation.sentence_of(Reworded(error)) for error in caught.value.errors()] == [
        "should be less than or equal to 16, not 99",
        "should be greater than or equal to 0, not -1",
        "should be 'one' or 'two', not three",
        "should match pattern '^[a-z]+$', not A",
        "should have at least 1 item",
    ]


@pytest.mark.parametrize(
    ("old", "new", "below", "fault"),
    [
        ("chair: captain-picard", "chair: q", 0, "chair: is not one of the seats"),
        ("quorum: majority", "quorum: 7", 0, "quorum: is larger than the board"),
        (
            "  - gandhi",
            "  - ghandi",
            0,
            "seats.3: there is no personas/ghandi.md; did you mean gandhi?",
        ),
        (
            "tie_break: chair",
            "tie_break: no",
            0,
            "tie_break: should be 'chair' or 'fails', not false",
        ),
        ("rounds: 1", "rounds: 1\nround: 1", 1, "round: is unknown; did you mean rounds?"),
    ],
)
def test_a_fault_in_the_board_is_said_with_its_line(
    policies: Path, old: str, new: str, below: int, fault: str
) -> None:
    path = policies / "board.yaml"
    line = change(path, f"\n{old}\n", f"\n{new}\n") + 1 + below
    assert lines(policies) == [f"{path}:{line}: {fault}"]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("name: researcher", "name: reader", "name: must be the file's name, researcher"),
        (
            "  - model/**",
            "  - spawn/writter",
            "privileges.4: spawn/writter: there is no role writter; did you mean writer?",
        ),
        (
            "  - model/**",
            "  - room/sop/say",
            "privileges.4: room/sop/say: there is no room sop; did you mean sob?",
        ),
        (
            "  - model/**",
            "  - room/sob/hear",
            "privileges.4: room/sob/hear: must be room/NAME/say, or have `**` as its last part",
        ),
        (
            "  - model/**",
            "  - tool/file/delete",
            (
                "privileges.4: tool/file/delete: must be one of tool/file/list, tool/file/read, tool/file/search, "
                "tool/file/write, or have "
                "`**` as its last part"
            ),
        ),
        (
            "  - model/**",
            "  - file/**/read",
            "privileges.4: file/**/read: `*` stands only in a last `/**`",
        ),
        (
            "  - model/**",
            "  - model/gpt",
            "privileges.4: model/gpt: must be model/PROVIDER:NAME, or have `**` as its last part",
        ),
        (
            "  - model/**",
            "  - spawn",
            "privileges.4: spawn: must be spawn/ROLE, or have `**` as its last part",
        ),
        ("  - model/**", "  - /model", "privileges.4: should match pattern"),
        ("tiers: [2, 3, 4]", "tiers: [0]", "tiers: 0 is the board's own"),
        (
            "tiers: [2, 3, 4]",
            "tiers: [2]\nmodel: gpt-5",
            "model: must be PROVIDER:NAME with one of openai, builtin, scripted, not gpt-5",
        ),
        ("tiers: [2, 3, 4]", "tiers: []", "tiers: should have at least 1 item"),
        (
            "output_tokens_max: 3000",
            "output_tokens_max: 3000\nreasoning_effort: hard",
            "reasoning_effort: should be 'none', 'minimal', 'low', 'medium', 'high', 'xhigh' or "
            "'max', not hard",
        ),
        ("  - think", "  - vote", "moves: no move of an agent: vote; there are say, "),
        ("  - think", "  - use", "moves: no move of an agent: use; there are say, "),
        (
            "  - file/search",
            "  - file/serch",
            "functions.2: there is no function file/serch; did you mean file/search?",
        ),
        (
            "  - Keep the words of the source apart from your own.",
            "  - Keep apart: the words",
            "goals.1: should be a valid string, not fields; write it in quotes",
        ),
    ],
)
def test_a_fault_in_a_role_is_said_with_its_line(
    policies: Path, old: str, new: str, fault: str
) -> None:
    path = policies / "roles/researcher.yaml"
    line = change(path, f"{old}\n", f"{new}\n")
    [found] = lines(policies)
    assert re.fullmatch(rf"{re.escape(str(path))}:(\d+): {re.escape(fault)}.*", found), found
    said = int(found.removeprefix(f"{path}:").partition(":")[0])
    # A rule of the whole list is said where the list begins.
    begins = path.read_text().splitlines().index("moves:") + 2
    assert said == (begins if fault.startswith("moves") else line + new.count("\n"))


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("models.yaml", "default: gpt-5\n", "1: default: must be PROVIDER:NAME"),
        (
            "models.yaml",
            "providers:\n  opnai:\n    calls_at_once: 1\n",
            "2: providers.opnai: is unknown; did you mean openai?",
        ),
        (
            "models.yaml",
            "providers:\n  openai:\n    cals_at_once: 1\n",
            "3: providers.openai.cals_at_once: is unknown; did you mean calls_at_once?",
        ),
        (
            "models.yaml",
            "prices:\n  openai:x: {input: 1}\n",
            "2: prices.'openai:x'.output: is required",
        ),
        (
            "models.yaml",
            "prices:\n  openai:x: {input: -1, output: 2}\n",
            "2: prices.'openai:x'.input: should be greater than or equal to 0, not -1",
        ),
        (
            "models.yaml",
            "prices:\n  openai:x: {input: 1, output: .inf}\n",
            "2: prices.'openai:x'.output: must be a decimal number, not .inf",
        ),
        (
            "models.yaml",
            "prices:\n  openai:x: {input: 1, output: 2, cahed: 3}\n",
            "2: prices.'openai:x'.cahed: is unknown; did you mean cached?",
        ),
        (
            "models.yaml",
            "prices:\n  gpt-5: {input: 1, output: 2}\n",
            "2: prices.gpt-5: should match pattern '^openai:",
        ),
        (
            "models.yaml",
            "providers:\n  openai:\n    api: response\n",
            "3: providers.openai.api: should be 'chat' or 'responses', not response",
        ),
        (
            "models.yaml",
            "providers:\n  openai:\n    temperature: 3\n",
            "3: providers.openai.temperature: should be less than or equal to 2, not 3",
        ),
        (
            "models.yaml",
            "providers:\n  openai:\n    extra: {max_tokens: 5}\n",
            "3: providers.openai.extra: swarmd sets these fields itself: max_tokens",
        ),
        (
            "models.yaml",
            "unknown_price: zero\n",
            "1: unknown_price: should be 'tokens' or 'forbid', not zero",
        ),
        (
            "models.yaml",
            "default: 1\n",
            "1: default: should be a valid string, not 1; write it in quotes",
        ),
        ("personas/x.md", "You are X.\n", "1: file: must begin with front matter"),
        ("personas/x.md", "---\nname: x\ntitle: X\n---\n\n", "5: body: is empty"),
        (
            "personas/x.md",
            "---\nname: y\ntitle: X\n---\nBody\n",
            "2: name: must be the file's name, x",
        ),
        ("personas/x.md", "---\nname: x\n---\nBody\n", "2: title: is required"),
        (
            "personas/x.md",
            "---\nname: x\ntitle: X\ntile: X\n---\nBody\n",
            "4: tile: is unknown; did you mean title?",
        ),
        ("personas/x.md", "---\nname: x\ntitle: [\n---\nBody\n", "4: file: is not YAML"),
        (
            "personas/x.md",
            "---\nname: x\ntitle: 3\n---\nBody\n",
            "3: title: must be a text of 1 to 200 characters",
        ),
        ("personas/x.md", "---\n- x\n---\nBody\n", "2: file: the front matter must be fields"),
        (
            "personas/x.md",
            b"---\nname: x\ntitle: X\n---\n\nBody \xff\n",
            "6: file: is not UTF-8 text",
        ),
        ("personas/x.txt", "x", "1: file: is unknown; known here: personas/*.md"),
        ("roles/x.yml", "x", "1: file: is unknown; known here: roles/*.yaml"),
        ("limit.yaml", LIMITS, "1: file: is unknown; did you mean limits.yaml?"),
        (
            "notes.txt",
            "x",
            (
                "1: file: is unknown; known: constitution.md, procedures.md, handbook.md, "
                "acl.yaml, board.yaml, corrections.yaml, limits.yaml, models.yaml, personas/, roles/"
            ),
        ),
        ("handbook.md", " \n\n", "1: file: is empty"),
        ("corrections.yaml", "no_progress: {after: 0}\n", "1: no_progress.after: "),
        (
            "corrections.yaml",
            "premature_end: {after: 1, steps: [shout]}\n",
            "1: premature_end.steps.0: ",
        ),
        (
            "corrections.yaml",
            "no_progress: {after: 1, steps: [note, note]}\n",
            "1: no_progress.steps: ",
        ),
        ("corrections.yaml", "overlap: {after: 1}\n", "1: overlap: is unknown"),
    ],
)
def test_a_fault_in_any_other_policy_is_said_with_its_line(
    folder: Path, name: str, text: str | bytes, fault: str
) -> None:
    found = fault_of(folder, name, text)
    assert found.startswith(fault), found


NAMES = checks.StoreNames(("missions", "room:*", "_meta"), ("missions", "room:*", "_wake:*"))
ACL = """\
commands:
  look: [get, xrange]
roles:
  reader:
    summary: Reads.
    commands: [look]
    reads: ["room:*"]
    hears: ["room:sob", "_wake:*"]
    never: [missions, _meta]
"""


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("look: [get, xrange]", "look: [get, '+@all']", "2: commands.look.1: should match pattern"),
        (
            "commands: [look]",
            "commands: [lock]",
            "6: roles.reader.commands.0: there is no group of commands lock; did you mean look?",
        ),
        ('"room:*"]', "rooms]", "7: roles.reader.reads.0: there is no rooms; did you mean room:*?"),
        ('"room:*"]', '"_wake:*"]', "7: roles.reader.reads.0: there is no _wake:*"),
        ('"room:*"]', '"swarm:room:x"]', "7: roles.reader.reads.0: should match pattern"),
        ('"_wake:*"]', "_meta]", "8: roles.reader.hears.1: there is no _meta"),
        (
            "[missions, _meta]",
            "[missions]",
            "5: roles.reader: says nothing of _meta: it reads, writes or never touches it",
        ),
        (
            "[missions, _meta]",
            '[missions, _meta, "room:sob"]',
            "9: roles.reader.never.2: room:sob is among what it reads or writes, too",
        ),
        (
            "summary: Reads.",
            "summary: Reads.\n    wirtes: []",
            "6: roles.reader.wirtes: is unknown; did you mean writes?",
        ),
    ],
)
def test_a_fault_in_the_users_of_redis_is_said_with_its_line(
    folder: Path, old: str, new: str, fault: str
) -> None:
    path = put(folder, "acl.yaml", ACL)
    assert loader.faults(folder, names=NAMES) == ()
    change(path, old, new)
    found = [
        line for line in loader.faults(folder, names=NAMES) if line.startswith(f"{path}:{fault}")
    ]
    assert len(found) == 1, loader.faults(folder, names=NAMES)


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("sob", "name: sob\npurpose: Ours.\ntiers: [0, 1]\n", "3: tiers: must be [0]"),
        (
            "sob",
            "name: sob\npurpose: Ours.\ntiers: [0]\nscope: mission\n",
            "4: scope: must be swarm",
        ),
        (
            "sob",
            "name: sob\npurpose: Ours.\ntiers: [0]\nkeep: {messages: 300}\n",
            "4: keep.messages: must be at least 500",
        ),
        ("x", "name: y\npurpose: Ours.\ntiers: [1]\n", "1: name: must be the file's name, x"),
        ("x", "name: x\npurpose: Ours.\ntiers:\n  - 1\n  - -1\n", "5: tiers.1: tiers begin at 0"),
        (
            "x",
            "name: x\npurpose: Ours.\ntiers: [1]\nroles:\n  - executives\n",
            "5: roles.0: there is no role executives; did you mean executive?",
        ),
        (
            "x",
            "name: x\npurpose: Ours.\ntiers: [1]\nwakes: never\n",
            "4: wakes: should be 'mention' or 'all', not never",
        ),
        ("x", "name: x\npurpose: Ours.\n", "1: tiers: is required"),
    ],
)
def test_a_fault_in_a_room_is_said_with_its_line(
    folder: Path, name: str, text: str, fault: str
) -> None:
    path = put(folder, f"{name}.yaml", text)
    [found] = lines(None, folder)
    assert found.startswith(f"{path}:{fault}"), found


def test_all_faults_of_all_files_are_reported_at_once(policies: Path, channels: Path) -> None:
    wrong = {
        policies / "board.yaml": ("  - gandhi", "  - ghandi"),
        policies / "limits.yaml": ("depth_max: 4", "depth_max: four\nroot_max: 1"),
        policies / "models.yaml": ("    calls_at_once: 64", "    calls_at_once: 0"),
        policies / "roles/writer.yaml": ("  - model/**", "  - modl/**\nextra: 1"),
        policies / "personas/socrates.md": ("title: Socrates", "titel: Socrates"),
        channels / "executives.yaml": ("tiers: [1]", "tiers: [one]"),
    }
    for path, (old, new) in wrong.items():
        change(path, f"\n{old}\n", f"\n{new}\n")
    put(policies, "limit.yaml", "")
    with pytest.raises(DeclarationError) as raised:
        loader.load(policies, channels)
    found = raised.value.faults
    for path in wrong:
        assert any(line.startswith(f"{path}:") for line in found), path
    # Two in limits, in the writer and in Socrates, one in each other; none hides another.
    assert len(found) == 10, "\n".join(found)
    assert loader.faults(policies, channels) == found
    assert list(found) == sorted(
        found, key=lambda line: (line.split(":")[0], int(line.split(":")[1]))
    )


def test_what_roles_hold_by_its_own_path_can_be_forbidden(folder: Path) -> None:
    put(folder, "limits.yaml", LIMITS + "forbidden: [tool/file/write, spawn/**]\n")
    assert loader.load(folder).limits.forbidden == ("tool/file/write", "spawn/**")


def test_naming_a_role_whose_file_is_faulty_is_no_second_fault(policies: Path) -> None:
    put(policies, "roles/writer.yaml", "name: writer\nsummary: [\n")
    [found] = lines(policies)
    assert "writer.yaml:3: file: is not YAML" in found


def test_a_folder_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    assert lines(absent) == [f"{absent}:1: folder: cannot be read: No such file or directory"]


def test_a_folder_in_the_place_of_a_file_is_a_fault(folder: Path) -> None:
    (folder / "limits.yaml").mkdir()
    put(folder, "roles", "a file")
    assert lines(folder) == [
        f"{folder / 'limits.yaml'}:1: file: is not a file",
        f"{folder / 'roles'}:1: folder: cannot be read: Not a directory",
    ]


def test_a_name_cannot_steer_the_terminal(folder: Path) -> None:
    put(folder, "a\n\x1b[2J.yaml", "x")
    put(folder, "models.yaml", '"\\e[2J\\n": 1\n')
    for found in lines(folder):
        assert found.isprintable()
        assert WELL_FORMED.fullmatch(found), found


def test_the_parser_without_c_finds_the_same_faults(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import yaml

    put(folder, "limits.yaml", LIMITS + "depth_max: 'x'\nx: 1\nx: 2\n")
    put(folder, "models.yaml", 'default: "\\ud800"\n')
    put(folder, "personas/x.md", "---\nname: x\ntitle: [\n---\nBody\n")
    put(folder, "board.yaml", 'chair: "\\UFFFFFFFF"\n')
    with_c = [line.partition(": ")[0] for line in lines(folder)]
    yaml_lines._loader.cache_clear()
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    try:
        without = [line.partition(": ")[0] for line in lines(folder)]
    finally:
        yaml_lines._loader.cache_clear()
    named = {line.rpartition("/")[2].partition(":")[0] for line in without}
    assert named == {"limits.yaml", "models.yaml", "x.md", "board.yaml"}
    limits = [line for line in with_c if "limits" in line]
    assert [line for line in without if "limits" in line] == limits


# --- init --------------------------------------------------------------------------------------


def test_what_init_writes_is_what_is_shipped_and_checks(tmp_path: Path) -> None:
    written = loader.write_out(tmp_path / "mine")
    assert tmp_path / "mine/policies/roles/executive.yaml" in written
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {"policies", "channels"}
    mine = loader.load(tmp_path / "mine/policies", tmp_path / "mine/channels")
    assert mine == loader.load()


def test_init_twice_writes_nothing_the_second_time(tmp_path: Path) -> None:
    written = loader.write_out(tmp_path)
    written[0].unlink()
    assert loader.write_out(tmp_path) == (written[0],)
    assert loader.write_out(tmp_path) == ()


def test_init_never_overwrites_and_then_writes_nothing_at_all(tmp_path: Path) -> None:
    mine = put(tmp_path, "policies/roles/writer.yaml", "mine")
    with pytest.raises(UsageError, match=re.escape(str(mine))):
        loader.write_out(tmp_path)
    assert mine.read_text() == "mine"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]


def test_init_into_a_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    put(tmp_path, "policies", "a file")
    with pytest.raises(WorkspaceError, match="policies"):
        loader.write_out(tmp_path)


# --- whatever the bytes ------------------------------------------------------------------------

PLACES = (
    "corrections.yaml",
    "limits.yaml",
    "board.yaml",
    "models.yaml",
    "roles/executive.yaml",
    "personas/socrates.md",
)
PIECES = (
    "\n",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "&a",
    "*a",
    "!!int ",
    "!x ",
    "|",
    ">",
    "'",
    '"',
    "#",
    "---\n",
    "%YAML 2.0\n",
    "? ",
    "<<: ",
    "\t",
    "\x00",
    "\x85",
    "\u2028",
    "\ufeff",
    "\\",
    "0x",
    "1:30",
    ".inf",
    "~",
    "2024-01-01",
    "yes",
    "9" * 5_000,
    '"\\ud800"',
    '"\\UFFFFFFFF"',
    "é",
    "\r",
)


@st.composite
def mutations(draw: st.DrawFn) -> tuple[str, bytes]:
    """A shipped file with some pieces cut out, repeated or put in."""
    place = draw(st.sampled_from(PLACES))
    text = (SHIPPED / "policies" / place).read_text()
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        to = min(len(text), at + draw(st.integers(0, 40)))
        piece = draw(st.sampled_from(PIECES) | st.text(max_size=8) | st.just(text[at:to] * 2))
        text = text[:at] + piece + text[to:]
    raw = text.encode("utf-8", "surrogatepass")
    return place, raw[draw(st.integers(0, 3)) :] if draw(st.booleans()) else raw


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(mutation=mutations())
@example(mutation=("limits.yaml", b""))
@example(mutation=("limits.yaml", b"\xff"))
@example(mutation=("models.yaml", b'default: "\\ud800"'))
@example(mutation=("models.yaml", b'"\\ud800": 1'))
@example(mutation=("models.yaml", b"providers: [a]"))
@example(mutation=("models.yaml", b"providers: {'': {}}"))
@example(mutation=("limits.yaml", b"root: {tokens: " + b"9" * 4_200 + b"}"))
@example(mutation=("personas/socrates.md", b"---\n--- \n"))
def test_whatever_is_in_a_file_it_loads_or_its_faults_are_said(
    tmp_path_factory: pytest.TempPathFactory, mutation: tuple[str, bytes]
) -> None:
    place, raw = mutation
    folder = tmp_path_factory.mktemp("mine")
    path = put(folder, place, raw)
    for found in loader.faults(folder):
        assert WELL_FORMED.fullmatch(found), found
        assert found.startswith(f"{path}:") or "board.yaml" in found, found
        line = int(found.removeprefix(f"{path}:").partition(":")[0])
        assert (
            line <= len(re.split("\r\n|[\n\r\x85\u2028\u2029]", raw.decode("utf-8", "replace"))) + 1
        )


def test_a_wrong_value_hides_no_rule_of_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "board.yaml").write_text("quorum: 40\nrounds: 99\nseats: [socrates]\nchair: worf\n")
    said = [fault.partition("board.yaml:")[2] for fault in loader.faults(tmp_path)]
    assert said == [
        "1: quorum: is larger than the board",
        "2: rounds: should be less than or equal to 5, not 99",
        "4: chair: is not one of the seats",
    ]
