"""Commands that list what there is: `models` and `studies`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cbec_bayes.commands.console import Found, Request, deliver
from cbec_bayes.commands.options import Json, Out, Quiet
from cbec_bayes.commands.terminal import in_one_line


def models(out: Out = None, as_json: Json = False, quiet: Quiet = False) -> None:
    """List the models, with the question each answers."""
    from cbec_bayes.jobs.lists import model_questions

    _list(Request(command="models", out=out, quiet=quiet, as_json=as_json, shows_progress=False), model_questions())


def studies(out: Out = None, as_json: Json = False, quiet: Quiet = False) -> None:
    """List the studies."""
    from cbec_bayes.jobs.lists import study_titles

    _list(Request(command="studies", out=out, quiet=quiet, as_json=as_json, shows_progress=False), study_titles())


def _list(request: Request, lines: Mapping[str, str]) -> None:
    """Print names with one line each, and write them as COMMAND.csv where asked."""
    import pandas as pd

    from cbec_bayes.jobs.lists import read_by_lists
    from cbec_bayes.runtime.files import csv_text

    request = replace(request, names=[f"{request.command}.csv"], reads=read_by_lists)
    frame = pd.DataFrame({"name": list(lines), "line": list(lines.values())})
    said = "\n".join(in_one_line(f"{key:24} {line}") for key, line in lines.items())
    found = Found(said=said, tables={request.command: frame}, files={f"{request.command}.csv": csv_text(frame)})
    deliver(request, lambda _executor, _on_progress: found)
