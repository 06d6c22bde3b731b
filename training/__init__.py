"""One run: config -> images, network, optimizer -> loop -> record. Knows neither sweeps nor Hydra.

May import: analysis.statistics; and its programs (predict, screen, ...) sweeps.plan, which composes their config.
"""

import os

# Threads of torch that wait for each other must not spin, or two runs on the cores of one take four times as long.
# OpenMP reads these when torch is imported, which is why they stand here.
if "OMP_WAIT_POLICY" not in os.environ:  # else the user has decided, and a count would win over the policy
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "0")

from training import moved

moved.install()
