"""What `policies/board.yaml` declares: who sits on the board and how it decides."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from swarmd.core.model.charter import AMOUNT_MAX, Seconds, Word, Written


class BenchSize(Written):
    """How many seats missions have whose budget is below so many tokens."""

    tokens_below: int = Field(ge=1, le=AMOUNT_MAX)
    seats: int = Field(ge=1, le=12)


class BoardRules(Written):
    """`policies/board.yaml`: the procedure."""

    seats: tuple[Word, ...] = Field(
        min_length=1, max_length=12, description="files of policies/personas, in speaking order"
    )
    chair: Word
    quorum: Literal["majority"] | Annotated[int, Field(ge=1)] = Field(
        "majority", description="how many of a bench must take part"
    )
    bench: tuple[BenchSize, ...] = Field(
        (), max_length=8, description="fewer seats for smaller missions, the smallest first"
    )
    procedure: Literal["brisk", "full"] = Field(
        "brisk", description="as few calls as a motion needs, or rounds of debate and votes in turn"
    )
    rounds: int = Field(1, ge=0, le=5, description="rounds of debate of the full procedure")
    tie_break: Literal["chair", "fails"] = "chair"
    seat_seconds: Seconds = Field(600, description="a silent seat abstains after this")
    motion_seconds: Seconds = Field(3_600, description="a motion not decided by then falls")
    motions_max: int = Field(12, ge=1, le=100, description="of one mission; then it fails")
    falls_max: int = Field(3, ge=1, le=20, description="motions in a row that fall; then it fails")
    send_backs_max: int = Field(2, ge=0, le=20, description="how often work is sent back")
    missions_at_once: int = Field(2, ge=1, le=100)
    docket_max: int = Field(
        1_000, ge=1, le=100_000, description="missions that wait; more are turned away"
    )

    # Of single fields, with those before them: a rule of the whole would be silent while any field
    # is wrong.

    @field_validator("seats")
    @classmethod
    def _are_different(cls, seats: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(seats)) != len(seats):
            raise ValueError("one of them is named twice")
        return seats

    @field_validator("chair")
    @classmethod
    def _is_a_seat(cls, chair: str, info: ValidationInfo) -> str:
        if chair not in info.data.get("seats", (chair,)):
            raise ValueError("is not one of the seats")
        return chair

    @field_validator("quorum")
    @classmethod
    def _fits_the_board(cls, quorum: str | int, info: ValidationInfo) -> str | int:
        if isinstance(quorum, int) and quorum > len(info.data.get("seats", ())) > 0:
            raise ValueError("is larger than the board")
        return quorum

    @field_validator("bench")
    @classmethod
    def _are_benches(
        cls, bench: tuple[BenchSize, ...], info: ValidationInfo
    ) -> tuple[BenchSize, ...]:
        below = [size.tokens_below for size in bench]
        if below != sorted(set(below)):
            raise ValueError("must be in order of tokens_below, each once")
        smallest = min((size.seats for size in bench), default=None)
        quorum = info.data.get("quorum")
        if smallest is not None and isinstance(quorum, int) and quorum > smallest:
            raise ValueError(
                f"a bench of {smallest} is smaller than the quorum of {quorum}: give it more "
                "seats, or declare `quorum: majority`"
            )
        return bench
