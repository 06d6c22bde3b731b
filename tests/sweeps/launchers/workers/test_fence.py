"""A run's process that has lost its lease puts no file in place any more."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from conftest import ROOT
from sweeping import WAIT_S

RUN = """
import os, sys, time
from pathlib import Path
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from sweeps.launchers.workers.assignment import fenced
from training.run_folder import write_whole

def task(config):
    for count in range(10_000):
        write_whole(Path(sys.argv[1]), str(count).encode())
        time.sleep(0.01)

config = OmegaConf.create({"hydra": OmegaConf.structured(HydraConf)})
config.hydra.job.num = 3
HydraConfig.instance().set_config(config)
fenced(task)(OmegaConf.create())
"""


def test_a_process_without_its_lease_ends_before_it_writes(tmp_path: Path) -> None:
    lease, file = tmp_path / "lease", tmp_path / "run" / "file"
    lease.touch()
    (tmp_path / "3").write_text(str(lease))
    environment = {**os.environ, "FINEGRID_LEASES": str(tmp_path)}
    command = [sys.executable, "-c", RUN, str(file)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    ends = time.monotonic() + WAIT_S
    while not file.exists():
        assert process.poll() is None and time.monotonic() < ends
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)
    before = file.read_text()
    lease.unlink()  # another worker has the run now, while this process hears of nothing
    process.send_signal(signal.SIGCONT)
    assert process.wait(WAIT_S) == -signal.SIGKILL
    assert int(file.read_text()) <= int(before) + 1, "at most what it was about to put in place"
