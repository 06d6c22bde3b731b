"""study.journal after faults: half a line at its end, a damaged line before it, a disk that is full."""

import errno
import os
import platform
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import Door, run_folders
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from sweeping import small

import sweeps.sweepers.storage
from sweeps.sweepers.journal import cut_back, open_journal
from training.errors import ConfigError

RANDOM = ["hydra/sweeper=optuna_async", "hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=7"]
RATE = "optimizer.lr=tag(log,interval(1e-4,1e-1))"
ENTRY = b'{"op_code":2,"worker_id":"a"}\n'


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (b"", b""),
        (ENTRY * 3, ENTRY * 3),
        (ENTRY * 3 + ENTRY[:9], ENTRY * 3),
        (ENTRY[:-1], b""),  # whole but for its line feed: Optuna reads it as none
        (ENTRY + b"\0" * 70_000, ENTRY),  # a file system after a power cut
        (ENTRY + ENTRY[:9] + ENTRY, ENTRY),  # what was written behind half a line
        (ENTRY * 2 + b"[" * 100_000 + b"\n" + b"[]\n", ENTRY * 2),
    ],
)
def test_a_journal_ends_with_a_whole_entry(tmp_path: Path, content: bytes, kept: bytes) -> None:
    file = tmp_path / "study.journal"
    file.write_bytes(content)
    cut_back(file)
    assert file.read_bytes() == kept
    pieces = tmp_path / "study.journal.cut"
    assert (pieces.read_bytes() if pieces.exists() else b"\n") == content[len(kept) :] + b"\n"


def test_a_study_goes_on_after_half_an_entry_and_a_kill(train: Door, tmp_path: Path) -> None:
    command = [*small(tmp_path, 1), *RANDOM, RATE, "hydra.launcher.slots=1"]
    assert train(*command, "hydra.sweeper.n_trials=1").code == 0
    journal = tmp_path / "outputs" / "grid" / "study.journal"
    with journal.open("ab") as file:
        file.write(b'{"op_code":8,"trial_')
    controllers = journal.parent / ".controllers"
    for name in (f"{platform.node()}-1-abcdef", "another-host-1-abcdef"):
        (controllers / name).mkdir()
        (controllers / name / ".lock").touch()
    cut = train(*command, "hydra.sweeper.n_trials=2")
    assert [folder.name for folder in controllers.iterdir()] == ["another-host-1-abcdef"], "those of this host are gone"
    assert cut.code == 0, cut.err
    assert f"kept in {journal}.cut" in cut.out + cut.err
    study = optuna.load_study(study_name="grid", storage=JournalStorage(JournalFileBackend(str(journal))))
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 2
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:3], b"garbage\n", *lines[3:]]))
    damaged = train(*command, "hydra.sweeper.n_trials=3")
    assert damaged.code == 2 and damaged.err.count("\n") == 1 and f"{journal}: line 4 is no entry" in damaged.err


@pytest.mark.parametrize("content", [b"{}\n" + ENTRY, b"nonsense\n" + ENTRY, ENTRY * 2])
def test_what_is_no_study_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "study.journal").write_bytes(content)
    with pytest.raises(ConfigError, match=r"study.journal: .* is no entry of a study"):
        open_journal(tmp_path / "study.journal")


def test_a_journal_that_can_not_be_written_ends_no_run(
    train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that is under way ends well, and the next start tells the study."""
    room = [18]  # entries

    class Full(JournalFileBackend):
        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            room[0] -= 1
            if room[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            super().append_logs(logs)

    command = [*small(tmp_path, 1), *RANDOM, RATE, "hydra.launcher.slots=1", "hydra.sweeper.n_trials=4"]
    with monkeypatch.context() as patch:
        patch.setattr(sweeps.sweepers.storage, "open_journal", lambda file: JournalStorage(Full(str(file))))
        full = train(*command)
    assert full.code == 1, (full.out, full.err)
    assert full.out.count("the study can't be written") == 1 and "No space left on device" in full.err
    assert "Traceback" not in full.out + full.err
    before = len(run_folders(tmp_path / "outputs"))
    assert 1 <= before < 4
    again = train(*command)
    assert again.code == 0, again.err
    journal = tmp_path / "outputs" / "grid" / "study.journal"
    study = optuna.load_study(study_name="grid", storage=JournalStorage(JournalFileBackend(str(journal))))
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 4
    assert again.out.count(" started: ") == 4 - before and len(run_folders(tmp_path / "outputs")) == 4
