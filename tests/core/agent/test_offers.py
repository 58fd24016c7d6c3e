"""What is offered follows rights, and not the role alone."""

from __future__ import annotations

from dataclasses import replace

from swarmd.core.agent.offers import offer_to
from swarmd.core.model.functions import BUILT_IN, Offer
from swarmd.core.model.lineage import Agent
from swarmd.core.model.moves import ROLE_MOVES
from swarmd.core.model.names import SOB
from tests.core.swarm_builder import ROOMS, declarations, world

ROOM_OF = {room.name: room for room in ROOMS}


def _offered(agent: Agent, *, has_children: bool = False) -> Offer:
    roles = declarations().roles
    role = roles["manager"].model_copy(update={"moves": ROLE_MOVES, "functions": tuple(BUILT_IN)})
    return offer_to(agent, {**roles, "manager": role}, ROOM_OF, BUILT_IN, has_children=has_children)


def test_only_functions_whose_privilege_is_held_are_offered() -> None:
    top = world().grow(SOB, "top")
    for held, offered in (
        (("tool/file/**",), list(BUILT_IN)),
        (("**",), list(BUILT_IN)),
        (("tool/file/read",), ["tree/list", "file/read"]),
        ((), ["tree/list"]),
    ):
        offer = _offered(replace(top, privileges=held))
        assert [function.name for function in offer.functions] == offered
        assert "use" in offer.moves


def test_who_may_create_nobody_and_has_nobody_is_not_offered_to_lead() -> None:
    top = world().grow(SOB, "top")
    assert set(_offered(replace(top, privileges=("**",))).moves) == {*ROLE_MOVES, "use"}
    bare = set(_offered(replace(top, privileges=())).moves)
    assert bare == {"report", "wait", "think", "use"}
    with_children = set(_offered(replace(top, privileges=()), has_children=True).moves)
    assert with_children == bare | {"direct", "govern"}


def test_who_may_speak_in_no_room_is_not_offered_to_say() -> None:
    top = world().grow(SOB, "top")
    assert "say" in _offered(replace(top, privileges=("room/hall/say",))).moves
    assert "say" not in _offered(replace(top, privileges=("room/other/say",))).moves
