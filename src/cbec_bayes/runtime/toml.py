"""TOML files read into frozen dataclasses by pydantic; every complaint is one line that names the file and the key.

A dataclass that derives from `Table` says which keys a table may have and of what type each is. The types of this
module carry their own message, so that nothing of pydantic's wording reaches the user.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, field, fields, make_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import AfterValidator, BeforeValidator, TypeAdapter, ValidationInfo, WrapValidator, model_validator
from pydantic_core import PydanticCustomError

from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.files import is_inside, read_toml
from cbec_bayes.runtime.labels import fault_of_name

_WRONG = "cbec_bayes"
_LIST = "a list of texts is needed"


def wrong(message: str, key: str | None = None) -> PydanticCustomError:
    """Return what a validator raises: the message is shown as it is, after the path of the key.

    Parameters
    ----------
    message
        What is wrong and what was expected.
    key
        A key of the table that is validated, where it is not the value itself that is wrong.
    """
    return PydanticCustomError(_WRONG, "{message}", {"message": message, "key": key})


def otherwise(message: str) -> WrapValidator:
    """Return an annotation: what pydantic refuses is refused with this message, what we refuse with our own."""

    def validate(value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return handler(value)
        except pydantic.ValidationError as error:
            if any(one["type"] == _WRONG for one in error.errors(include_url=False)):
                raise
            raise wrong(message) from None

    return WrapValidator(validate)


def choose(value: object, known: Sequence[str], what: str, *, key: str | None = None) -> str:
    """Return a text that is one of those known, or raise with a suggestion; `what` is what it should be one of."""
    if not isinstance(value, str) or not value:
        raise wrong("a text is needed", key)
    if value not in known:
        raise wrong(f"unknown {what} '{value}'; {suggest(value, tuple(known))}", key)
    return value


def one_of(known: Sequence[str], what: str) -> BeforeValidator:
    """Return an annotation: the text is one of those known. See `choose`."""
    return BeforeValidator(lambda value: choose(value, known, what))


def refusing(moved: Mapping[str, str]) -> BeforeValidator:
    """Return an annotation: texts that were once allowed are refused with what to write in their place."""

    def validate(value: object) -> object:
        if isinstance(value, str) and value in moved:
            raise wrong(f"'{value}' is not a choice any more; {moved[value]}")
        return value

    return BeforeValidator(validate)


def _not_empty(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise wrong(f"{_LIST}, and it may not be empty")
    return values


def _positive(value: float) -> float:
    if value <= 0:
        raise wrong(f"must be positive, not {value:g}")
    return value


def _beside(own: str | None) -> Callable[[str, ValidationInfo], str]:
    def validate(name: str, info: ValidationInfo) -> str:
        if not is_inside(name):
            raise wrong(f"'{name}' lies outside the folder of this file; name a file inside it")
        folder: Path = info.context["folder"]  # type: ignore[index]  # `validate_table` gives it
        beside = folder.resolve() / name
        return str(beside) if os.path.exists(beside) or (own is not None and name.endswith(own)) else name

    return validate


Text = Annotated[str, pydantic.Field(strict=True, min_length=1), otherwise("a text is needed")]
"""A text that is not blank."""

Number = Annotated[float, pydantic.Field(strict=True, allow_inf_nan=False), otherwise("a finite number is needed")]
"""A finite number, whole or not."""

Flag = Annotated[bool, pydantic.Field(strict=True), otherwise("true or false is needed")]
"""Yes or no."""

PositiveNumber = Annotated[Number, AfterValidator(_positive)]
"""A finite number above zero."""

Count = Annotated[int, pydantic.Field(strict=True, ge=1), otherwise("a positive whole number is needed")]
"""A whole number from one."""

Texts = Annotated[tuple[Text, ...], otherwise(_LIST)]
"""A list of texts, which may be empty."""

SomeTexts = Annotated[Texts, AfterValidator(_not_empty)]
"""A list of at least one text."""

TextTable = Annotated[
    Mapping[str, Annotated[str, pydantic.Field(strict=True), otherwise("a text is needed")]],
    otherwise("a table of texts is needed"),
]
"""A table with keys of the user's own and texts as values."""

PathText = Annotated[Text, AfterValidator(_beside(None))]
"""A path as text: of what lies beside the file that names it, or else the name of what ships with the package.

It may not lead out of the folder.
"""

TomlPath = Annotated[Text, AfterValidator(_beside(".toml"))]
"""The same; a name that ends with .toml is never that of what ships."""

CsvPath = Annotated[Text, AfterValidator(_beside(".csv"))]
"""The same; a name that ends with .csv is never that of what ships."""


SomePaths = Annotated[tuple[PathText, ...], otherwise(_LIST), AfterValidator(_not_empty)]
"""At least one path."""

TomlPaths = Annotated[tuple[TomlPath, ...], otherwise(_LIST)]
"""Paths of TOML files, or none."""

OneOrMoreTomlPaths = Annotated[
    tuple[TomlPath, ...],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    otherwise(_LIST),
]
"""The same; a text alone is a list of one."""


class Table:
    """Base of a frozen dataclass that holds a table of a TOML file.

    Its fields are the keys that the table may have; those without a default must be there.
    """

    __slots__ = ()

    @model_validator(mode="before")
    @classmethod
    def _with_every_key(cls, values: Any) -> Any:
        """Have keys checked before values: an unknown key is most often a misspelled one that is then missing."""
        if not isinstance(values, Mapping):
            raise wrong("a table is needed")
        known: tuple[Field[Any], ...] = fields(cls)  # type: ignore[arg-type]  # the class that derives from this one
        names = [f.name for f in known]
        for key in values:
            if key not in names:
                raise wrong(f"unknown key; {suggest(key, names)}", key)
        # TOML has no null: a key that is missing is refused as its type refuses None, with the type's own message.
        needed = [f.name for f in known if f.default is MISSING and f.default_factory is MISSING]
        return dict.fromkeys(needed) | dict(values)


def table_of(types: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> type[Table]:
    """Return a dataclass of keys and their types that are known only when the program runs.

    Keys without a default must be there.
    """
    given = defaults or {}
    fields_of = [(key, own, field(default=given[key])) if key in given else (key, own) for key, own in types.items()]
    return make_dataclass("Keys", fields_of, bases=(Table,), frozen=True, slots=True, kw_only=True)


def read_table[T](path: Path, kind: type[T]) -> T:
    """Read a TOML file as a dataclass that derives from `Table`.

    Raises
    ------
    InputError
        The file's name cannot be one in results; the file is no TOML, or has a key or a value that the dataclass does
        not allow; the first one is named, as in ``panel.origins.ci`` or ``indicators[2].name``.
    """
    if fault := fault_of_name(path.stem):
        raise InputError(f"results are named after the file, and {fault}", file=path)
    return validate_table(read_toml(path), kind, path)


def validate_table[T](values: Mapping[str, Any], kind: type[T], path: Path, *, at: tuple[str, ...] = ()) -> T:
    """Turn what was read from a TOML file into a dataclass that derives from `Table`; see `read_table`.

    `at` says where in the file the values stand, if they are a table of it and not the whole.
    """
    key: Any = kind
    try:
        table: T = _adapter(key).validate_python(values, context={"folder": path.parent})
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        told = first.get("ctx", {})
        raise wrong_key(path, _key((*at, *first["loc"], told.get("key"))), told.get("message", first["msg"])) from None
    return table


@lru_cache(maxsize=64)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def wrong_key(path: Path, key: str, message: str) -> InputError:
    """Return the error that names the file and the key, for what is found once the whole file is read."""
    return InputError(f"{key}: {message}", file=path)


def _key(parts: Sequence[int | str | None]) -> str:
    """Return the path of a key, where lists count from one."""
    named = (f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in parts if part is not None)
    return "".join(named).removeprefix(".")


def shipped_names(folder: Path, kind: str | None = None) -> tuple[str, ...]:
    """Return the names of the TOML files of a folder, without their ending; of one `kind`, if that is given."""
    paths = sorted(folder.glob("*.toml"))
    return tuple(path.stem for path in paths if kind is None or read_toml(path).get("kind") == kind)


def find_toml(given: str | Path, folder: Path, what: str, *, kind: str | None = None) -> Path:
    """Return the path of a TOML file that is given by path, or by the name that it ships under.

    Parameters
    ----------
    given
        A path that ends with .toml, or a name.
    folder
        Where those lie that ship with the package.
    what
        What is looked for, for the message.
    kind
        Only files with this `kind` ship under a name.

    Raises
    ------
    InputError
        No file ships under this name; the message has a suggestion.
    """
    path = Path(given)
    if path.suffix == ".toml":
        return path
    names = shipped_names(folder, kind)
    if str(given) not in names:
        raise InputError(f"unknown {what} '{given}'; {suggest(str(given), names)}, or name a TOML file")
    return folder / f"{given}.toml"
