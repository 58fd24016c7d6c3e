"""What a seat of the board is told when it is called. Pure.

The order is that of how often a part changes: what stands for the whole mission first, then the
motion, then the room, and who is asked last. Seats that are called at once differ in nothing but
their last lines, so that a provider's prompt cache serves all but the first of them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from swarmd.core.agent.child_reports import ChildReport, child_reports_text
from swarmd.core.agent.file_list import FileFacts, are_all_named, files_text
from swarmd.core.agent.prompt import listed, quoted, roles_text
from swarmd.core.model.declarations import Declarations, Role
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import OPERATOR
from swarmd.core.model.words import words_of

ROOM_MESSAGES_MAX: Final = 60  # what a seat sees of this mission's part of the room

Facts = Mapping[str, Any]


def call_text(
    call: Facts,
    files: Sequence[FileFacts],
    room: Sequence[Message],
    roles: Sequence[Role],
    child_reports: Sequence[ChildReport] = (),
) -> str:
    """The clerk's call."""
    parts = [
        *_mission_lines(files, roles),
        *_charter_lines(call["charters"]),
        *_operator_lines(call),
        *_report_lines(call),
        *_motion_lines(call, room),
        *_room_lines(call, room),
        # Behind what all seats are told: only who decides what the motion says is shown them.
        *_child_report_lines(child_reports),
        *_standing_lines(call),
        *_agenda_lines(call),
        *_history_lines(call),
        f"phase: {call['phase']}\n{_ask(call)}",
    ]
    return "\n".join(part for part in parts if part)


def reads_child_reports(call: Facts) -> bool:
    """Who says in a review what the motion is to be."""
    return bool(call["reports"]) and call["phase"] in ("review", "respond")


def persona_of_seat(declared: Declarations, name: str, call: Facts) -> str:
    """Who is asked: the one part that differs from seat to seat."""
    persona = declared.personas.get(name)
    seats = list(call["seats"])
    place = f"seat {seats.index(name) + 1} of {len(seats)}" if name in seats else "a seat"
    chair = "you have the chair" if name == call["chair"] else f"the chair: {call['chair']}"
    return "\n\n".join(
        part
        for part in (
            persona.text.strip() if persona is not None else "",
            f"You are {name}, {place} of the board; {chair}. "
            f"Answer with {' or '.join(f'`{name}`' for name in call['required'])}, once.",
        )
        if part
    )


def board_roles(declared: Declarations) -> tuple[Role, ...]:
    """The roles that a motion may charter."""
    return tuple(role for role in declared.roles.values() if 1 in role.tiers)


# --- the mission ------------------------------------------------------------------------------


def _mission_lines(files: Sequence[FileFacts], roles: Sequence[Role]) -> Iterator[str]:
    if files:
        by_folder = (
            "" if are_all_named(files) else f" ({len(files)}; an executive can list a folder)"
        )
        yield f"files of the mission{by_folder}: {files_text(files)}"
    yield roles_text(roles)


def _charter_lines(charters: Sequence[Facts]) -> Iterator[str]:
    for charter in charters:
        given = f"{charter['name']} ({charter['agent']}, {charter['role']})"
        done = f"\ndone means: {charter['done']}" if charter["done"] else ""
        yield quoted("charter", f"{given}\ntask: {charter['task']}{done}{_given_beside(charter)}")


def _given_beside(charter: Facts) -> str:
    """Its files and what it was to mind, in brief."""
    files, minds = charter.get("files", ()), charter.get("mind", ())
    more = charter.get("files_count", 0) - len(files)
    named = f"{', '.join(files)}{f' … and {more} more' if more > 0 else ''}"
    return "".join(
        (
            f"\nfiles: {named}" if files else "",
            f"\nto mind: {' · '.join(minds)}" if minds else "",
        )
    )


def _report_lines(call: Facts) -> Iterator[str]:
    reports = call["reports"]
    if reports:
        yield "reports: " + ", ".join(report["agent"] for report in reports)
    for report in reports:
        files = f"\nfiles: {listed(report['files'])}" if report.get("files") else ""
        cited = "".join(
            f"\n{what}: {report[what]}"
            for what in ("citations", "checks", "kpis")
            if report.get(what)
        )
        words = words_of(report["text"])
        within = report.get("within")
        size = f"its beginning; {within} has worked from it" if within else f"{words:,} words"
        former = ", from before the board directed it" if report.get("is_before_directive") else ""
        head = f"{report['agent']} {report['name']} ({size}{former})"
        yield quoted("report", f"{head}{files}{cited}\n{report['text']}")


def _child_report_lines(child_reports: Sequence[ChildReport]) -> Iterator[str]:
    if child_reports:
        yield (
            "What the executives' children reported to them. Where an executive contradicts its "
            "child, one of them is wrong: direct the executive to look it up."
        )
        yield quoted("children", child_reports_text(child_reports))


def _operator_lines(call: Facts) -> Iterator[str]:
    """What a person has said to the board."""
    for word in call["words"]:
        yield quoted("operator", f"{word['at']} {word['text']}")
    if call["words"]:
        yield "An operator is a person, and an operator's word goes before the board's."


def _agenda_lines(call: Facts) -> Iterator[str]:
    """What waits for the board, each with what can be done about it."""
    reported = {report["agent"] for report in call["reports"]}
    told = [_item_text(item, reported) for item in call["agenda"]]
    if told:
        yield quoted("agenda", "\n".join(told))


def _item_text(item: Facts, reported: Collection[str]) -> str:
    facts = {name: item[name] for name in ("approval", "request", "expires") if name in item}
    about = f" {json.dumps(facts, ensure_ascii=False)}" if facts else ""
    is_shown = item["kind"] == "blocker" and item["agent"] in reported
    what = "its report says what it needs" if is_shown else item["what"]
    who = f"{item['kind']}: {item['name']} ({item['agent']})"
    return f"- {who}, since {item['since']}: {what}{about}. You can {item['can']}."


# --- the motion -------------------------------------------------------------------------------


def _motion_lines(call: Facts, room: Sequence[Message]) -> Iterator[str]:
    if call["motion"]:
        motion = _written(call["motion"])
        yield f"motion {call['motion_number']}, proposed by {call['proposer']}:"
        yield quoted("motion", motion)
    mark = ", on the motion before it was changed" if _is_changed(call, room) else ""
    silent = [one["seat"] for one in call["arguments"] if not one["text"]]
    if silent:  # only who consents needs no words
        yield f"consented{mark}: {', '.join(silent)}"
    for answer in call["arguments"]:
        if answer["text"]:
            # A person's word goes before the board's, whatever became of the motion since.
            stance = answer["stance"] + (mark if answer["seat"] != OPERATOR else "")
            yield quoted("argument", f"{answer['seat']} ({stance}): {answer['text']}")


def _is_changed(call: Facts, room: Sequence[Message]) -> bool:
    """Whether its proposer has amended the motion since it was argued."""
    number = call["motion_number"]
    return any(
        message.data.get("response") == "amend" and message.data.get("motion_number") == number
        for message in room
    )


def _written(motion: Any) -> str:
    """As its proposer wrote it: without the fields that it left empty."""
    return json.dumps(_filled(motion), ensure_ascii=False)


def _filled(value: Any) -> Any:
    if isinstance(value, Mapping):
        inner = {name: _filled(one) for name, one in value.items()}
        return {name: one for name, one in inner.items() if one not in (None, "", [], (), {})}
    return [_filled(one) for one in value] if isinstance(value, (list, tuple)) else value


def _history_lines(call: Facts) -> Iterator[str]:
    if call["came"]:
        yield f"Since the motion was proposed: {'; '.join(call['came'])}."
    if call["correction"]:
        yield f"Your motion was given back and is not before the board: {call['correction']}"
    if call["fallen"]:
        fallen = call["fallen"]
        is_given_back = fallen["why"] == call["correction"]
        fell = f"The last motion fell: {fallen['why']}. You may propose it again, changed:"
        yield "It was this; propose it again, mended:" if is_given_back else fell
        yield quoted("fallen", _written(fallen["motion"]))
    elif call["refusal"]:
        yield f"The last motion was not carried out: {call['refusal']}"


# --- the room and the state of things ---------------------------------------------------------


def _room_lines(call: Facts, room: Sequence[Message]) -> Iterator[str]:
    said = [message for message in room if _is_shown(message, call)][-ROOM_MESSAGES_MAX:]
    if said:
        yield quoted("room", "\n".join(f"{m.sender} ({m.kind}): {m.text}" for m in said))


def _is_shown(message: Message, call: Facts) -> bool:
    data = message.data
    match message.kind:
        case Kind.PROPOSAL | Kind.RESPONSE:
            return False
        case Kind.ARGUMENT | Kind.VOTE:
            return _is_heard(message, call)
        case Kind.DIGEST:  # of the tree's numbers, or of a report that the call has whole
            return "agent" in data and not call["reports"]
        case Kind.SAY:
            return not _is_told_as_word(message, call)
    is_of_motion = data.get("motion_number") == call["motion_number"]
    if "response" in data:  # what a voter has to know of a motion that was changed
        return bool(is_of_motion)
    return not (is_of_motion or "opened" in data or "given_back" in data)


def _is_heard(message: Message, call: Facts) -> bool:
    """Of seats that are called one after the other, the later hear the earlier. Called at once they
    hear nothing of each other, and what was said before is part of the call.
    """
    is_present = message.data.get("motion_number") == call["motion_number"]
    return is_present and not call["is_at_once"] and not call["arguments"]


def _is_told_as_word(message: Message, call: Facts) -> bool:
    """The call has the last of what an operator said, the beginning of each."""
    return message.sender == OPERATOR and any(
        message.text.startswith(word["text"]) for word in call["words"]
    )


def _standing_lines(call: Facts) -> Iterator[str]:
    for charter in call["charters"]:
        amounts = f"spent {_spent(charter['spent'])}, left {_amounts(charter['left'])}"
        yield f"{charter['name']} ({charter['agent']}): {charter['state']}; {amounts}"
    yield (
        f"the mission in all: spent {_spent(call['spent'])}, left {_amounts(call['left'])}; "
        f"of that no agent holds {_amounts(call['of_board'])}, "
        f"and a motion can give at most {_amounts(call['to_give'])}"
    )
    yield from _least_lines(call["least"])
    yield (
        f"motion {call['motion_number']} of at most {call['motions_max']}; "
        f"{call['falls']} of {call['falls_max']} falls in a row; "
        f"work was sent back {call['sent_back']} of at most {call['send_backs_max']} times"
    )


def _least_lines(least: Facts) -> Iterator[str]:
    """Where no executive can be paid: what mission could be, for whoever rejects this one."""
    if not least:
        return
    whole, argued = _amounts(least["whole"]), _amounts(least["argued"])
    more = f", and {argued} with an argument on each motion" if argued != whole else ""
    yield (
        "That is too little for an executive, which needs at least "
        f"{_amounts(least['executive'])}. A mission like this needs a budget of at least {whole} "
        f"in all{more}: a rejection for want of budget names that."
    )


def _spent(amounts: Facts) -> str:
    used = {kind: amount for kind, amount in amounts.items() if amount}
    return _amounts(used) if used else "nothing"


def _amounts(amounts: Facts) -> str:
    named = ", ".join(_amount(kind, amount) for kind, amount in amounts.items())
    return named or "nothing known"


def _amount(kind: str, amount: int) -> str:
    if kind != "cost":
        return f"{amount:,} {kind}"
    return f"cost {amount:,} (${amount / 1_000_000:,.2f})"


# --- the question -----------------------------------------------------------------------------


def _ask(call: Facts) -> str:
    if call["is_for_chair"]:
        return _SORT
    phase = call["phase"]
    if phase == "answer" and not call["may_propose"]:
        return _ANSWER_IN_ROOM
    if phase == "review" and call["agenda"]:
        return f"{_ASK[phase]} {_ON_AGENDA}"
    if phase == "respond" and (call["motion"] or {}).get("motion") == "charter":
        return f"{_ASK[phase]} {_ON_ACCEPTED}"
    return _ASK[phase]


_ON_AGENDA: Final = (
    "It may be on what stands in the agenda, and answer several items: `act` takes `also`, "
    "`charter` takes `replaces`."
)

_ON_ACCEPTED: Final = (
    "Whoever is named in `accepts` has the argument go into each charter, word for word, beside "
    "what the motion says."
)


_ANSWER_IN_ROOM: Final = (
    "An operator has spoken to the board. Answer now with `say` in the room `sob`. The board is "
    "at a motion; all who are called from now on are shown the word, its proposer among them."
)

_SORT: Final = (
    "Agents that have read untrusted text ask for permission. You have the chair and may `sort` "
    "these requests alone: refuse what the mission does not need, and bring before a person what "
    "is for a person to judge. Any other motion, `act` with `approve` too, is put to the bench."
)

_ASK: Final = {
    "propose": "Propose one motion: charter executives, or reject the mission with what is "
    "missing.",
    "review": "Propose one motion on what was reported: deliver, direct (send back), charter "
    "more, act (approve, deny, fund, freeze, terminate …), wait, or reject.",
    "answer": "An operator has spoken to the board. Answer now with `say` in the room `sob`, or "
    "with the motion that does what the operator says.",
    "debate": "Answer the motion: `consent` if it may be carried as it stands, `argue` if it "
    "should be changed, `object` if it must not be carried.",
    "respond": "The motion is yours, and these are the arguments. `keep` it, `amend` it, or "
    "`withdraw` it; what you keep or amend has your vote.",
    "vote": "Vote on the motion as it stands: yes, no or abstain, with your reason.",
}
