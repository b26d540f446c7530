"""The page of pooled estimates is made of what was pooled, or refused in a line; its figures' numbers are exact."""

from __future__ import annotations

import hashlib
import io
import json
import math
import shutil
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.jobs import pooled_report
from cbec_bayes.jobs.pooled_report import own_estimates, path_about_the_median, report_pooled
from cbec_bayes.jobs.pooled_settings import SETTINGS, content, read_pooled
from cbec_bayes.jobs.pooled_tables import PooledTables, tables_of
from cbec_bayes.published.estimates import Estimates, KnownError
from cbec_bayes.published.summary_model import SummaryModel
from cbec_bayes.runtime import receipts
from cbec_bayes.runtime.errors import InputError
from tests.support.called import status_of as program

ROWS = "label,estimate,se\neast,0.22,0.08\ncentral,0.751,0.328\nwest,0.074,0.109\nnorth-east,,\n"
VALUES, ERRORS = np.array([0.22, 0.751, 0.074]), np.array([0.08, 0.328, 0.109])


@pytest.fixture
def pooled(tmp_path) -> Path:
    """Return a folder that `published` wrote to; the estimates lie beside it."""
    (tmp_path / "rows.csv").write_text(ROWS, encoding="utf-8")
    assert program("published", tmp_path / "rows.csv", "--out", tmp_path / "out", "-q") == 0
    return tmp_path / "out"


def test_what_published_left_is_read_and_not_computed_again(pooled, monkeypatch):
    fresh = report_pooled(pooled)
    monkeypatch.setattr(pooled_report, "pool_file", None)
    kept = report_pooled(pooled, reuse=[pooled])
    for one in fields(PooledTables):
        own, other = getattr(kept.tables, one.name), getattr(fresh.tables, one.name)
        if one.name == "further":
            assert list(own) == list(other) == ["leave_one_out"]
            own, other = own["leave_one_out"], other["leave_one_out"]
        if isinstance(own, pd.DataFrame):
            pd.testing.assert_frame_equal(own, other)
        else:
            assert own == other
    assert kept.name == "rows.csv"
    assert kept.own["group"].tolist() == ["east", "central", "west"]
    assert len(kept.tables.effects) == 6


def test_a_receipt_that_was_sealed_again_with_other_things_is_passed_over(pooled):
    settings = content(read_pooled(pooled), pooled)
    own = receipts.read(pooled, "published", receipts.digest("published", settings))
    assert own is not None
    answer = report_pooled(pooled).tables.answer
    for broken in (None, 5, {"mapping": [["effects", "x"]]}, {"mapping": []}, {"list": []}):
        made = receipts.Receipt(depends=own.depends, files=own.files, said="", found=None, results=broken)
        (pooled / receipts.file_of("published")).write_text(made.text(), encoding="utf-8")
        assert report_pooled(pooled, reuse=[pooled]).tables.answer == answer


@pytest.mark.parametrize("name", ["effects", "contrasts", "classical", "small_studies"])
def test_a_table_of_other_columns_is_no_table_of_ours(pooled, name):
    packed = report_pooled(pooled).tables.kept()
    assert tables_of(packed).answer
    entries = dict(packed["mapping"])
    table = entries[name]["table"]
    table["columns"] = {f"{key}_": column for key, column in table["columns"].items()}
    with pytest.raises(TypeError):
        tables_of(packed)


WRONG = {
    "no JSON": "{",
    "a list": "[]",
    "no options": '{"pooled": "rows.csv"}',
    "an option of another type": ("options", {"model": 3}),
    "an option that is missing": ("options", None),
    "an unknown option": ("options", {"x": 1}),
    "a number that is none": ("options", {"ci_prob": math.nan}),
    "a seed below zero": ("options", {"seed": -1}),
    "columns that are no texts": ("options", {"slope_on": [3]}),
    "a digest that is no text": ("sha256", 3),
    "digests by number": ("digests", {"model": 3}),
    "a file of an unknown option": ("digests", {"reading": "x"}),
}


@pytest.mark.parametrize("name", WRONG)
def test_settings_that_nobody_wrote_are_refused(pooled, name):
    wrong = WRONG[name]
    if isinstance(wrong, tuple):
        held = json.loads((pooled / SETTINGS).read_text())
        value = wrong[1]
        if wrong[0] == "options":
            value = {**held["options"], **(value or {})}
            value = {key: one for key, one in value.items() if wrong[1] is not None or key != "seed"}
        wrong = json.dumps({**held, wrong[0]: value})
    (pooled / SETTINGS).write_text(wrong)
    with pytest.raises(InputError, match="this file is not one that `cbec-bayes published"):
        report_pooled(pooled)


def test_estimates_that_changed_or_went_are_refused_and_a_moved_folder_is_read(pooled, tmp_path, capsys):
    rows = tmp_path / "rows.csv"
    rows.write_text(ROWS.replace("0.22", "0.23"))
    assert program("report", pooled) == 2
    assert "the file of estimates has changed since the pooling; make the pooling again" in capsys.readouterr().err
    rows.unlink()
    assert program("report", pooled) == 2
    assert "the pooling's file of estimates is no longer there" in capsys.readouterr().err
    moved = tmp_path / "far" / "away"
    shutil.copytree(pooled, moved)
    (moved / "rows.csv").write_text(ROWS)  # in the folder itself
    assert program("report", moved, "-q") == 0
    assert (moved / "report.html").exists()


def test_pooling_again_otherwise_removes_the_page_of_before(pooled, tmp_path):
    assert program("report", pooled, "-q") == 0
    again = ["published", tmp_path / "rows.csv", "--out", pooled, "-q"]
    assert program(*again) == 0
    assert (pooled / "report.html").exists()
    assert program(*again, "--model", "published_exponential") == 0
    assert not (pooled / "report.html").exists()
    assert program("report", pooled, "-q") == 0


@pytest.mark.parametrize(
    ("text", "name", "more"),
    [
        (ROWS, "standard_input.txt", ()),
        ("table,column,term,quantity,printed,stars\n1,(1),x,estimate,0.22,\n1,(1),x,parenthesis,0.08,\n"
         "1,(2),x,estimate,0.7,\n1,(2),x,parenthesis,0.3,\n", "standard_input.csv", ("--term", "x")),
        ("        (1)     (2)\nx      0.22    0.70\n      (0.08)  (0.30)\nNotes: standard errors in parentheses.\n",
         "standard_input.txt", ("--term", "x")),
    ],
    ids=["estimates", "long-csv", "pasted"],
)  # fmt: skip
def test_the_standard_input_is_kept_with_its_digest(tmp_path, monkeypatch, capsys, text, name, more):
    """What came through a pipe cannot be read again: the folder has a copy, of which the page is made, anywhere."""
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    out = tmp_path / "out"
    assert program("published", "-", "--out", out, *more) == 0
    assert "Partial pooling of the standard input" in capsys.readouterr().out
    held = json.loads((out / SETTINGS).read_text())
    assert (held["pooled"], held["sha256"]) == (name, hashlib.sha256(text.encode()).hexdigest())
    assert (out / name).read_text() == text
    shutil.move(out, tmp_path / "moved")
    assert program("report", tmp_path / "moved", "-q") == 0
    assert (tmp_path / "moved" / "report.html").is_file()
    (tmp_path / "moved" / name).write_text(text.replace("0.22", "0.23"))
    assert program("report", tmp_path / "moved") == 2
    assert "has changed since the pooling" in capsys.readouterr().err


def test_a_model_in_a_file_is_named_from_the_folder(tmp_path, capsys):
    (tmp_path / "rows.csv").write_text(ROWS, encoding="utf-8")
    own = tmp_path / "own.toml"
    text = 'kind = "published"\nquestion = "q"\n[slope]\ndist = "flat"\n[between]\ndist = "half_normal"\nscale = 0.1\n'
    own.write_text(text)
    out = tmp_path / "out"
    assert program("published", tmp_path / "rows.csv", "--model", own, "--out", out, "-q") == 0
    assert json.loads((out / SETTINGS).read_text())["options"]["model"] == "../own.toml"
    assert "scale = 0.1" in report_pooled(out).tables.priors
    own.write_text(text.replace("0.1", "0.2"))
    assert program("report", out) == 2
    assert "the model has changed since the pooling" in capsys.readouterr().err


def test_printed_tables_are_pooled_and_reported(tmp_path):
    table = tmp_path / "t.txt"
    table.write_text("          (1)     (2)     (3)\nx        0.50    0.30    0.10\n        (0.20)  (0.10)  (0.10)\n")
    out = tmp_path / "out"
    assert program("published", table, "--term", "x", "--out", out, "-q") == 0
    assert program("report", out, "-q") == 0
    assert "t.txt" in (out / "report.html").read_text(encoding="utf-8")


def known(values: np.ndarray, errors: np.ndarray) -> Estimates:
    labels = tuple(f"g{k}" for k in range(len(values)))
    return Estimates(labels, values, tuple(KnownError(float(s), "") for s in errors))


MODEL = SummaryModel("m", "", Prior("flat", {}), Prior("half_normal", {"scale": 0.5}), 1.0)


def test_the_path_is_the_closed_form_at_every_tau():
    found = path_about_the_median(known(VALUES, ERRORS), MODEL)
    assert found is not None
    for tau, means in zip(found.tau, found.means, strict=True):
        weights = 1 / (ERRORS**2 + tau**2)
        common = weights @ VALUES / weights.sum()
        expected = (VALUES / ERRORS**2 + common / tau**2) / (1 / ERRORS**2 + 1 / tau**2)
        np.testing.assert_allclose(means, expected, rtol=1e-8)
    assert found.complete == pytest.approx(ERRORS**-2 @ VALUES / (ERRORS**-2).sum(), rel=1e-8)


def test_the_density_beside_the_path_is_that_of_log_tau():
    found = path_about_the_median(known(VALUES, ERRORS), MODEL)
    assert found is not None

    def density(log_tau: float) -> float:
        total = ERRORS**2 + math.exp(2 * log_tau)
        mean = (VALUES / total).sum() / (1 / total).sum()
        likelihood = math.exp(-(((VALUES - mean) ** 2 / total).sum() + np.log(total).sum()) / 2)
        prior = stats.halfnorm(scale=0.5).pdf(math.exp(log_tau)) * math.exp(log_tau)
        return float(likelihood / math.sqrt((1 / total).sum()) * prior)

    whole = integrate.quad(density, -25, 4, limit=500)[0]
    half = (math.log(found.tau[1]) - math.log(found.tau[0])) / 2
    for tau, own in zip(found.tau, found.density, strict=True):
        share = integrate.quad(density, math.log(tau) - half, math.log(tau) + half)[0] / whole
        assert own == pytest.approx(share / (2 * half), rel=1e-4, abs=1e-6)


def test_own_intervals_are_those_of_the_standard_errors():
    own = own_estimates(known(np.array([0.5, math.nan, -1.0]), np.array([0.1, 1.0, 0.2])))
    assert own["group"].tolist() == ["g0", "g2"]
    np.testing.assert_allclose(own["high"] - own["estimate"], stats.norm.ppf(0.975) * own["se"], rtol=1e-12)


def test_a_seed_of_the_page_is_refused(pooled, capsys):
    assert program("report", pooled, "--seed", "3") == 2
    assert "--seed has no effect on a page of pooled estimates" in capsys.readouterr().err
