"""Mutants of files of every kind, from a seed: bytes, lines and tokens that are changed, repeated or left out."""

from __future__ import annotations

import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable

ODD = (
    *("", " ", "0", "-1", "1e999", "-0", "nan", "inf", "1e-320", "9" * 30, "9" * 400, "0x1F", "1_0", "1,5", "\u0663"),
    *(
        "x" * 5_000,
        "\u202e",
        "\ufeff",
        "\x00",
        "\x1b[31m",
        "\ud7ff",
        "=1+1",
        "<b>",
        "%s%n",
        "{}",
        "../../x",
        "/dev/zero",
    ),
    *(
        '"',
        "'",
        "\\",
        "\n",
        "\r",
        ",",
        ";",
        "\t",
        "[",
        "]",
        "{",
        "true",
        "null",
        "2020-01-01",
        "(all)",
        "e\u0301",
        "\u2212",
    ),
)
"""Texts in the place of others."""


def of_bytes(held: bytes, chance: random.Random) -> bytes:
    """Return a file with some bytes changed, left out, repeated or put elsewhere, or cut short."""
    found = bytearray(held)
    for _ in range(chance.choice((1, 1, 1, 2, 5, 40))):
        if not found:
            break
        at, length = chance.randrange(len(found)), chance.choice((1, 1, 2, 4, 8, 64, 1_000))
        match chance.randrange(7):
            case 0:
                found[at] ^= 1 << chance.randrange(8)
            case 1:
                found[at : at + length] = chance.randbytes(length)
            case 2:
                del found[at : at + length]
            case 3:
                found[at:at] = found[at : at + length] * chance.choice((1, 2, 50))
            case 4:
                found[at : at + length] = chance.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * length
            case 5:
                to = chance.randrange(len(found))
                found[at : at + length] = found[to : to + length]
            case 6 if chance.random() < 0.3:
                del found[at:]
    return bytes(found)


def of_text(held: bytes, chance: random.Random) -> bytes:
    """Return a text with tokens replaced by others of its own, or by odd ones, and lines left out or repeated."""
    if chance.random() < 0.15:
        return of_bytes(held, chance)
    lines = held.decode().splitlines(keepends=True)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if not lines:
            break
        k = chance.randrange(len(lines))
        match chance.randrange(6):
            case 0:
                del lines[k]
            case 1:
                lines[k:k] = [chance.choice(lines)] * chance.choice((1, 1, 30))
            case _:
                lines[k] = _changed(lines[k], lines, chance)
    return "".join(lines).encode("utf-8", "surrogatepass")


def _changed(line: str, lines: list[str], chance: random.Random) -> str:
    """Return a line with a token of it replaced; tokens are parted by what parts them in CSV, TOML and JSON."""
    marks = [k for k, sign in enumerate(line) if sign in ',=[]{}": \n.']
    if not marks:
        return chance.choice(ODD)
    at = chance.randrange(len(marks))
    start, end = (0 if at == 0 else marks[at - 1] + 1), marks[at]
    new = chance.choice(ODD) if chance.random() < 0.7 else chance.choice(chance.choice(lines).split(",")).strip()
    return line[:start] + new + line[end:]


def of_json(held: bytes, chance: random.Random) -> bytes:
    """Return JSON with a value replaced by one of another type, or a key left out or added."""
    if chance.random() < 0.3:
        return of_text(held, chance)
    whole = json.loads(held)
    at = whole
    while isinstance(at, dict | list) and at:
        key = chance.choice(list(at) if isinstance(at, dict) else range(len(at)))
        if isinstance(at[key], dict | list) and at[key] and chance.random() < 0.7:
            at = at[key]
            continue
        odd = (None, True, 0, -1, 10**30, 1e308, "", "x", [], {}, [[]], {"x": 1}, chance.choice(ODD))
        if chance.random() < 0.15:
            del at[key]
        else:
            at[key] = chance.choice(odd)
        break
    return json.dumps(whole).encode()


def of_archive(held: bytes, chance: random.Random) -> bytes:
    """Return a ZIP archive with one of its parts changed as text, or the archive itself as bytes."""
    if chance.random() < 0.3:
        return of_bytes(held, chance)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(held)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        names = old.namelist()
        chosen, left_out = chance.choice(names), chance.random() < 0.1
        for name in names:
            if name != chosen:
                new.writestr(name, old.read(name))
            elif not left_out:
                new.writestr(name, _of_xml(old.read(name), chance))
    return out.getvalue()


def _of_xml(held: bytes, chance: random.Random) -> bytes:
    pieces = held.decode().replace("<", "\n<").replace(">", ">\n").encode()
    changed = of_text(pieces, chance)
    return changed.replace(b"\n<", b"<").replace(b">\n", b">")


def of_gzip(held: bytes, chance: random.Random) -> bytes:
    """Return a file packed as another program packs it, which no reader here expects."""
    return gzip.compress(of_text(held, chance), 1)


type Mutate = Callable[[bytes, random.Random], bytes]
