"""Coverage of event studies: effects that grow over time and differ between cohorts, classical and hierarchical.

Run with ``OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/events.py [PANELS]``; default 200 panels of each
scenario. It prints the table, and ends with status 1 where an interval that should cover does not.
"""

from __future__ import annotations

import sys

from cbec_bayes.calibration.event_coverage import event_coverage, require_coverage
from cbec_bayes.runtime.fanout import open_executor

PANELS = 200

if __name__ == "__main__":
    panels = int(sys.argv[1]) if len(sys.argv) > 1 else PANELS
    with open_executor(None, None) as executor:
        found = event_coverage(executor, panels)
    print(found.drop(columns="origin").to_string(index=False, float_format="{:.3f}".format))
    require_coverage(found)
