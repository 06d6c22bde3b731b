"""More epochs than a finished run has: a new run from the start, which the plan and the run's log say."""

import re
import shlex
from pathlib import Path

from conftest import QUICK, Door, run_folders
from outcome import TINY, record_of

SMALL = [*QUICK, TINY, "tracking=none"]  # of two epochs


def test_more_epochs_are_a_new_run_and_how_to_begin_from_the_old(train: Door, tmp_path: Path) -> None:
    assert train("-m", *SMALL, "seed=0").code == 0
    (old,) = run_folders(tmp_path / "outputs")
    planned = train("-m", *SMALL, "seed=0,1", "trainer.epochs=4", "sweep.plan=true")
    assert planned.code == 0, planned.err
    assert "plan: 2 runs: 2 new" in planned.out
    assert "#0 trainer.epochs=4 is a new run from the start, not 2 more epochs for the finished one of 2" in planned.out
    assert "#1 trainer.epochs" not in planned.out, "another seed has none"
    advice = re.search(r"to begin from its weights: (.*)", planned.out)
    assert advice is not None
    begun = train(*SMALL, *shlex.split(advice[1]), "sweep.name=begun")
    assert begun.code == 0, begun.err
    (new,) = run_folders(tmp_path / "outputs" / "begun")
    assert record_of(new)["config"]["weights"]["path"] == str(old / "best.safetensors")


def test_the_run_alone_says_it_too_and_others_do_not(train: Door, tmp_path: Path) -> None:
    assert train(*SMALL).code == 0
    longer = train(*SMALL, "trainer.epochs=3")
    assert longer.code == 0 and "trainer.epochs=3 is a new run from the start, not 1 more" in longer.out
    for other in (["trainer.epochs=1"], ["trainer.epochs=4", "augment=flip"], ["trainer.epochs=3"]):
        assert "is a new run from the start" not in train(*SMALL, *other).out
    most = train("-m", *SMALL, "trainer.epochs=5", "sweep.name=runs", "sweep.plan=true")
    assert "not 2 more epochs for the finished one of 3" in most.out
