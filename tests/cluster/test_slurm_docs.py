"""The commands of docs/slurm.md, word by word: with other images and networks, on a small Slurm."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from slurm_parts import Slurm
from slurm_sweeps import Start, has_begun, no_jobs_left, slurm, start, until
from sweeping import small, trouble, without

__all__ = ["no_jobs_left", "slurm", "start"]
pytestmark = pytest.mark.timeout(600)


def commands(page: str) -> list[list[str]]:
    """Of all code blocks."""
    blocks = (ROOT / "docs" / page).read_text().split("```bash\n")[1:]
    text = "\n".join(block.partition("```")[0] for block in blocks).replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line]


def sweeps(page: str) -> list[list[str]]:
    """What follows `.venv/bin/python train.py`."""
    return [words[2:] for words in commands(page) if words[1] == "train.py"]


def here(tmp_path: Path, given: list[str], name: str, epochs: int = 2) -> list[str]:
    """With images and networks that are there."""
    assert given[0] == "-m"
    two = ["optimizer=adam,sgd"] if any(word.startswith("model=") for word in given) else []
    own = [*without(small(tmp_path, epochs), "hydra.launcher"), *without(given[1:], "data", "model"), *two]
    return [*own, f"sweep.name={name}"]


def runs(page: str, word: str) -> list[str]:
    """The one sweep of a page in whose command this stands."""
    (found,) = [one for one in sweeps(page) if any(word in argument for argument in one)]
    return found


@pytest.mark.cluster
def test_the_first_commands(start: Start, tmp_path: Path) -> None:
    sweep = tmp_path / "outputs" / "first"
    trouble(tmp_path, {"*": "hold 2"})
    plan = start(*here(tmp_path, runs("slurm.md", "sweep.plan=true"), "first", 3))
    assert plan.end() == 0 and "6 runs: 6 new" in plan.out and not sweep.exists(), plan.out
    running = start(*here(tmp_path, runs("slurm.md", "hydra.launcher.workers=8"), "first", 3))
    until(lambda: has_begun(sweep, 4), lambda: running.out)
    others = [words for words in commands("slurm.md") if "squeue" in words[0] or words[1] == "-m"]
    assert [words[0] for words in others] == ["squeue", *3 * [".venv/bin/python"]]
    said = []
    for words in others[:-1]:
        words = [sys.executable, *words[1:]] if words[0] != "squeue" else words
        inside = running.slurm.command("env", "-C", str(tmp_path), f"PYTHONPATH={ROOT}", *words)
        done = subprocess.run(
            inside, env=running.slurm.environment(), capture_output=True, text=True, check=False, timeout=120
        )
        said.append(done.stdout + done.stderr)
    assert "finegrid" in said[0] and "running" in said[1] and "#3" in said[2], said
    trouble(tmp_path, {})
    assert running.end() == 0 and "1 cancelled; the same command takes them up" in running.out, running.out
    again = start(*here(tmp_path, runs("slurm.md", "hydra.launcher.workers=8"), "first", 3))
    assert again.end() == 0 and "5 done" in again.out, again.out
    report = [sys.executable, *others[-1][1:]]
    done = subprocess.run(
        report, cwd=tmp_path, env={**running.slurm.environment(), "PYTHONPATH": str(ROOT)}, check=False
    )
    assert done.returncode == 0


@pytest.mark.cluster
def test_the_overview_has_the_same_command() -> None:
    found = [one for one in sweeps("clusters.md") if "hydra/launcher=slurm_workers" in one]
    (short,) = [one for one in found if "sweep.detach=true" not in one]
    assert short in sweeps("slurm.md")


@pytest.mark.cluster_full
@pytest.mark.parametrize("word", ["hydra.launcher.blocks", "n_trials=20", "hydra/launcher=submitit_slurm"])
def test_further_commands(start: Start, slurm: Slurm, tmp_path: Path, word: str) -> None:
    for partition, node in (("a100", "node0"), ("v100", "node1")):
        slurm.call("scontrol", "create", f"partitionname={partition}", f"nodes={node}", "state=up")
    given = here(tmp_path, runs("slurm.md", word), "more")
    running = start(*given)
    assert running.end() == 0, running.out
    count = 20 if "trials" in word else 4
    assert len(list((tmp_path / "outputs" / "more").glob("*/*/record.json"))) == count, running.out


@pytest.mark.cluster
def test_each_command_of_the_page_is_tested() -> None:
    assert len(sweeps("slurm.md")) == 5
