"""What a newcomer sees first has to be good: five seeds of the defaults, on all cores. About 5 minutes."""

from pathlib import Path

import pytest
from conftest import Door, run_folders
from outcome import record_of


@pytest.mark.bench
@pytest.mark.timeout(1800)
def test_defaults_reach_97_per_cent_with_every_seed(shell: Door, tmp_path: Path) -> None:
    result = shell("train.py", "-m", "seed=0,1,2,3,4", f"sweep.root={tmp_path}", "tracking=none")
    assert result.code == 0, result.err
    accuracies = [record_of(folder)["test"]["acc"] for folder in run_folders(tmp_path)]
    print("test accuracies:", accuracies)
    assert len(accuracies) == 5
    assert min(accuracies) >= 97, accuracies
