"""A run that was prepared before its turn is the run that it would have been."""

import logging
from pathlib import Path

import pytest
import torch
from conftest import QUICK, Door, run_folders
from hydra import compose, initialize_config_dir
from outcome import outcome

from sweeps.hydra_glue.compose import run_config
from training.engine.ahead import get_ready, initial_model, kept_records, tell
from training.engine.prepare import Prepared, prepare


def prepared(tmp_path: Path, *overrides: str) -> Prepared:
    with initialize_config_dir(str(Path(__file__).parents[3] / "conf")):
        words = [*QUICK, f"sweep.root={tmp_path}", "sweep.name=ahead", *overrides]
        return prepare(run_config(compose("config", overrides=words)))


def test_the_network_and_the_random_numbers_after_it(tmp_path: Path) -> None:
    one = prepared(tmp_path, "model=resnet18", "seed=3")
    plain = initial_model(one)
    random = torch.get_rng_state()
    get_ready(one)
    torch.manual_seed(99)
    ready = initial_model(one)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), ready.state_dict().values(), strict=True))
    again = initial_model(one)
    assert again is not ready, "it is given out once"


@pytest.mark.parametrize("other", ["seed=4", "model=resnet34"])
def test_of_another_run_it_is_not_taken(tmp_path: Path, other: str) -> None:
    one, two = prepared(tmp_path, "model=resnet18", "seed=3"), prepared(tmp_path, "model=resnet18", "seed=3", other)
    plain = initial_model(two).state_dict()
    get_ready(one)
    found = initial_model(two).state_dict()
    assert plain.keys() == found.keys() and all(torch.equal(plain[key], found[key]) for key in plain)


def test_what_is_logged_meanwhile_is_told_later(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        with kept_records() as told:
            logging.getLogger("somewhere").info("left out %d images", 3)
        assert not caplog.messages
        tell(told)
        assert caplog.messages == ["left out 3 images"]


def test_a_run_alone_and_the_second_of_a_sweep(train: Door, tmp_path: Path) -> None:
    """The second of a sweep is prepared while the first one ends, a single run never is."""
    common = [*QUICK, "model=resnet18", "data.size=16", "tracking=none"]
    assert train(*common, "seed=1", "sweep.name=alone").code == 0
    assert train("-m", *common, "seed=0,1", "sweep.name=sweep", "hydra.launcher.slots=1").code == 0
    (alone,) = run_folders(tmp_path / "outputs" / "alone")
    (second,) = [folder for folder in run_folders(tmp_path / "outputs" / "sweep") if folder.name == "seed=1"]
    assert outcome(alone) == outcome(second)
    started = (second / "run.log").read_text()
    assert "epoch 1/2" in started and "data: " in started
