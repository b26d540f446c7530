"""Simulation-based calibration of combinations of terms, and of `robust`: whose ranks are uniform.

Run with ``OMP_NUM_THREADS=1 python benchmarks/combinations.py [REPLICATIONS]``. Each replication draws a combination of
terms, a small panel of which every second has gaps, parameters from the priors, and an outcome; 1,000 take some five
minutes of one core. It ends with status 1 where ranks are not uniform, where replications miss gates, or where data of
`robust` fitted by `partial_pooling` pass.
"""

from __future__ import annotations

import sys

from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.calibration.combinations import CHOICES, EVERY, Combined, calibrate_combinations
from cbec_bayes.calibration.sbc import calibrate, verdicts
from cbec_bayes.runtime.errors import GateError
from cbec_bayes.runtime.fanout import SERIAL

REPLICATIONS = 1_000
SHOWN = 12


def shown(name: str, found: Combined) -> None:
    """Print counts, the smallest p-values, and every quantity over all replications."""
    table = found.verdicts()
    few = table.nsmallest(SHOWN, "p_value")
    fitted = len(found.ranked)
    print(f"{name}: {fitted} of {fitted + found.failed} replications fitted, {found.combinations} combinations")
    print(f"{len(table)} tests, {(table['passed'] == 'no').sum()} not uniform; smallest p-values:")
    print(few.to_string(index=False, float_format="{:.3f}".format))
    every = table[table["choice"] == EVERY]
    print(every.drop(columns=["choice", "origin"]).to_string(index=False, float_format="{:.3f}".format), flush=True)


def main() -> None:
    """Calibrate, print, and raise where something is wrong."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else REPLICATIONS
    robust = load_panel_model("robust")
    held = {key: (robust.choice(key),) for key in CHOICES}
    runs = {
        "combinations": calibrate_combinations(SERIAL, n),
        "robust": calibrate_combinations(SERIAL, n // 2, choices=held, seed=2),
    }
    for name, found in runs.items():
        shown(name, found)
    wrong = verdicts(calibrate(SERIAL, [("partial_pooling", "robust", max(n // 5, 40))], seed=3))
    print("data of robust, fitted by partial_pooling:")
    print(wrong[["quantity", "replications", "p_value", "passed"]].to_string(index=False))
    for found in runs.values():
        found.require()
    if (wrong["passed"] == "yes").all():
        raise GateError("data of robust fitted by partial_pooling pass")


if __name__ == "__main__":
    main()
