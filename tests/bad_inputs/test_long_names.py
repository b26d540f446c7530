"""A name that is longer than any file's is refused like that of a file that is not there, wherever one is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.jobs.fit_settings import data_of, model_of
from cbec_bayes.jobs.moments import pieces_of
from cbec_bayes.jobs.moments_file import load_moments
from cbec_bayes.panel import read_frame
from cbec_bayes.panel.regions import load_scheme
from cbec_bayes.panel.study import load_study
from cbec_bayes.published.estimate_file import read_estimates
from cbec_bayes.published.printed import load_paper
from cbec_bayes.runtime.cluster import Cluster
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.opening import file_digest

LONG = "x" * 5_000


def study(folder: Path) -> object:
    keys = {"outcome": "y", "exposure": "d", "unit": "u", "time": "t", "convention": "reghdfe"}
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    text = "\n".join(['title = "x"', "[panel]", f'files = ["{LONG}.csv"]', "controls = []", *lines])
    (folder / "s.toml").write_text(text)
    return load_study(folder / "s.toml")


READERS: dict[str, Callable[[Path], object]] = {
    "panel": lambda folder: read_frame(folder / f"{LONG}.csv"),
    "parquet": lambda folder: read_frame(folder / f"{LONG}.parquet"),
    "pieces": lambda folder: pieces_of(folder / f"{LONG}.parquet"),
    "moments": lambda folder: load_moments(folder / f"{LONG}.nc"),
    "estimates": lambda folder: read_estimates(folder / f"{LONG}.csv"),
    "tables": lambda folder: load_paper(folder / LONG),
    "scheme": lambda folder: load_scheme(folder / f"{LONG}.csv"),
    "study": lambda folder: load_study(folder / f"{LONG}.toml"),
    "a study's file": study,
    "model": lambda folder: load_panel_model(str(folder / f"{LONG}.toml")),
    "a fit's data": lambda folder: data_of({"data": LONG, "sha256": "0"}, folder),
    "a fit's model": lambda folder: model_of({"model": f"{LONG}.toml", "model_sha256": "0"}, folder),
    "digest": lambda folder: file_digest(folder / LONG),
}


@pytest.mark.parametrize("name", READERS)
def test_a_name_that_no_file_has_is_refused(name, tmp_path):
    if name == "a study's file":
        READERS[name](tmp_path)  # it is looked for where the panel is read
        return
    with pytest.raises(InputError):
        READERS[name](tmp_path)


def test_a_certificate_that_no_file_is_is_refused(tmp_path):
    cluster = Cluster("tls://127.0.0.1:9", ca=tmp_path / LONG)
    with pytest.raises(InputError, match="no such file"), cluster.connect("1s"):
        pass
