"""The seal of the calibration: what changes a number breaks it, what changes a name does not."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cbec_bayes
from cbec_bayes.bayes.model import family
from cbec_bayes.bayes.model.likelihoods import student_t
from cbec_bayes.bayes.sampling import gates, proposal
from cbec_bayes.calibration import coverage, event_coverage, plan, sbc
from cbec_bayes.calibration.behaviour import PARTS, as_text, behaviour, differences
from cbec_bayes.calibration.simulate import simulated_regressors
from cbec_bayes.runtime.files import asset_dir

SAMPLED = "densities of sampled members"
PERSISTENCE = simulated_regressors.__kwdefaults__


def with_wider_prior(monkeypatch, folder: Path) -> None:
    """Make the prior of tau wider, by a fiftieth, in every model."""
    for path in asset_dir("models").glob("*.toml"):
        text = re.sub(r"(\[priors\.tau\][^[]*\nscale = )0\.5", r"\g<1>0.51", path.read_text())
        (folder / path.name).write_text(text)
    monkeypatch.setattr(family, "asset_dir", lambda _: folder)


def changed_source(monkeypatch, module, name: str, old: str, new: str) -> None:
    """Put a function in the place of one of a module, with other source."""
    source = inspect.getsource(getattr(module, name))
    assert source.count(old) == 1
    own: dict[str, object] = {}
    exec(source.replace(old, new), vars(module), own)
    monkeypatch.setattr(module, name, own[name])


CHANGES = {
    "prior of a scale": (("densities", SAMPLED, "draws"), with_wider_prior),
    "prior of the degrees of freedom": (
        (SAMPLED, "simulated data"),
        lambda monkeypatch, _: monkeypatch.setattr(student_t, "BETA", 0.11),
    ),
    "proposals": (("draws", "intervals"), lambda monkeypatch, _: monkeypatch.setattr(proposal, "DF", 5)),
    "simulated slopes": (("simulated data",), lambda monkeypatch, _: monkeypatch.setattr(coverage, "SLOPE", 0.31)),
    "simulated panels": (
        ("simulated data", "ranks", "intervals"),
        lambda monkeypatch, _: monkeypatch.setitem(PERSISTENCE, "persistence", 0.61),
    ),
    "level of intervals": (("intervals",), lambda monkeypatch, _: monkeypatch.setattr(coverage, "CI_PROB", 0.951)),
    "level of intervals of events": (
        ("events",),
        lambda monkeypatch, _: monkeypatch.setattr(event_coverage, "CI_PROB", 0.951),
    ),
    "draws of the bootstrap": (
        ("intervals",),
        lambda monkeypatch, _: monkeypatch.setattr(coverage, "WILD_REPLICATIONS", 998),
    ),
    "what covers": (
        ("conclusions",),
        lambda monkeypatch, _: changed_source(monkeypatch, coverage, "measured", "(low <= 0)", "(low < 0)"),
    ),
    "widths of intervals": (
        ("conclusions",),
        lambda monkeypatch, _: changed_source(
            monkeypatch, coverage, "measured", "= (high - low)", "= 0.5 * (high - low)"
        ),
    ),
    "bias of intervals": (
        ("conclusions",),
        lambda monkeypatch, _: changed_source(monkeypatch, coverage, "measured", "float(middle.mean())", "0.0"),
    ),
    "outcomes not fitted": (
        ("conclusions",),
        lambda monkeypatch, _: changed_source(monkeypatch, coverage, "measured", "n - int(fitted.sum())", "0"),
    ),
    "passing of ranks": (
        ("conclusions",),
        lambda monkeypatch, _: changed_source(monkeypatch, sbc, "verdicts", "p > level", "p > level / 2"),
    ),
    "share of each test of ranks": (
        ("conclusions",),
        lambda monkeypatch, _: changed_source(monkeypatch, sbc, "level_of", "one.model == one.data_of", "True"),
    ),
    "pairs that are wrong on purpose": (
        ("plan",),
        lambda monkeypatch, _: monkeypatch.setattr(plan, "WRONG", (plan.WRONG[0], ("partial_pooling", "student_t"))),
    ),
    "how often a sampled member is tried": (
        ("plan",),
        lambda monkeypatch, _: changed_source(monkeypatch, plan, "plan", "n // 5", "n // 4"),
    ),
    "members whose intervals are tried": (
        ("plan",),
        lambda monkeypatch, _: monkeypatch.setattr(coverage, "MODELS", coverage.MODELS[1:]),
    ),
    "pieces of ranks": (("plan",), lambda monkeypatch, _: monkeypatch.setattr(sbc, "CHUNK", 30)),
    "pieces of intervals": (("plan",), lambda monkeypatch, _: monkeypatch.setattr(coverage, "OUTCOMES", 30)),
    **{
        f"threshold {name}": (
            ("gates",),
            lambda monkeypatch, _, name=name: monkeypatch.setattr(gates, name, 1.01 * getattr(gates, name)),
        )
        for name in ("RHAT_MAX", "ESS_MIN", "EBFMI_MIN", "KHAT_MAX")
    },
    "chance of R-hat": (("gates",), lambda monkeypatch, _: monkeypatch.setattr(gates, "_CHANCE", 2e-3)),
    "level of the test of ranks": (
        ("judgement of ranks", "conclusions"),
        lambda monkeypatch, _: monkeypatch.setattr(sbc, "LEVEL", 0.051),
    ),
}
"""What is changed by a little, the parts in which it must be seen, and how to change it."""


def test_what_is_stored_is_what_this_code_does():
    stored = json.loads((asset_dir("data") / "calibration" / "behaviour.json").read_text())
    assert differences(behaviour(), stored) == []
    assert set(stored) == set(PARTS)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_number_is_found_in_the_parts_that_depend_on_it(change, monkeypatch, tmp_path):
    parts, apply = CHANGES[change]
    before = {name: behaviour()[name] for name in parts}
    apply(monkeypatch, tmp_path)
    for name in parts:
        changed = {name: PARTS[name].measure()}
        assert differences(changed, {name: before[name]}), name


def test_parts_are_the_same_when_measured_again():
    for name in ("densities", "draws", "ranks"):
        again = {name: PARTS[name].measure()}
        assert again == {name: behaviour()[name]}


def test_differences_are_told_from_rounding_by_the_tolerance_of_the_part():
    stored = {"densities": {"a": [100.0, 1.0, "inf"]}, "draws": {"a": [1.0]}, "ranks": {"a": [3, 99]}}
    rounded = {"densities": {"a": [100.0 + 5e-7, 1.0, "inf"]}, "draws": {"a": [1.0 + 5e-7]}, "ranks": {"a": [3, 99]}}
    assert differences(rounded, stored) == []
    for path, other in (
        ("densities: a", stored | {"densities": {"a": [100.0, 1.0 + 2e-6, "inf"]}}),
        ("densities: a", stored | {"densities": {"a": [100.0, 1.0, 1.0]}}),
        ("densities: a", stored | {"densities": {"a": [100.0, 1.0]}}),
        ("draws: a", stored | {"draws": {"a": [1.0 + 2e-6]}}),
        ("draws: a", stored | {"draws": {"b": [1.0]}}),
        ("ranks: a", stored | {"ranks": {"a": [4, 99]}}),
        ("ranks", {name: stored[name] for name in ("densities", "draws")}),
        ("more", stored | {"more": {"a": [1.0]}}),
    ):
        assert path in differences(other, stored)


def test_the_text_is_json_with_twelve_digits():
    text = as_text(behaviour())
    assert json.loads(text) == behaviour()
    assert max(len(digits.replace(".", "").lstrip("0")) for digits in re.findall(r"\d+\.\d+(?=[,\]])", text)) <= 12


@pytest.mark.slow
def test_renaming_functions_and_modules_leaves_the_seal_whole(tmp_path):
    """The package under other names: three functions, a class and a module of those that the numbers come from."""
    source = Path(cbec_bayes.__file__).parent
    shutil.copytree(source, tmp_path / "src" / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("data", "models"):
        (tmp_path / name).symlink_to(asset_dir(name))
    names = ("make_collapsed", "refitted_slopes", "_importance", "PreparedFew", "uniformity")
    for path in (tmp_path / "src").rglob("*.py"):
        text = path.read_text()
        for name in names:
            text = re.sub(rf"\b{name}\b", f"{name}_renamed", text)
        path.write_text(text)
        if path.stem in names:
            path.rename(path.with_stem(f"{path.stem}_renamed"))
    code = "import cbec_bayes; from cbec_bayes.jobs.calibrate import committed; "
    code += "print(cbec_bayes.__file__, committed().current)"
    environment = {"PYTHONPATH": str(tmp_path / "src"), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == [str(tmp_path / "src" / source.name / "__init__.py"), "True"]
