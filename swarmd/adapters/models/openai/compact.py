"""A JSON schema in fewer bytes that says the same. What stands in it more than once becomes a
definition, and a definition that is referred to once stands in its place. Pure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Json = dict[str, Any]

# The titles of what may become a definition. It is called so in the schema that a model reads.
SHARED: Final = frozenset({"Amounts", "Line", "Motion"})
_DEFS: Final = "#/$defs/"

dump: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def compact(schema: Json) -> Json:
    """The schema with `$defs` for what stands in it again, and without the titles that named it."""
    return _with_single_uses_in_place(_with_definitions(schema))


def map_inside(schema: Json, change: Callable[[Any], Any]) -> Json:
    """The schema with the schemas that it directly holds changed."""
    return {key: _changed(key, value, change) for key, value in schema.items()}


def _changed(key: str, value: Any, change: Callable[[Any], Any]) -> Any:
    if key in ("properties", "$defs"):  # maps of names, which may be words that are keywords, too
        return {name: change(inner) for name, inner in value.items()}
    if isinstance(value, list) and key not in ("enum", "required", "default"):
        return [change(inner) for inner in value]
    is_schema = isinstance(value, dict) and key not in ("default", "const")
    return change(value) if is_schema else value


def _nodes(schema: Json) -> Iterator[Json]:
    """A schema and all that are inside of it."""
    inside: list[Json] = []
    map_inside(schema, inside.append)
    yield schema
    for inner in inside:
        yield from _nodes(inner)


# --- what stands more than once ---------------------------------------------------------------

# A title, and what is said under it beside descriptions.
_Identity = tuple[str, str]


def _with_definitions(schema: Json) -> Json:
    defs = _definitions(_uses_in(schema), set(schema.get("$defs", ())))
    referring = _referring(schema, defs)
    defined = {title: _inside(one, defs) for (title, _), one in defs.items()}
    return referring | {"$defs": referring.get("$defs", {}) | defined} if defined else referring


def _uses_in(schema: Json) -> dict[_Identity, list[str]]:
    """What is said of each that may become a definition, at each place."""
    uses: dict[_Identity, list[str]] = {}
    for node in _nodes(schema):
        if node.get("title") in SHARED:
            uses.setdefault(_identity(node), []).append(node.get("description", ""))
    return uses


def _definitions(uses: Mapping[_Identity, list[str]], taken: set[str]) -> dict[_Identity, Json]:
    """Those with which the schema is shorter. `taken` are names that mean something else."""
    defs: dict[_Identity, Json] = {}
    for (title, body), said in uses.items():
        defined = _defined(body, said)
        if title not in taken and _is_shorter(title, defined, body, said):
            taken = {*taken, title}
            defs[title, body] = defined
    return defs


def _identity(node: Json) -> _Identity:
    return node["title"], dump({k: v for k, v in node.items() if k not in ("title", "description")})


def _defined(body: str, said: list[str]) -> Json:
    """With what is said of it at each place: beside a reference many servers read nothing."""
    described = "; ".join(dict.fromkeys(filter(None, said)))
    defined: Json = json.loads(body)
    return defined | ({"description": described} if described else {})


def _is_shorter(title: str, defined: Json, body: str, said: list[str]) -> bool:
    described = [len(dump({"description": one})) if one else 0 for one in said]
    apart = len(body) * len(said) + sum(described)
    return apart > len(dump({title: defined})) + len(dump({"$ref": _DEFS + title})) * len(said)


def _referring(schema: Json, defs: Mapping[_Identity, Json]) -> Json:
    if schema.get("title") in SHARED and _identity(schema) in defs:
        return {"$ref": _DEFS + schema["title"]}
    return _inside(schema, defs)


def _inside(schema: Json, defs: Mapping[_Identity, Json]) -> Json:
    return map_inside(_without(schema, "title"), lambda inner: _referring(inner, defs))


# --- what is referred to once -----------------------------------------------------------------


def _with_single_uses_in_place(schema: Json) -> Json:
    defs: Json = schema.get("$defs", {})
    uses = Counter(node["$ref"] for node in _nodes(schema) if "$ref" in node)
    once = {name: one for name, one in defs.items() if uses[_DEFS + name] == 1}
    kept = {name: _placed(one, once) for name, one in defs.items() if name not in once}
    return _placed(_without(schema, "$defs"), once) | ({"$defs": kept} if kept else {})


def _placed(schema: Json, once: Mapping[str, Json]) -> Json:
    name = str(schema.get("$ref", "")).removeprefix(_DEFS)
    if name not in once:
        return map_inside(schema, lambda inner: _placed(inner, once))
    return _placed(once[name], once) | _without(schema, "$ref")


def _without(schema: Json, keyword: str) -> Json:
    return {key: value for key, value in schema.items() if key != keyword}
