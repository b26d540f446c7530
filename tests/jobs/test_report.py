"""`check`, `compare` and `report` of one fit: what one has computed, the others take, and the files are the same."""

from __future__ import annotations

import html
import shutil
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.checks import CheckResult, Severity
from cbec_bayes.commands import program as cli
from cbec_bayes.jobs.check import CheckedFit, checks_of_receipts
from cbec_bayes.runtime import receipts
from cbec_bayes.runtime.manifest import FILE
from tests.support.called import status_of as program

pytestmark = pytest.mark.slow

ASKED = ["--outcome", "y", "--exposure", "x", "--unit", "unit", "--time", "year", "--group", "group"]
ASKED += ["--model", "partial_pooling"]  # the quickest: what is asked here is who computes what


def files_of(folder: Path) -> list[Path]:
    """Return every file but the list of them, which grows with each command."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != FILE]


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files_of(folder)}


@pytest.fixture(scope="module", autouse=True)
def few_members() -> Iterator[None]:
    """Compare two members by what they predict; tests/checks compares all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cbec_bayes.checks.suite.gaussian_members", lambda: ("partial_pooling", "complete_pooling"))
        yield


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fit's folder, with labels that a spreadsheet would run: files put an apostrophe before them."""
    folder = tmp_path_factory.mktemp("fitted")
    rng = np.random.default_rng(1)
    unit, time = np.divmod(np.arange(9 * 5), 5)
    x = rng.normal(size=len(unit))
    y = (0.2 + 0.3 * (unit % 3)) * x + rng.normal(size=9)[unit] + 0.5 * rng.normal(size=len(unit))
    frame = pd.DataFrame({"y": y, "x": x, "unit": [f"=u{u}" for u in unit], "year": 2000 + time})
    frame.assign(group=[f"+g{u % 3}" for u in unit]).to_csv(folder / "panel.csv", index=False)
    assert program("fit", "--data", folder / "panel.csv", *ASKED, "--out", folder / "fit", "-q") == 0
    return folder / "fit"


@pytest.fixture(scope="module")
def at_once(fitted: Path) -> Path:
    """The report made in one go."""
    folder = fitted.with_name("at once")
    shutil.copytree(fitted, folder)
    assert program("report", folder, "--workers", 1, "-q") == 0
    return folder


@pytest.fixture(scope="module")
def one_by_one(fitted: Path) -> Path:
    """The same fit checked and compared, and not yet reported."""
    folder = fitted.with_name("one by one")
    shutil.copytree(fitted, folder)
    assert program("check", folder, "--workers", 1, "-q") == 0
    assert program("compare", folder, "-q") == 0
    return folder


class ComputedAgainError(SystemExit):
    """Ends the program where something would be computed."""


@pytest.fixture
def nothing_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise ComputedAgainError

    monkeypatch.setattr("cbec_bayes.jobs.check.run_checks", never)
    monkeypatch.setattr("cbec_bayes.jobs.compare.compare", never)
    monkeypatch.setattr("cbec_bayes.jobs.compare.posterior_path", never)
    monkeypatch.setattr("cbec_bayes.jobs.lattices.fit_member", never)
    monkeypatch.setattr("cbec_bayes.jobs.fit.fit", never)
    monkeypatch.setattr("cbec_bayes.jobs.fit_tables._tabulated", never)


@pytest.fixture
def copied(one_by_one: Path, tmp_path: Path) -> Path:
    """The same elsewhere, with the panel, which is looked for where it was as seen from the folder."""
    shutil.copytree(one_by_one, tmp_path / "fit")
    shutil.copy(one_by_one.with_name("panel.csv"), tmp_path)
    return tmp_path / "fit"


@pytest.mark.usefixtures("nothing_is_computed")
def test_a_report_takes_what_check_and_compare_found_and_is_the_same(at_once, copied):
    assert program("report", copied, "--workers", 1, "-q") == 0
    first, second = content(at_once), content(copied)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


@pytest.mark.usefixtures("nothing_is_computed")
def test_check_and_compare_after_a_report_have_nothing_to_do(at_once, one_by_one, capsys):
    for command in ("check", "compare"):
        assert program(command, at_once) == 0
        after_report = capsys.readouterr().out
        assert "Nothing has changed" in after_report
        assert program(command, one_by_one) == 0
        assert capsys.readouterr().out == after_report.replace(str(at_once), str(one_by_one))
        assert program(command, at_once, "--json") == 0
        as_json = capsys.readouterr().out
        assert program(command, one_by_one, "--json") == 0
        assert capsys.readouterr().out == as_json.replace(str(at_once), str(one_by_one))


def test_check_and_compare_leave_what_a_report_leaves_of_them(at_once, one_by_one):
    own, whole = content(one_by_one), content(at_once)
    assert {name: held for name, held in whole.items() if name in own} == own
    assert ".report.receipt" not in own


@pytest.mark.usefixtures("nothing_is_computed")
def test_another_folder_takes_what_lies_in_that_of_the_fit(at_once, copied, tmp_path):
    for command in ("report", "check", "compare"):
        assert program(command, copied, "--out", tmp_path / command, "-q") == 0
    own = content(tmp_path / "report")
    assert own == {name: content(at_once)[name] for name in own}
    assert content(tmp_path / "check").items() <= own.items()
    assert content(tmp_path / "compare").items() <= own.items()
    assert "report.html" in own


def test_a_report_leaves_what_the_reduced_lattice_says(at_once, capsys):
    assert program("specifications", at_once, "--reduced") == 0
    said = capsys.readouterr().out
    assert "Nothing has changed" in said
    page = (at_once / "report.html").read_text(encoding="utf-8")
    first = page.split('<p class="lead">')[1].split("</p>")[0]
    assert html.unescape(first) == said.split("\n")[0]
    table = pd.read_csv(at_once / "specifications.csv")
    assert table["member"].nunique() == 4  # the panel is too small for periods by group


@pytest.mark.usefixtures("nothing_is_computed")
def test_another_format_of_the_curve_needs_no_other_fit(copied):
    table = (copied / "specifications.csv").read_bytes()
    assert program("specifications", copied, "--reduced", "--figures", "png", "-q") == 0
    assert (copied / "specifications.png").read_bytes().startswith(b"\x89PNG")
    assert (copied / "specifications.csv").read_bytes() == table
    assert program("report", copied, "--workers", 1, "-q") == 0


def test_a_report_is_made_again_once_the_whole_lattice_is_known(copied, capsys, monkeypatch):
    every_third = lambda *axes: islice(product(*axes), 0, None, 3)  # noqa: E731 - of the assumptions' combinations
    monkeypatch.setattr("cbec_bayes.specifications.lattice.product", every_third)
    assert program("report", copied, "--workers", 1) == 0
    assert program("specifications", copied, "--workers", 1, "-q") == 0
    whole = (copied / "specifications.csv").read_bytes()
    capsys.readouterr()
    assert program("report", copied, "--workers", 1) == 0
    assert "Nothing has changed" not in capsys.readouterr().out
    assert (copied / "specifications.csv").read_bytes() == whole
    table = pd.read_csv(copied / "specifications.csv")
    assert f"of {table['member'].nunique()}: weight" in (copied / "report.html").read_text(encoding="utf-8")
    assert program("report", copied, "--workers", 1) == 0
    assert "Nothing has changed" in capsys.readouterr().out
    assert program("specifications", copied) == 0
    assert "Nothing has changed" in capsys.readouterr().out


def edited_table(folder: Path) -> None:
    (folder / "check_agreement.csv").write_text("edited")


def flipped_digit(folder: Path) -> None:
    receipt = folder / ".check.receipt"
    held = receipt.read_text(encoding="utf-8")
    at = held.index('"table"')
    digit = next(k for k in range(at, len(held)) if held[k].isdigit() and held[k - 1] == ".")
    receipt.write_text(held[:digit] + str((int(held[digit]) + 1) % 10) + held[digit + 1 :], encoding="utf-8")


def no_receipt(folder: Path) -> None:
    (folder / ".check.receipt").unlink()


@pytest.mark.usefixtures("nothing_is_computed")
@pytest.mark.parametrize("change", [edited_table, flipped_digit, no_receipt])
def test_what_is_not_as_it_was_written_is_computed_again(copied, change):
    change(copied)
    for command in ("report", "check"):
        with pytest.raises(ComputedAgainError):
            cli.main([command, str(copied), "--workers", "1", "-q"])
    assert program("compare", copied, "-q") == 0


@pytest.mark.usefixtures("nothing_is_computed")
@pytest.mark.parametrize("more", [["--seed", "2"], ["--fresh"]])
def test_another_seed_or_a_fresh_run_is_computed(copied, more):
    for command in ("report", "check", "compare"):
        with pytest.raises(ComputedAgainError):
            cli.main([command, str(copied), *more, "-q"])


def test_results_of_other_checks_are_not_taken(copied, monkeypatch):
    """A name of a check is a name of a file, so that one that is no check's is not followed."""
    found = checks_of_receipts([copied], copied)
    assert found is not None
    stranger = CheckResult("../elsewhere", Severity.FINE, pd.DataFrame(), None, "")
    for results in ((*found.results, stranger), found.results[:-1]):
        packed = CheckedFit(found.model, found.exposure, results).packed()
        monkeypatch.setattr(receipts, "results", lambda *_, held=packed: [held])
        assert checks_of_receipts([copied], copied) is None
    monkeypatch.setattr(receipts, "results", lambda *_: [{"mapping": [["model", "x"]]}, found.packed()])
    assert checks_of_receipts([copied], copied) is not None
