"""What an action brings about, by which it is judged whether a tainted turn may do it (law 9).

`inward`: it takes away from the actor's own descendants, or divides anew what is the actor's own.
`widening`: somebody can do or spend afterwards what nobody there could before. `outward`: it
changes the world outside the swarm, or carries text of ours to it. What only reports, delivers,
rejects or asks a person is in no class, and always free.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Consequence = Literal["inward", "widening", "outward"]

# As an agent that has read untrusted text is told of what now needs permission.
IN_WORDS: Final[Mapping[Consequence, str]] = {
    "inward": "ending, stopping, directing or creating agents below you",
    "widening": "granting a right, answering a request for permission, lifting a stop of somebody "
    "else, creating an agent with a right that you may hand out and not use yourself",
    "outward": "calling a function that changes the world outside",
}
