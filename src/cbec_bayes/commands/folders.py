"""What the commands about a fit's folder read, depend on, and belong to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cbec_bayes.commands.console import Request


def content_of(folder: Path, seed: int | None) -> Callable[[], Mapping[str, Any]]:
    """Return what tells what the results of a fit's folder depend on."""

    def depends() -> Mapping[str, Any]:
        from cbec_bayes.jobs.fit_settings import content, read_settings

        return content(read_settings(folder, seed=seed), folder)

    return depends


def itself(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a fit was asked for: all that its own results depend on."""
    return content


def fit_of(folder: Path) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """Return what tells what the fit of a folder was asked for, whatever seed the results about it have."""
    return lambda _: content_of(folder, None)()


def read_from(folder: Path) -> Callable[[], Sequence[Path]]:
    """Return what tells from which files the results of a fit's folder are made."""

    def reads() -> Sequence[Path]:
        from cbec_bayes.jobs.fit_settings import files_of, read_settings

        return files_of(read_settings(folder), folder)

    return reads


def places(request: Request, folder: Path) -> tuple[Path, ...]:
    """Return the folders in which what another command found may be taken from: where one writes, and the fit's."""
    return () if request.fresh or request.out is None else tuple(dict.fromkeys((request.out, folder)))
