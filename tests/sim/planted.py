"""Defects that are planted on purpose, to see whether the search finds them and after how many
worlds.

Each is one change of the product's text: of a script as the server holds it, or of a function as it
is compiled. The product itself knows nothing of it, and a place that is not there exactly once is
an error here, not a defect found.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any, Final

from swarmd.adapters.redis.lua import script
from tests.sim.server import PLANTED


@dataclass(frozen=True, slots=True)
class Fault:
    """`where`: scripts, or a function as `module:qualified.name`. Each pair is a text that stands
    there once, and what stands there instead; of scripts with a common part the pair is applied to
    each of them. `scenario` names the written world that shows it, where drawn ones seldom come to
    its place."""

    name: str
    law: str
    where: str
    changes: tuple[tuple[str, str], ...]
    scenario: str = ""

    @property
    def is_script(self) -> bool:
        return ":" not in self.where


def _fault(name: str, law: str, where: str, *changes: tuple[str, str], scenario: str = "") -> Fault:
    return Fault(name, law, where, changes, scenario)


_HOLD = "begin commit"
_SIBLINGS = "swarmd.core.tree.spawn:_beside"
_LIMITS = "swarmd.core.tree.spawn:_within_limits"

FAULTS: Final[Sequence[Fault]] = (
    # What scripts hold.
    _fault(
        "a fence is not looked at",
        "2",
        _HOLD,
        ("if marks[i] then return 'fence.path', all[i] end", ""),
    ),
    _fault(
        "a stop is not looked at",
        "2",
        _HOLD,
        ("if kind then return STOP_RULES[kind], target, kind end", ""),
    ),
    _fault(
        "the host of an agent is not compared",
        "8",
        _HOLD,
        (
            "if held ~= lease or holder ~= host then return 'lease.lost', 'held by ' .. holder end",
            "",
        ),
    ),
    _fault(
        "the lease of a host is not looked at",
        "8",
        _HOLD,
        (
            (
                "if redis.call('EXISTS', host_key) == 0 then return 'lease.lost', 'the host did "
                "not renew' end"
            ),
            "",
        ),
    ),
    _fault(
        "an incarnation is not compared",
        "7",
        _HOLD,
        (
            "if now ~= incarnation then return 'incarnation.former', 'now ' .. now end",
            "",
        ),
    ),
    _fault(
        "a revocation is ignored",
        "3",
        _HOLD,
        (
            (
                "if covering[mark[1]] and mark[2] > newest and mark[3] ~= 'grant' then return "
                "'privilege.revoked' end"
            ),
            "",
        ),
    ),
    _fault(
        "a privilege is not asked for at a call",
        "3",
        "begin",
        ("if no then return refuse(no, privileges[i][1], 'action') end", ""),
    ),
    _fault("a post needs no right", "3", "commit", ("if #wanted > 0 then", "if false then")),
    _fault(
        "a turn's number is not compared",
        "8",
        "commit",
        ("if not rule and state ~= turn - 1 then", "if false then"),
    ),
    _fault(
        "a commit forgets that it was made",
        "8",
        "commit",
        ("if state == turn and committed[2] == ARGV[2] then return {'again'} end", ""),
        ("if not rule and state ~= turn - 1 then", "if false then"),
    ),
    _fault(
        "a call begins though its turn is committed",
        "8",
        "begin",
        (
            "if not rule and tonumber(turn) ~= state + 1 then",
            "if not rule and tonumber(turn) > state + 1 then",
        ),
    ),
    _fault(
        "a call begins of a turn that the server lost",
        "8",
        "begin",
        (
            "if not rule and tonumber(turn) ~= state + 1 then",
            "if not rule and tonumber(turn) <= state then",
        ),
    ),
    _fault(
        "what has ended is done again",
        "8",
        "begin",
        ("if before[2] then return {'ended', before[2]} end", ""),
    ),
    _fault(
        "more is reserved than is free",
        "4",
        "begin",
        ("if tonumber(free or 0) < amount then", "if false then"),
    ),
    _fault("a call is settled twice", "4", "end", ("if before[2] then return {'again'} end", "")),
    _fault(
        "a settlement keeps a part",
        "4",
        "end",
        ("if reserve > amount then add", "if reserve > amount + 100 then add"),
    ),
    _fault(
        "a former holder settles",
        "4",
        "end",
        ("if tostring(open.lease) ~= ARGV[2] then return {'former'} end", ""),
    ),
    _fault(
        "a loop is not cut",
        "10",
        "commit",
        ("if tonumber(ARGV[7]) > tonumber(ARGV[8]) and #outputs > 0 then", "if false then"),
    ),
    _fault(
        "a post of a turn is not marked",
        "8",
        "commit",
        ("if #marks > 0 then redis.call('ZADD', KEYS[9], unpack(marks)) end", ""),
    ),
    _fault(
        "a former leader commits",
        "8",
        "supervise",
        ("if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'not leading' end", ""),
    ),
    _fault(
        "a leader's commit is made twice",
        "8",
        "supervise",
        ("if seq == tonumber(ARGV[2]) then return 'again' end", ""),
        ("if seq ~= tonumber(ARGV[2]) - 1 then return 'behind' end", ""),
    ),
    _fault(
        "a key that was given once is forgotten",
        "8",
        "post",
        ("if before then return before end", ""),
    ),
    # What workers do.
    _fault(
        "a lost wake-up",
        "8",
        "swarmd.runtime.worker.listening:Listening.sweep",
        (
            "mine = [channel for channel in channels if context.residents.is_read(channel)]",
            "mine = []",
        ),
    ),
    _fault(
        "a ring is trusted",
        "8",
        "swarmd.runtime.worker.delivery:Delivery._is_taken",
        ("ring.prev != known or ", ""),
    ),
    _fault(
        "a position is not committed",
        "8",
        "swarmd.adapters.redis.worker_store:RedisWorkerStore._state_of",
        (
            'state += [f"p:{channel}", position]',
            "pass",
        ),
    ),
    _fault(
        "a lease that lapsed is never taken up again",
        "11",
        "swarmd.runtime.worker.admission:Admission.take_back",
        ("if self.context.doubtful:", "if False:"),
    ),
    _fault(
        "a message is taken as often as it comes",
        "9",
        "swarmd.core.bus.envelope:Heard.refusal",
        ("if mark > known:", "if True:"),
    ),
    _fault(
        "a forged message is taken",
        "9",
        "swarmd.core.bus.envelope:Seal._mac",
        ("keyed.update(body)", "pass"),
    ),
    # What the supervisor decides.
    _fault(
        "a bound on the living ignores the same motion",
        "1",
        _LIMITS,
        (
            "len(swarm.lineage.agents) + pending >= limits.agents_max",
            "len(swarm.lineage.agents) >= limits.agents_max",
        ),
    ),
    _fault("fan-out is not bounded", "1", _SIBLINGS, ("len(siblings) >= children_max", "False")),
    _fault(
        "the rate of spawns is not bounded",
        "1",
        _LIMITS,
        ("if _is_too_fast(", "if False and _is_too_fast("),
    ),
    _fault(
        "two siblings have one name",
        "7",
        _SIBLINGS,
        ("any(agent.name == charter.name for agent in siblings)", "False"),
    ),
    _fault(
        "the depth is not bounded",
        "1",
        "swarmd.core.tree.spawn:_may_still_create",
        (
            "if parent.tier + 1 > swarm.declared.limits.depth_max:",
            "if False:",
        ),
    ),
    _fault(
        "who is ending makes children",
        "2",
        "swarmd.core.tree.spawn:_may_still_create",
        ("swarm.lineage.is_fenced((*parent.path, *mission_segments(mission)))", "False"),
        ("or parent.state is AgentState.DRAINING", ""),
    ),
    _fault(
        "who is stopped makes children",
        "2",
        "swarmd.core.tree.spawn:_may_still_create",
        ("if stop is not None:", "if False:"),
    ),
    _fault(
        "a child is given what its creator has not",
        "3",
        "swarmd.core.tree.rights:_grantable",
        (
            'return live_holding(path, "grant", held, marks)',
            'return Held(path, "grant")',
        ),
    ),
    _fault(
        "anybody ends anybody",
        "2",
        "swarmd.core.actions.authority:_find_below",
        ("if not swarm.lineage.is_ancestor(own, found):", "if False:"),
    ),
    _fault(
        "parents are reaped before children",
        "2",
        "swarmd.core.control.termination:_reap_segment",
        ("if how is None or swarm.lineage.child_count(agent.id):", "if how is None:"),
        (
            "for agent in reversed(swarm.lineage.below(segment))",
            "for agent in swarm.lineage.below(segment)",
        ),
    ),
    _fault(
        "an end is confirmed that nobody saw",
        "2",
        "swarmd.core.control.sightings:seen_ended",
        (
            'if agent.host not in swarm.hosts:\n        return "unreachable"',
            'if agent.host not in swarm.hosts:\n        return "confirmed"',
        ),
    ),
    _fault(
        "a motion is carried without a quorum",
        "5",
        "swarmd.core.model.voting:decide_vote",
        ("if len(ballots) < bench.quorum:", "if False:"),
        scenario="few-votes",
    ),
    _fault(
        "a silent seat is waited for",
        "5",
        "swarmd.core.board.clerk:tick",
        ("deadline <= draft.now", "False"),
        scenario="silent-seats",
    ),
    _fault(
        "a dead host is never declared gone",
        "11",
        "swarmd.core.control.placement:admit_hosts",
        (
            "if not has_left and not may_declare_dead:",
            "if not has_left:",
        ),
    ),
    _fault(
        "the local clock is trusted",
        "14",
        "swarmd.runtime.supervisor.memory:LeaderMemory.now",
        (
            "self.time.read(self.clock.now() + self.store.clock_behind())",
            "self.clock.now()",
        ),
    ),
    _fault(
        "a leader is not told what the server lost",
        "8",
        "swarmd.runtime.supervisor.leadership:Leadership.renew",
        (
            "if await memory.store.last_commit() < known:",
            "if False:",
        ),
    ),
    _fault(
        "an input is decided again by a successor",
        "8",
        "swarmd.adapters.redis.loading:Loading._load_positions",
        (
            "positions = await self._session.hash_at(key)",
            "positions = await self._session.hash_at(key); positions.pop('requests', None)",
        ),
    ),
    _fault(
        "a result is told before the end",
        "8",
        "swarmd.core.control.termination:reap",
        (
            "and not draft.swarm.observed.endings[segment].queue",
            "",
        ),
    ),
    _fault(
        "a silent server is waited for at one moment",
        "14",
        "swarmd.adapters.redis.connection.pipeline:Pipe._look",
        (
            "if loop.time() >= due:",
            "if loop.time() - max(line.heard_at, self._sent[0].since) >= COMMAND_SECONDS:",
        ),
    ),
)


class NotThereError(Exception):
    """The text that a planted fault changes is not there exactly once."""


@contextmanager
def planted(fault: Fault) -> Iterator[None]:
    """The product has this defect meanwhile, in this process."""
    undo = _in_scripts(fault) if fault.is_script else _in_function(fault)
    _forget()
    try:
        yield
    finally:
        undo()
        _forget()


def _forget() -> None:
    """What was remembered of decisions is of the law without the defect, or with it."""
    for name, module in list(sys.modules.items()):
        if name.startswith("swarmd.core."):
            for found in vars(module).values():
                if hasattr(found, "cache_clear"):
                    found.cache_clear()


def _changed(fault: Fault, text: str) -> str:
    for pattern, instead in fault.changes:
        if text.count(pattern) != 1:
            raise NotThereError(
                f"{fault.name}: {text.count(pattern)} times in {fault.where}: {pattern}"
            )
        text = text.replace(pattern, instead)
    return text


def _in_scripts(fault: Fault) -> Callable[[], None]:
    found = [script(name) for name in fault.where.split()]
    PLANTED.update({one.sha: _changed(fault, one.text) for one in found})
    return PLANTED.clear


def _in_function(fault: Fault) -> Callable[[], None]:
    """Its code is exchanged, not its name: whoever has imported it has the defect too."""
    function = _function(fault.where)
    before, changed = function.__code__, _compiled(function, _changed(fault, _source(function)))
    function.__code__ = changed

    def undo() -> None:
        function.__code__ = before

    return undo


def _function(where: str) -> FunctionType:
    module, _, name = where.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = inspect.getattr_static(found, part)
    assert isinstance(found, FunctionType), f"{where} is no plain function"
    return found


def _source(function: FunctionType) -> str:
    lines, _ = inspect.getsourcelines(function)
    return textwrap.dedent("".join(lines))


def _compiled(function: FunctionType, text: str) -> CodeType:
    space: dict[str, Any] = {}
    exec(
        compile(f"from __future__ import annotations\n{text}", "<planted>", "exec"),
        dict(function.__globals__),
        space,
    )
    made = space[function.__name__]
    code: CodeType = inspect.unwrap(made).__code__
    return code
