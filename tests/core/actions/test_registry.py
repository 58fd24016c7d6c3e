"""The registry of actions: one file a verb, from which the move, the motion and the order are made."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from swarmd.core.actions import registry
from swarmd.core.actions.registry import ACTIONS
from swarmd.core.model import actions
from swarmd.core.model.actions import Actor, Answers, verbs_of
from swarmd.core.model.motions import MOTION
from swarmd.core.model.moves import MOVE, Govern
from swarmd.core.model.names import SOB, Authority
from swarmd.core.model.refusals import Rule
from swarmd.core.model.requests import parse_order, parse_request
from tests.core.swarm_builder import MISSION, act_args, world
from tests.scratch_copy import copy_source, run_in

OF_OPERATORS = ("ack", "cancel", "drop", "forget", "override", "repair", "retry")


def _written(verb: str, authority: Authority) -> Any:
    """The envelope of an agent or of the board, parsed, as the supervisor decides it."""
    act = {"verb": verb, "target": "x", "reason": "r"}
    if authority is Authority.BOARD:
        return MOTION.validate_python({"motion": "act", **act})
    return MOVE.validate_python({"move": "govern", **act})


def test_each_file_declares_the_verb_of_its_name() -> None:
    folder = Path(actions.__file__).parents[1] / "actions/verbs"
    files = {file.stem for file in folder.glob("*.py")} - {"__init__"}
    assert files == set(ACTIONS) == set(actions.verbs())
    assert {action.name for action in ACTIONS.values()} == files


@pytest.mark.parametrize("verb", sorted(ACTIONS))
def test_an_operator_may_order_each_verb(verb: str) -> None:
    order = parse_order({"order": "o1", "verb": verb, "target": "x"})
    assert not isinstance(order, str)
    assert type(order.act) is ACTIONS[verb].args


@pytest.mark.parametrize("authority", [Authority.LINEAGE, Authority.BOARD])
@pytest.mark.parametrize("verb", sorted(ACTIONS))
def test_a_move_and_a_motion_have_the_verbs_of_their_authority_and_no_other(
    verb: str, authority: Authority
) -> None:
    if verb in verbs_of(authority):
        assert type(_written(verb, authority).args()) is ACTIONS[verb].args
    else:
        assert verb in OF_OPERATORS
        with pytest.raises(ValidationError):
            _written(verb, authority)


@pytest.mark.parametrize("verb", OF_OPERATORS)
def test_a_request_for_what_only_an_operator_may_do_is_not_read(verb: str) -> None:
    act = {"verb": verb, "target": "x", "reason": "r"}
    found = parse_request({"type": "act", "act": act})
    assert isinstance(found, str)
    assert verb in found


@pytest.mark.parametrize("authority", [Authority.LINEAGE, Authority.BOARD])
@pytest.mark.parametrize("verb", sorted(set(OF_OPERATORS) - {"override"}))
def test_what_only_an_operator_may_do_is_refused_to_others_however_it_came_there(
    verb: str, authority: Authority
) -> None:
    w = world()
    top = w.grow(SOB, "top")
    actor = Actor(top.id if authority is Authority.LINEAGE else SOB, authority, MISSION)
    denied = registry.do(w.renew(), actor, act_args(verb, MISSION))
    assert denied is not None
    assert denied.rule is Rule.REQUEST_INVALID
    assert w.changes == []


def test_one_type_of_arguments_stands_in_all_three_envelopes() -> None:
    act = {"verb": "drain", "target": "x", "reason": "r", "grace_s": 5}
    order = parse_order({"order": "o1", **act})
    request = parse_request({"type": "act", "act": act})
    assert not isinstance(order, str)
    move = MOVE.validate_python({"move": "govern", **act})
    assert isinstance(move, Govern)
    assert (
        move.args()
        == MOTION.validate_python({"motion": "act", **act}).args()  # type: ignore[attr-defined]  # an act
        == order.act
        == request.act  # type: ignore[union-attr]  # an act
    )


def test_a_verb_is_answered_when_its_effect_was_seen_or_at_once() -> None:
    seen = {verb for verb, action in ACTIONS.items() if action.answers is Answers.WHEN_SEEN}
    assert seen == {"freeze", "halt", "drain", "terminate", "cancel"}


def test_the_rows_are_read_without_what_decides() -> None:
    """So that the command line makes its verbs of them, and starts fast."""
    program = (
        "import sys; from swarmd.core.model.actions import verbs, action_of;"
        "found = [action_of(verb) for verb in verbs()];"
        "print(sorted(name for name in sys.modules if name.startswith('swarmd.core.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    for heavy in ("model.state", "model.changes", "model.declarations", "actions.stop"):
        assert f"swarmd.core.{heavy}'" not in done.stdout


# --- a new verb is one file ---------------------------------------------------------------------

PRAISE = '''
"""Praise: somebody has done well, and the journal says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from swarmd.core.model.actions import Action, Actor, Args, Target

if TYPE_CHECKING:
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


class PraiseArgs(Args):
    medal: str = Field("tin", max_length=20, description="of which metal")

    def facts(self) -> dict[str, Any]:
        return {"medal": self.medal}


def decide(draft: Draft, actor: Actor, args: PraiseArgs) -> Denied | None:
    from swarmd.core.actions.authority import find
    from swarmd.core.model.entries import entry, order_facts
    from swarmd.core.model.events import JournalEvent
    from swarmd.core.model.lineage import Agent

    found = find(draft.swarm, actor, args.target)
    if not isinstance(found, Agent):
        return found
    more = {"medal": args.medal} | dict(order_facts(actor.order, "done") or {})
    draft.add(entry(draft.moment, JournalEvent.STATE_CHANGED, args.reason, actor=actor.id, more=more))
    return None


ACTION = Action(
    name="praise",
    help="Say that somebody has done well.",
    decide=decide,
    args=PraiseArgs,
    targets=(Target.AGENT,),
)
'''

USE = """
from swarmd.core.model.motions import MOTION
from swarmd.core.model.moves import MOVE, Govern
from swarmd.core.model.names import SOB
from tests.core.control.test_agent_requests import _review, FILE
from tests.core.swarm_builder import journal, world

act = {"verb": "praise", "reason": "well done", "medal": "gold"}
schema = Govern.model_json_schema()["properties"]
assert "praise" in schema["verb"]["enum"]
assert schema["medal"]["description"] == "for `praise`: of which metal"

w = world()
executive = w.grow(SOB, "top")
child = w.grow(executive.id, "kid")
move = MOVE.validate_python({"move": "govern", "target": "kid", **act})
asked = w.request(executive.id, "act", act=move.args().model_dump(mode="json"))
(told,) = journal(asked, "state.changed")
assert (told.data["actor"], told.data["medal"]) == (executive.id, "gold")

(told,) = journal(w.order("praise", child.id, reason="r", medal="lead"), "state.changed")
assert (told.data["actor"], told.data["medal"], told.data["outcome"]) == ("operator", "lead", "done")

w = world()
executive = _review(w, taint=())
(told,) = journal(w.carry({"motion": "act", "target": executive.id, **act}), "state.changed")
assert told.data["actor"] == "sob"

w = world()
executive = _review(w, taint=FILE)
assert not journal(w.carry({"motion": "act", "target": executive.id, **act}), "state.changed")
(approval,) = w.swarm.approvals.values()
assert journal(w.order("approve", approval.id), "state.changed"), "what needs permission is done by permission"
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source, with one file more."""
    added = "swarmd/core/actions/verbs/praise.py"
    return copy_source(tmp_path_factory.mktemp("house"), added, PRAISE)


def test_a_new_verb_is_one_file_for_an_agent_the_board_and_an_operator(house: Path) -> None:
    run_in(house, "-c", textwrap.dedent(USE))


def test_a_new_verb_is_a_command_with_its_arguments_and_help(house: Path) -> None:
    told = run_in(house, "-m", "swarmd", "praise", "--help")
    assert "Say that somebody has done well." in told
    for word in ("AGENT", "--medal", "of which metal", "--reason", "--no-wait", "--redis-url"):
        assert word in told
    assert "praise" in run_in(house, "-m", "swarmd", "--help")
