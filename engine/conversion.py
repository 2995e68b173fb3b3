"""Conversion of parsed TOML into structs, with errors that name the key: a thin wrapper of `msgspec.convert`.

msgspec describes an error in one text, and of a key inside a table only as "somewhere in this table". Here the location
and the reason are found by the types themselves, so no message depends on the wording of a library.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

import msgspec

T = TypeVar("T")

_NAMES: Final[Mapping[Any, str]] = {
    str: "text",
    int: "a whole number",
    float: "a decimal number",
    bool: "true or false",
    date: "a date YYYY-MM-DD",
    list: "a list",
    tuple: "a list",
    dict: "a table",
    NoneType: "nothing",
}


class ConversionError(ValueError):
    """A value that does not fit its type. `path` locates it, as keys from the outside in, lists counted from 1.

    The text states the expected type.
    """

    def __init__(self, path: Sequence[str], reason: str, given: str | None = None) -> None:
        """`reason` does not contain the value, which may be a secret; `given` describes the value."""
        super().__init__(reason if given is None else f"{reason}, got {given}")
        self.path = tuple(path)
        self.reason = reason


def convert(value: Any, kind: type[T], *, strict: bool = True) -> T:
    """Return `value` as a `kind`. Not `strict`: text may stand for a number, a date or a flag, as in the environment.

    Raises `ConversionError` for the first mismatch, from the outside in.
    """
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError:
        path, reason, given = _mismatch(value, kind, strict)
    raise ConversionError(path, reason, given)


def _fits(value: Any, kind: Any, strict: bool) -> bool:
    try:
        msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError:
        return False
    return True


def _mismatch(value: Any, kind: Any, strict: bool) -> tuple[list[str], str, str | None]:
    """Return the path of the first mismatch, and the reason."""
    for key, inner, its_kind in _parts(value, kind):
        if not _fits(inner, its_kind, strict):
            path, reason, given = _mismatch(inner, its_kind, strict)
            return [key, *path], reason, given
    if isinstance(value, Mapping) and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields = msgspec.structs.fields(kind)
        if unknown := sorted(value.keys() - {field.name for field in fields}):
            known = ", ".join(field.name for field in fields)
            return [], f"the key {unknown[0]!r} is unknown; known are {known}", None
        missing = next((field.name for field in fields if field.required and field.name not in value), "")
        return [], f"the key {missing!r} is missing", None
    return [], f"expected {_expected(kind)}", _given(value)


def _parts(value: Any, kind: Any) -> list[tuple[str, Any, Any]]:
    """The keys of a table or a list, each with its value and the type that the value must have."""
    kinds = [inner for inner in get_args(kind) if inner is not NoneType] if isinstance(kind, UnionType) else [kind]
    if isinstance(value, Mapping):
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            types = {field.name: field.type for field in msgspec.structs.fields(kind)}
            return [(key, inner, types[key]) for key, inner in value.items() if key in types]
        if get_origin(kind) is dict:
            return [(key, inner, get_args(kind)[1]) for key, inner in value.items()]
    lists = [inner for inner in kinds if get_origin(inner) in (list, tuple)]
    if isinstance(value, list) and len(lists) == 1:
        return [(f"{number}", inner, get_args(lists[0])[0]) for number, inner in enumerate(value, 1)]
    return []


def _expected(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(repr(choice) for choice in get_args(kind))
    if isinstance(kind, UnionType):
        return " or ".join(_expected(inner) for inner in get_args(kind) if inner is not NoneType)
    return _NAMES.get(get_origin(kind) or kind, "a table")


def _given(value: Any) -> str:
    return repr(value) if isinstance(value, str) else _NAMES.get(type(value), f"a {type(value).__name__}")
