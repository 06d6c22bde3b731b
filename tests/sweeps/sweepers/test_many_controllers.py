"""Many controllers on one study in a journal, as on machines that share a folder."""

from pathlib import Path

import optuna
import pytest
from controllers import check_each_point_once, eight_controllers

from sweeps.sweepers.journal import JOURNAL, open_journal

pytestmark = pytest.mark.chaos


@pytest.mark.timeout(400)
def test_eight_controllers_one_of_which_dies_make_exactly_n_trials(tmp_path: Path) -> None:
    """None lost, none double, a grid covered once."""
    with eight_controllers(tmp_path, ["shared"] * 8) as controllers:
        storage = open_journal(tmp_path / "outputs" / "shared" / JOURNAL)
        (name,) = optuna.get_all_study_names(storage)
        check_each_point_once(optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False))
        assert all(" done: " in one.out for one in controllers), "all had a part in it"
