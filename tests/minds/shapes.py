"""JSON schemas as models are offered them: a wish put into the form that one asks for, and random
values that fit one.

A scripted mind that knows what it wants and not how the tools of the day spell it goes through
`shaped`; one that wants nothing goes through `drawn`.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

Json = dict[str, Any]
T = TypeVar("T")

TAG: Final = "(tag)"  # in a wish within a wish: which alternative it is
DEPTH_MAX: Final = 6  # below it only what is required is drawn: a schema may refer to itself
_TEXT_MAX: Final = 40
_ITEMS_MAX: Final = 3
_NUMBERS: Final = (0, 1, 2, 3, 5, 60, 1_000, 50_000)


@dataclass(frozen=True, slots=True)
class Shape:
    """A schema beside the definitions that it may refer to."""

    schema: Json
    defs: Mapping[str, Json]

    @classmethod
    def of(cls, schema: Json) -> Shape:
        return cls(schema, schema.get("$defs", {})).resolved()

    def resolved(self) -> Shape:
        schema = self.schema
        while "$ref" in schema:
            schema = self.defs[str(schema["$ref"]).rpartition("/")[2]]
        if len(parts := schema.get("allOf", ())) == 1:
            return Shape({**schema, **parts[0], "allOf": ()}, self.defs).resolved()
        return Shape(schema, self.defs)

    def inner(self, schema: Json) -> Shape:
        return Shape(schema, self.defs).resolved()

    @property
    def variants(self) -> list[Shape]:
        """The alternatives that it is one of; itself alone where there are none."""
        options = self.schema.get("anyOf") or self.schema.get("oneOf") or ()
        return [one for option in options for one in self.inner(option).variants] or [self]

    @property
    def fields(self) -> dict[str, Shape]:
        return {k: self.inner(v) for k, v in self.schema.get("properties", {}).items()}

    @property
    def required(self) -> Sequence[str]:
        return cast("Sequence[str]", self.schema.get("required", ()))

    @property
    def choices(self) -> list[Any]:
        """The values that it allows, where they are listed."""
        if "const" in self.schema:
            return [self.schema["const"]]
        return list(self.schema.get("enum", ()))

    def all_choices(self) -> set[Any]:
        return {choice for variant in self.variants for choice in variant.choices}


# --- a wish in the form that a schema asks for ------------------------------------------------


def shaped(wish: Json, shape: Shape, tag: str = "") -> Json:
    """What of a wish fits an object's schema; what it requires besides is made up.

    `tag` says which of several alternatives is meant, whatever the field is called that tells.
    """
    objects = [variant for variant in shape.variants if variant.fields]
    if not objects:
        return wish
    chosen = next((v for v in objects if not tag or _says(v, tag)), None)
    if chosen is None:
        return _wrapped(wish, shape, tag)
    made: Json = {}
    for name, field in chosen.fields.items():
        if tag and tag in field.all_choices():
            made[name] = tag
        elif name in wish:
            made[name] = _value(wish[name], field)
        elif name in chosen.required:
            made[name] = _stand_in(name, wish, field)
    return made


def has_tag(shape: Shape, tag: str) -> bool:
    """Whether an object can say that, itself or in the object that one of its fields is."""
    if any(_says(variant, tag) for variant in shape.variants):
        return True
    inner = (variant for field in shape.fields.values() for variant in field.variants)
    return any(has_tag(variant, tag) for variant in inner if variant.fields)


def _says(shape: Shape, tag: str) -> bool:
    return any(tag in field.all_choices() for field in shape.fields.values())


def _wrapped(wish: Json, shape: Shape, tag: str) -> Json:
    """The alternatives stand one level down, in the first field that has them."""
    for name, field in shape.fields.items():
        if any(_says(variant, tag) for variant in field.variants):
            rest = {key: value for key, value in wish.items() if key in shape.fields}
            return {
                **shaped(rest, Shape({**shape.schema}, shape.defs)),
                name: shaped(wish, field, tag),
            }
    return shaped(wish, shape)


def _value(wish: Any, shape: Shape) -> Any:
    if isinstance(wish, dict):
        return shaped(wish, shape, str(wish.get(TAG, "")))
    if isinstance(wish, list | tuple):
        lists = [v for v in shape.variants if "items" in v.schema]
        if not lists:
            return list(wish)
        return [_value(item, lists[0].inner(lists[0].schema["items"])) for item in wish]
    return wish


def _stand_in(name: str, wish: Json, shape: Shape) -> Any:
    if choices := shape.variants[0].choices:
        return choices[0]
    match shape.variants[0].schema.get("type"):
        case "integer" | "number":
            return 1
        case "boolean":
            return False
        case "array":
            return []
        case "object":
            return {}
    return str(wish.get("name") or wish.get("reason") or wish.get("text") or name)


# --- random values ----------------------------------------------------------------------------


def _said_by(shape: Shape) -> set[Any]:
    """What a value of it says that it is."""
    tags = (field.schema["const"] for field in shape.fields.values() if "const" in field.schema)
    return {*shape.choices, *tags}


@dataclass(frozen=True, slots=True)
class Draw:
    """Random values that fit a schema. Texts are drawn from the words that are known for their
    field, or from those of `""`; one in ten is noise. Half of the time that one of `leans` may be
    said it is: where everybody says everything as often, nothing ever comes about.
    """

    chance: random.Random
    words: Mapping[str, Sequence[str]]
    optional: float = 0.2  # of the fields that may be left out, so many are there
    noise: float = 0.1
    leans: frozenset[str] = frozenset()
    lean: float = 0.5

    def value(self, shape: Shape, name: str = "", depth: int = 0) -> Any:
        one = self._leaning(shape.variants, _said_by)
        if one.choices:
            return self._leaning(one.choices, lambda choice: {choice})
        kind = one.schema.get("type")
        match kind[0] if isinstance(kind, list) else kind:
            case "object":
                return self._object(one, name, depth)
            case "array":
                return self._array(one, name, depth)
            case "integer" | "number":
                return self._number(one)
            case "boolean":
                return self.chance.random() < 0.5
            case "null":
                return None
            case _:
                return self._text(one, name)

    def _leaning(self, options: Sequence[T], says: Callable[[T], set[Any]]) -> T:
        leaning = [option for option in options if self.leans & says(option)]
        is_led = bool(leaning) and self.chance.random() < self.lean
        return self.chance.choice(leaning if is_led else options)

    def _object(self, shape: Shape, name: str, depth: int) -> Json:
        made = {
            key: self.value(field, key, depth + 1)
            for key, field in shape.fields.items()
            if key in shape.required or (depth < DEPTH_MAX and self.chance.random() < self.optional)
        }
        inner = shape.schema.get("additionalProperties")
        if shape.fields or not isinstance(inner, dict) or self.chance.random() < 0.5:
            return made
        keys = shape.inner(shape.schema.get("propertyNames", {"type": "string"}))
        return {str(self.value(keys, name)): self.value(shape.inner(inner), name, depth + 1)}

    def _array(self, shape: Shape, name: str, depth: int) -> list[Any]:
        least = int(shape.schema.get("minItems", 0))
        most = min(int(shape.schema.get("maxItems", _ITEMS_MAX)), max(least, _ITEMS_MAX))
        count = least if depth >= DEPTH_MAX else self.chance.randint(least, most)
        items = shape.inner(shape.schema.get("items", {"type": "string"}))
        return [self.value(items, name, depth + 1) for _ in range(count)]

    def _number(self, shape: Shape) -> int:
        least = int(shape.schema.get("minimum", 0)) + ("exclusiveMinimum" in shape.schema)
        most = int(shape.schema.get("maximum", _NUMBERS[-1]))
        return max(least, min(most, self.chance.choice(_NUMBERS)))

    def _text(self, shape: Shape, name: str) -> str:
        known = self.words.get(name) or self.words.get("")
        if known and self.chance.random() >= self.noise:
            return self.chance.choice(known)
        # Of a pattern no more is known than that it is a word.
        letters = string.ascii_letters + ("" if "pattern" in shape.schema else " .,\n{}<>")
        return "".join(self.chance.choices(letters, k=self.chance.randint(1, _TEXT_MAX)))


def spoilt(value: Any, chance: random.Random) -> Any:
    """The same with one thing wrong, as models get it wrong."""
    if not isinstance(value, dict) or not value:
        return {"value": value}
    name = chance.choice(sorted(value))
    match chance.randint(0, 3):
        case 0:
            return {key: inner for key, inner in value.items() if key != name}
        case 1:
            return {**value, "reasoning": "as above"}
        case 2:
            return {**value, name: [value[name]]}
        case _:
            return {**value, name: None}
