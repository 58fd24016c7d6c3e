"""The motions that the board can carry, as a model writes them: one of the kinds that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Union

from pydantic import Field, TypeAdapter

from swarmd.core.model.motion_kinds import BaseMotion, kinds

if TYPE_CHECKING:
    Motion = BaseMotion
else:
    _FORMS = tuple(kind.form for kind in kinds().values())
    Motion = Annotated[Union[_FORMS], Field(discriminator="motion", title="Motion")]  # noqa: UP007 - made when it runs

MOTION: Final[TypeAdapter[Motion]] = TypeAdapter(Motion)
