"""A recording that breaks off leaves its process of no more use: the run goes on in a fresh one. Where there is no GPU:
a tape stands for CUDA graphs, the processes are real ones."""

import os
from pathlib import Path

import pytest
from conftest import QUICK, ROOT, Door
from outcome import TINY, outcome

SHORT = [*QUICK, "trainer.epochs=2", "debug.max_steps=3", "data.val_fraction=0.05", "data.test_fraction=0.05", TINY]
# train.py as a machine with a GPU would have it, in this process and in those of runs, which import it too
SCRIPT = """
import os, sys
sys.path[:0] = [{root!r}, {root!r} + "/tests", {root!r} + "/tests/helpers"]
from dataclasses import replace
from tape import Tape
import training.engine.prepare, training.engine.session
from training.device import resolve_compute

class Breaks(Tape):
    def record(self, work):
        with open({folder!r} + "/recordings.txt", "a") as file:
            print(os.getpid(), file=file)
        raise RuntimeError("operation failed due to a previous error during capture")

def captures(config, *more):
    return replace(resolve_compute(config, *more), capture=config.capture == "auto")

training.engine.prepare.resolve_compute = captures
training.engine.session.CudaRecorder = Breaks
import train
if __name__ == "__main__":
    sys.exit(train.program())
"""


def results(root: Path) -> list[object]:
    """Of all runs below `root`, without what says whether steps were recorded."""
    found = [outcome(folder) for folder in sorted(root.glob("*/*"))]
    for one in found:
        del one["record"]["config"]["trainer"]["capture"]
    return list(found)


@pytest.mark.parametrize(
    "sweep", [[], pytest.param(["-m", "seed=0,1", "hydra.launcher.slots=1"], marks=pytest.mark.slow)]
)
def test_a_run_whose_recording_broke_off(shell: Door, tmp_path: Path, sweep: list[str]) -> None:
    script, runs = tmp_path / "with_a_gpu.py", 2 if sweep else 1
    script.write_text(SCRIPT.format(root=str(ROOT), folder=str(tmp_path)))
    common = [*sweep, *SHORT, f"sweep.root={tmp_path / 'outputs'}"]
    trust = {"FINEGRID_TRUST": os.environ["FINEGRID_TRUST"]}
    found = shell(str(script), *common, "sweep.name=broken", **trust)
    assert found.code == 0, found.out + found.err
    tried = (tmp_path / "recordings.txt").read_text().split()
    assert len(tried) == len({*tried}) == runs, "each once, in its first process"
    why = "RuntimeError: operation failed due to a previous error during capture"
    if sweep:
        text = " ".join(found.out.split())
        for number in range(runs):
            assert f"#{number} goes on from its last saved epoch without CUDA graphs, in a fresh process: {why}" in text
    logs = "".join(file.read_text() for file in (tmp_path / "outputs" / "broken").rglob("*.log"))
    line = f"no CUDA graphs: {why}; it goes on from the last state without, in a fresh process"
    assert (logs if sweep else found.out).count(line) == runs
    plain = shell(str(script), *common, "sweep.name=plain", "trainer.capture=false", **trust)
    assert plain.code == 0, plain.err
    outputs = tmp_path / "outputs"
    assert len(results(outputs / "plain")) == runs and results(outputs / "broken") == results(outputs / "plain")
