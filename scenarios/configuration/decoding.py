"""Plain data into typed data, with errors that name the key, the value and the remedy."""

from __future__ import annotations

import difflib
import re
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from plan.errors import ScenarioError
from scenarios.configuration import units

T = TypeVar("T")


def convert(raw: object, kind: type[T]) -> T:
    """Check and convert, without coercing one type into another.

    Raises:
        ScenarioError: an unknown key, a missing key, or a value that its key does not take.
    """
    root = inspect.type_info(kind)
    _reject_unknown_keys(raw, root, "")
    try:
        return msgspec.convert(raw, kind, dec_hook=units.decode)
    except msgspec.ValidationError as error:
        raise _explain(error, raw, root) from None


def _reject_unknown_keys(raw: object, kind: inspect.Type, path: str) -> None:
    if isinstance(raw, dict) and (struct := _struct(kind)):
        known = {field.encode_name: field.type for field in struct.fields}
        for key, value in raw.items():
            if key not in known:
                close = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
                remedy = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
                raise ScenarioError(_join(path, str(key)), value, remedy, "is not a known key")
            _reject_unknown_keys(value, known[key], _join(path, key))
    elif isinstance(raw, list) and (item := _item(kind)):
        for index, value in enumerate(raw):
            _reject_unknown_keys(value, item, f"{path}[{index}]")


def _explain(error: msgspec.ValidationError, raw: object, root: inspect.Type) -> ScenarioError:
    message, _, where = str(error).partition(" - at `$")
    path = where.rstrip("`").lstrip(".")
    if missing := re.search(r"missing required field `(\w+)`", message):
        path = _join(path, missing[1])
        return ScenarioError(path, None, f"write {_describe(_type_at(root, path))}", "is missing")
    value = _value_at(raw, path)
    if isinstance(error.__cause__, units.UnitError):
        return ScenarioError(path, value, error.__cause__.remedy, error.__cause__.problem)
    remedy = f"write {_describe(_type_at(root, path))}"
    return ScenarioError(path or "scenario", value, remedy, "is not accepted")


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _steps(path: str) -> list[str]:
    return re.findall(r"[^.\[\]]+", path)


def _value_at(raw: Any, path: str) -> object:
    for step in _steps(path):
        raw = raw[int(step)] if isinstance(raw, list) else raw[step]
    return raw


def _type_at(kind: inspect.Type, path: str) -> inspect.Type:
    for step in _steps(path):
        if struct := _struct(kind):
            fields = {field.encode_name: field.type for field in struct.fields}
            if step in fields:
                kind = fields[step]
                continue
        kind = _item(kind) or _place(kind, step) or inspect.AnyType()
    return kind


def _members(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,)


def _struct(kind: inspect.Type) -> inspect.StructType | None:
    return next((k for k in _members(kind) if isinstance(k, inspect.StructType)), None)


def _item(kind: inspect.Type) -> inspect.Type | None:
    sequences = inspect.ListType | inspect.VarTupleType
    return next((k.item_type for k in _members(kind) if isinstance(k, sequences)), None)


def _place(kind: inspect.Type, step: str) -> inspect.Type | None:
    """The type of one place of a list of fixed length."""
    if isinstance(kind, inspect.TupleType) and step.isdecimal():
        return kind.item_types[int(step)]
    return None


def _describe(kind: inspect.Type) -> str:
    return " or ".join(_describe_one(member) for member in _members(kind))


def _describe_one(kind: inspect.Type) -> str:
    match kind:
        case inspect.CustomType():
            example = next(q.example for q in units.QUANTITIES if q is kind.cls)
            return f'e.g. "{example}"'
        case inspect.LiteralType():
            return "one of " + ", ".join(map(str, kind.values))
        case inspect.IntType() | inspect.FloatType():
            return _describe_number(kind)
        case inspect.StrType():
            return f"text that matches {kind.pattern}" if kind.pattern else "text"
        case inspect.BoolType():
            return "true or false"
        case inspect.NoneType():
            return "null"
        case inspect.StructType():
            return "a mapping with " + ", ".join(field.encode_name for field in kind.fields)
        case inspect.DictType():
            return "a mapping"
        case inspect.ListType() | inspect.VarTupleType():
            least = f" of at least {kind.min_length}" if kind.min_length else ""
            return f"a list{least}: {_describe(kind.item_type)}"
        case inspect.TupleType():
            return f"[{'; '.join(map(_describe, kind.item_types))}]"
        case _:
            return "something else"


def _describe_number(kind: inspect.IntType | inspect.FloatType) -> str:
    noun = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
    limits = {">": kind.gt, ">=": kind.ge, "<": kind.lt, "<=": kind.le}
    words = [f"{sign} {limit:g}" for sign, limit in limits.items() if limit is not None]
    words += [f"a multiple of {kind.multiple_of:g}"] if kind.multiple_of else []
    return " ".join([noun, ", ".join(words)]).strip()
