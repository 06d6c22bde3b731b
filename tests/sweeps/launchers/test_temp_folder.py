"""What killed controllers leave in the folder for temporary files."""

import os
import time
from pathlib import Path

import pytest
from sweeping import Running, small

from sweeps.launchers.temp_folder import clear_dead
from training.run_folder import lock


def marked(folder: Path) -> Path:
    """A folder with a lock that was made a minute ago."""
    with lock(folder):
        (folder / "listener-0").touch()
    os.utime(folder / ".lock", (time.time() - 60,) * 2)
    return folder


def test_only_folders_of_dead_controllers_go(tmp_path: Path) -> None:
    dead, living, young = (tmp_path / f"pymp-{name}" for name in ("dead", "living", "young"))
    foreign, other = tmp_path / "pymp-foreign", tmp_path / "other"
    for folder in (dead, living, other):
        marked(folder)
    with lock(young):
        pass
    foreign.mkdir()
    with lock(living):
        os.utime(living / ".lock", (time.time() - 60,) * 2)
        clear_dead(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([living, young, foreign, other])
    clear_dead(tmp_path / "nowhere")


@pytest.mark.slow
def test_a_sweep_runs_with_a_temporary_folder_whose_path_is_too_long_for_a_socket(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    running = Running(tmp_path, *small(tmp_path, epochs=1), "seed=0", TMPDIR=str(long))
    assert running.process.wait(100) == 0, running.file.read_text()
    assert not list(long.glob("pymp-*"))
