"""Mutants of files of every kind, from a seed: bytes, lines and tokens that are changed, repeated or left out."""

from __future__ import annotations

import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable
from hashlib import sha256

import h5py
import numpy as np

from cbec_bayes.jobs.moments_file import SEAL

ODD = (
    *("", " ", "0", "-1", "1e999", "-0", "nan", "inf", "1e-320", "9" * 30, "9" * 400, "0x1F", "1_0", "1,5", "\u0663"),
    *("1e-999999999", "1e999999999", "0e999999999", "-1e-999999999"),
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


def of_netcdf(held: bytes, chance: random.Random) -> bytes:
    """Return a netCDF file with a part of it made in another way, or with some bytes changed."""
    if chance.random() < 0.4:
        return of_bytes(held, chance)
    out = io.BytesIO(held)
    try:
        with h5py.File(out, "r+") as file:
            for _ in range(chance.choice((1, 1, 2))):
                _change_part(file, chance)
    except (KeyError, ValueError, TypeError, RuntimeError, OSError):  # HDF5 itself would not have it
        return of_bytes(held, chance)
    return out.getvalue()


def _parts(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visit(found.append)
    return [name for name in found if isinstance(file[name], h5py.Dataset)]


def _change_part(file: h5py.File, chance: random.Random) -> None:
    name = chance.choice(_parts(file))
    part, group = file[name], file[name].parent
    other, leaf = chance.choice(_parts(file)), name.rpartition("/")[2]
    match chance.randrange(13):
        case 0:
            _change_value(part, chance)
        case 1:
            del file[name]
        case 2:
            file.move(name, f"{name}_")
        case 3:  # another shape: shorter, longer by far, or of other dimensions
            del file[name]
            shape = chance.choice(((0,), (1,), (10**9,), (10**5, 10**5), (), (3, 0), (2**40,)))
            packed = {"chunks": (1,) * len(shape), "compression": "gzip"} if shape and chance.random() < 0.5 else {}
            group.create_dataset(leaf, shape, dtype="f8", **packed)
        case 4:  # values of another kind
            values = chance.choice(
                (b"x", "text", 1, True, 1 + 2j, np.float16(1), np.zeros(3, "i1"), np.zeros((2, 2), "u8"))
            )
            del file[name]
            group[leaf] = values
        case 5:
            group["round"] = chance.choice((file["/"], group, part))
        case 6:
            group["elsewhere"] = chance.choice((h5py.SoftLink("/nowhere"), h5py.ExternalLink("/dev/zero", "/")))
        case 7:
            del file[name]
            group.create_dataset(leaf, (10,), "f8", external=[("/dev/zero", 0, 80)])
        case 8:
            layout = h5py.VirtualLayout((4,), "f8")
            layout[:] = h5py.VirtualSource("/dev/zero", "x", (4,))
            del file[name]
            group.create_virtual_dataset(leaf, layout)
        case 9:  # one piece that is larger than all there is
            del file[name]
            group.create_dataset(leaf, (4,), "f8", chunks=(2**28,), maxshape=(None,), compression="gzip")
        case 10:
            for one in list(part.attrs):
                if chance.random() < 0.5:
                    del part.attrs[one]
        case 11:
            at = chance.choice((file, part))
            key = chance.choice([*file.attrs, *part.attrs, "new"])
            at.attrs[key] = chance.choice((*ODD[:20], 0, -1, 2**40, np.nan, np.zeros(3), "x" * 60_000))
        case _:
            values = file[other][()]
            del file[name]
            group[leaf] = values


def _change_value(part: h5py.Dataset, chance: random.Random) -> None:
    if part.size and part.shape:
        at = tuple(chance.randrange(length) for length in part.shape)
        if part.dtype.kind in "OS":
            part[at] = chance.choice((*ODD[:20], "(all)", "x\ny"))
        elif part.dtype.kind == "f":
            part[at] = chance.choice((np.nan, np.inf, -np.inf, 0.0, -1.0, 1e308, 1e-308, 0.5))
        else:
            part[at] = chance.choice((0, -1, 1, 2**31 - 1))


def sealed(content: bytes) -> bytes:
    """Return a netCDF file as a file of moments, with the seal that belongs to it."""
    return content + SEAL + sha256(content).hexdigest().encode()


def of_sealed(held: bytes, chance: random.Random) -> bytes:
    """Return a file of moments that is damaged below its seal, which is made anew."""
    return sealed(of_netcdf(held.rpartition(SEAL)[0], chance))


def of_receipt(held: bytes, chance: random.Random) -> bytes:
    """Return a receipt of which something is changed, with the seal that belongs to it."""
    line = of_json(held.splitlines()[0], chance)
    return line + b"\n" + sha256(line).hexdigest().encode() + b"\n"


type Mutate = Callable[[bytes, random.Random], bytes]
