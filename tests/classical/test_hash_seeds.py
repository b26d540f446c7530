"""Standard errors do not depend on how Python orders sets, as a factor of pyfixest does on some panels."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import numpy as np, pandas as pd
from cbec_bayes.classical.regression import twfe
from cbec_bayes.panel import Roles, make_panel
from cbec_bayes.panel.design import make_design

rng = np.random.default_rng(3)
firm, year = np.divmod(np.arange(160), 8)
kept = rng.random(160) < 0.8
frame = pd.DataFrame({"firm": firm, "year": 2000 + year, "state": firm % 7, "x": rng.normal(size=160)})
frame = frame.assign(y=frame["x"] + rng.normal(size=160))[kept]
for clusters in ((), ("state",), ("year",), ("firm", "year"), ("state", "year")):
    for absorbed in ((), (("state", "year"),)):
        roles = Roles(outcome="y", exposure="x", unit="firm", time="year", clusters=clusters, absorbed=absorbed)
        design = make_design(make_panel(frame, roles))
        print(clusters, absorbed, float(twfe(design, ssc="fixest").se[0]).hex())
"""


def printed(seed: int) -> str:
    """Return what the program prints in a process of its own, whose sets are ordered by this seed."""
    environment = {**os.environ, "PYTHONHASHSEED": str(seed), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_standard_errors_are_the_same_under_other_hash_seeds():
    first, second = printed(1), printed(2)
    assert first == second
    assert first.count("0x") == 10
