"""What reaches a terminal, all of it: as text that no terminal acts upon, in whatever signs the terminal has.

Files keep what they were given. A terminal is shown the code of a control sign in its place, and, for a sign that its
encoding lacks, a name in plain letters (tau for the Greek letter) or the code.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any, TextIO

from cbec_bayes.runtime.labels import CONTROL_SIGNS

DEBUG = "CBEC_BAYES_DEBUG"
"""Variable of the environment that asks for tracebacks, as the option ``--debug`` does."""

_HANDLER = "cbec_bayes.in_plain_letters"

# Signs of our own sentences in plain letters, for a terminal that lacks them.
_PLAIN = {
    **{"τ": "tau", "σ": "sigma", "β": "beta", "φ": "phi", "ξ": "xi", "κ": "kappa"},
    **{"–": "-", "−": "-", "×": "x", "±": "+/-", "≠": "!=", "≤": "<=", "≥": ">=", "∞": "inf"},
    **{"→": "->", "←": "<-", "²": "^2", "½": "1/2", "…": "..."},
}


def shown(text: str) -> str:
    """Return a text of any number of lines as a terminal is given it: with its control signs spelled out."""
    return CONTROL_SIGNS.sub(lambda found: found[0] if found[0] in "\n\t" else _spelled(found[0]), text)


def in_one_line(text: str) -> str:
    """Return a text as `shown` does, in one line: its line ends are spelled out, too."""
    return CONTROL_SIGNS.sub(lambda found: _spelled(found[0]), text)


def _spelled(sign: str) -> str:
    code = ord(sign)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file's name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(sign, f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def as_json(value: Any) -> str:
    """Return a value as JSON that can be shown: its control signs are escaped as JSON escapes them, so none is lost."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    if not _can_show(text):
        text = json.dumps(value, indent=1, allow_nan=False)
    # What JSON itself leaves: escape codes of eight bits, and directions.
    return CONTROL_SIGNS.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)


def _can_show(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def say(text: str, end: str = "\n") -> None:
    """Write to standard output, as `shown` says."""
    _write(sys.stdout, shown(text) + end)


def complain(text: str) -> None:
    """Write one line to standard error, whatever the text holds."""
    _write(sys.stderr, f"{in_one_line(text)}\n")


def _write(stream: TextIO | None, text: str) -> None:
    if stream is not None:  # as where a window's program has no terminal
        stream.write(text)
        stream.flush()


def open_terminal(*, debug: bool) -> None:
    """Have both streams spell what their encoding lacks, and keep to ourselves what libraries warn of.

    Parameters
    ----------
    debug
        Whether warnings of libraries are shown after all.
    """
    codecs.register_error(_HANDLER, _in_plain_letters)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            with contextlib.suppress(ValueError, OSError):  # a stream that was closed
                stream.reconfigure(errors=_HANDLER)
    if not debug:
        keep_warnings()


def keep_warnings() -> None:
    """Show no warning of a library, and no error in its destructors: no reader of results can act on these.

    What a reader can act on is a note or a check of ours, printed like any result. A warning of a class of ours is
    shown in one line. A filter that makes errors of warnings, as the tests have, still does.
    """
    warnings.showwarning = _show_ours
    sys.unraisablehook = lambda _: None


def _show_ours(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if category.__module__.startswith("cbec_bayes"):
        complain(f"note: {message}")


def _in_plain_letters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(sign, _escaped(sign)) for sign in error.object[error.start : error.end]), error.end


def _escaped(sign: str) -> str:
    return sign.encode("ascii", "backslashreplace").decode("ascii")


def asks_for_tracebacks(arguments: Sequence[str]) -> bool:
    """Return whether tracebacks are wanted: ``--debug`` stands before the command, or the environment says so."""
    before = [one for k, one in enumerate(arguments) if all(other.startswith("-") for other in arguments[: k + 1])]
    return "--debug" in before or os.environ.get(DEBUG, "") not in ("", "0")


def complain_of_ourselves(error: BaseException) -> None:
    """Say in one line that the program is at fault, and how to report it."""
    what = f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
    complain(
        f"error: a fault of the program, not of what it was given ({what[:300]}); please report it with what the same "
        "command prints as `cbec-bayes --debug COMMAND ...`"
    )


def show_traceback() -> None:
    """Write the traceback of the error at hand to standard error, for a report."""
    _write(sys.stderr, shown(traceback.format_exc()))
