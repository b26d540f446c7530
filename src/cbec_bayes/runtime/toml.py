"""TOML tables with typed access: every complaint names the file and the key."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.files import is_inside


class Section:
    """A TOML table with typed access; every complaint names the file and the key."""

    def __init__(self, path: Path, values: Mapping[str, Any], prefix: str = "") -> None:
        self.path, self.values, self.prefix = path, values, prefix

    def wrong(self, key: str, message: str) -> InputError:
        """Return an `InputError` that names the file and the key."""
        return InputError(f"{self.prefix}{key}: {message}", file=self.path)

    def only(self, known: Sequence[str]) -> None:
        """Raise `InputError` where there is a key that is not known."""
        for key in self.values:
            if key not in known:
                raise self.wrong(key, f"unknown key; {suggest(key, known)}")

    @overload
    def text(self, key: str) -> str: ...
    @overload
    def text[Default: str | None](self, key: str, default: Default) -> str | Default: ...
    def text(self, key: str, default: Any = ...) -> Any:
        """Return a text that is not blank; where there is none, the default, if there is one."""
        if default is not ... and key not in self.values:
            return default
        value = self.values.get(key)
        if not isinstance(value, str) or not value:
            raise self.wrong(key, "a text is needed")
        return value

    def inside(self, key: str) -> str:
        """Return the text of a path that stays within the folder it is looked for in."""
        return self._inside(key, self.text(key))

    def _inside(self, key: str, name: str) -> str:
        if not is_inside(name):
            raise self.wrong(key, f"'{name}' leads out of its folder")
        return name

    def found(self, key: str, own: str | None = None) -> str:
        """Return a path as text: of what lies beside this file, or else the name of what ships with the package.

        A name that ends with `own` is never that of what ships.
        """
        return self._found(key, self.text(key), own)

    def all_found(self, key: str, own: str | None = None, *, needed: bool = True) -> tuple[str, ...]:
        """Return several such paths."""
        return tuple(self._found(key, name, own) for name in self.texts(key, needed=needed))

    def _found(self, key: str, name: str, own: str | None) -> str:
        beside = self.path.parent.resolve() / self._inside(key, name)
        return str(beside) if beside.exists() or (own is not None and name.endswith(own)) else name

    def number(self, key: str) -> float:
        """Return a finite number."""
        value = self.values.get(key)
        # Whole numbers of TOML may be larger than any float; the comparison is exact, and false for NaN.
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            raise self.wrong(key, "a finite number is needed")
        return float(value)

    def count(self, key: str) -> int | None:
        """Return a positive whole number, or None where there is none."""
        value = self.values.get(key)
        if value is not None and (type(value) is not int or value < 1):
            raise self.wrong(key, "a positive whole number is needed")
        return value

    def texts(self, key: str, *, needed: bool = True) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise self.wrong(key, "a list of texts is needed")
        if needed and not value:
            raise self.wrong(key, "a list of texts is needed, and it may not be empty")
        return tuple(value)

    def mapping(self, key: str) -> dict[str, str]:
        """Return a table of texts; one that is missing is empty."""
        value = self.values.get(key, {})
        if not isinstance(value, Mapping) or not all(isinstance(item, str) for item in value.values()):
            raise self.wrong(key, "a table of texts is needed")
        return dict(value)

    def section(self, key: str, *, needed: bool = True) -> Section:
        """Return a table within this one; one that is missing, and not needed, is empty."""
        value = self.values.get(key, None if needed else {})
        if not isinstance(value, Mapping):
            raise self.wrong(key, "a table is needed")
        return Section(self.path, value, f"{self.prefix}{key}.")

    def sections(self, key: str) -> tuple[Section, ...]:
        """Return a list of tables within this one, ``key[1]`` the first; one that is missing is empty."""
        values = self.values.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, Mapping) for value in values):
            raise self.wrong(key, f"tables [[{self.prefix}{key}]] are needed")
        return tuple(Section(self.path, value, f"{self.prefix}{key}[{i}].") for i, value in enumerate(values, 1))
