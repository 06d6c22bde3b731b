"""Runs that are killed, that break, diverge or find no room on the disk, and what the same command makes of them."""

import contextlib
import io
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from conftest import QUICK, ROOT, Door
from outcome import TINY, history_of, only_run, outcome, record_of

import training.engine.checkpoint
import training.engine.run
import training.engine.session
from training.engine.checkpoint import load_state
from training.engine.prepare import Prepared

# Everything that has a state or draws random numbers: 2 batches a step, 2 steps an epoch
MOVING = ["optimizer=sgd", "optimizer.lr=0.05", "optimizer.weight_decay=0.01", "scheduler=onecycle"]
HARD = [*QUICK, TINY, *MOVING, "augment=standard", "trainer.accumulate=2", "trainer.clip_norm=1", "trainer.epochs=4"]
HARD += ["trainer.label_smoothing=0.1", "data.size=16", "data.stored_size=20"]


def stopping(tmp_path: Path, at: int) -> list[str]:
    """Lets the network do, in training batch `at` of a process, what the file tmp_path/stop says."""
    return [f"+model.kwargs.stop={tmp_path / 'stop'}", f"+model.kwargs.at={at}"]


@pytest.fixture
def held(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of HARD that waits in the third of four epochs."""
    (tmp_path / "stop").write_text("hold")
    command = [sys.executable, "train.py", *HARD, *stopping(tmp_path, 10), f"sweep.root={tmp_path / 'outputs'}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "FINEGRID_CACHE": str(tmp_path / "cache")}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)
    while not (tmp_path / "stop.reached").exists() and process.poll() is None:  # pytest-timeout ends it
        time.sleep(0.1)
    (tmp_path / "stop").unlink()
    yield process
    process.kill()
    process.communicate()


def test_killed_run_ends_as_an_unbroken_one(held: subprocess.Popen[str], train: Door, tmp_path: Path) -> None:
    arguments = [*HARD, *stopping(tmp_path, 10)]
    folder = only_run(tmp_path / "outputs")
    assert len(history_of(folder)) == 2

    second = train(*arguments)
    assert second.code == 2
    in_use = f"error: {folder} is in use by process {held.pid} on {os.uname().nodename}"
    assert second.err == f"{in_use}\n" and "Traceback" not in second.out

    held.kill()
    held.wait()
    assert not (folder / "record.json").exists()
    resumed = train(*arguments)
    assert resumed.code == 0, resumed.err
    assert "going on after epoch 2 of 4" in resumed.out
    assert "epoch 2/4" not in resumed.out and "epoch 3/4" in resumed.out
    assert not (folder / "resume.pt").exists()

    assert train(*arguments, "sweep.name=unbroken").code == 0
    (unbroken,) = (tmp_path / "outputs" / "unbroken").glob("*/*")
    assert unbroken.parent.name == folder.parent.name
    assert len(history_of(folder)) == 4
    assert outcome(folder) == outcome(unbroken)


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGINT, 130, "interrupted"), pytest.param(signal.SIGTERM, 143, "terminated", marks=pytest.mark.slow)],
)
def test_interrupted_run_keeps_its_last_epoch(
    held: subprocess.Popen[str], tmp_path: Path, number: int, code: int, said: str
) -> None:
    about = json.loads((only_run(tmp_path / "outputs") / "config.json").read_text())
    assert about["config"]["trainer"]["epochs"] == 4 and "status" not in about
    held.send_signal(number)
    err = held.communicate()[1]
    assert held.returncode == code
    assert err == f"{said}; the same command again goes on\n"
    folder = only_run(tmp_path / "outputs")
    assert not (folder / "record.json").exists()
    assert torch.load(folder / "resume.pt", weights_only=True)["state"]["epoch"] == 2


def test_broken_run_is_recorded_and_goes_on_later(train: Door, tmp_path: Path) -> None:
    arguments = [*HARD, *stopping(tmp_path, 10)]
    assert train(*arguments, "sweep.name=unbroken").code == 0
    (unbroken,) = (tmp_path / "outputs" / "unbroken").glob("*/*")
    (tmp_path / "stop").write_text("break")
    broken = train(*arguments)
    assert broken.code == 1
    assert broken.err == "error: RuntimeError: broken on purpose\n"
    assert "Traceback" in broken.out, "a bug is shown with its place"
    (folder,) = (tmp_path / "outputs" / "runs").glob("*/*")
    record = record_of(folder)
    assert record["status"] == "failed"
    assert record["failure"] == {"kind": "exception", "message": "RuntimeError: broken on purpose"}
    assert record["identity"] == record_of(unbroken)["identity"] and "val" not in record

    (tmp_path / "stop").write_text("memory")
    again = train(*arguments[:-1], "+model.kwargs.at=3")  # another identity: from the start
    assert again.code == 1 and "Traceback" not in again.out + again.err
    newer = max((tmp_path / "outputs" / "runs").glob("*/*"), key=lambda path: path.stat().st_mtime)
    assert record_of(newer)["failure"]["kind"] == "out_of_memory"

    (tmp_path / "stop").unlink()
    healed = train(*arguments)
    assert healed.code == 0 and "going on after epoch 2 of 4" in healed.out
    assert outcome(folder) == outcome(unbroken)


SETTINGS = {
    "adamw, cosine after warm-up": ["optimizer=adamw", "scheduler=cosine", "scheduler.warmup_epochs=1.5"],
    "adam, exponential": ["optimizer=adam", "scheduler=exponential", "scheduler.kwargs.gamma=0.5"],
    "sgd, step after warm-up": ["optimizer=sgd", "scheduler=step", "scheduler.warmup_epochs=2"],
    "one-cycle with betas": ["optimizer=adamw", "scheduler=onecycle", "scheduler.warmup_epochs=1"],
    "warm-up alone": ["optimizer=adamw", "scheduler=none", "scheduler.warmup_epochs=3"],
    "plateau": [
        "optimizer=adamw",
        "scheduler._target_=torch.optim.lr_scheduler.ReduceLROnPlateau",
        "scheduler.interval=epoch",
        "+scheduler.kwargs.patience=0",
        "+scheduler.kwargs.threshold=10",
    ],
    "warm restarts": [
        "optimizer._target_=torch.optim.RMSprop",
        "scheduler._target_=torch.optim.lr_scheduler.CosineAnnealingWarmRestarts",
        "+scheduler.kwargs.T_0=3",
    ],
    "bf16": ["trainer.precision=bf16"],
    "all that changes images, and averaged weights": [
        "augment=standard",
        "augment.trivial=true",
        "augment.erasing=0.5",
        "augment.mixup=0.2",
        "augment.cutmix=1",
        "augment.own=[{_target_:torchvision.transforms.v2.RandomRotation,degrees:30}]",
        "data.sampling=balanced",
        "trainer.class_weights=balanced",
        "trainer.ema=0.9",
        "trainer.freeze_epochs=1",
        "trainer.monitor=val_macro_f1",
    ],
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_schedule_goes_on_where_it_was(train: Door, tmp_path: Path, setting: str) -> None:
    arguments = [*QUICK, TINY, *SETTINGS[setting], "trainer.epochs=4", *stopping(tmp_path, 6)]
    assert train(*arguments, "sweep.name=unbroken").code == 0
    (tmp_path / "stop").write_text("break")
    assert train(*arguments).code == 1
    (tmp_path / "stop").unlink()
    resumed = train(*arguments)
    assert resumed.code == 0 and "going on after epoch 2 of 4" in resumed.out
    folder, unbroken = sorted((tmp_path / "outputs").glob("*/*/*"))
    assert outcome(folder) == outcome(unbroken)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("module", "step", "skipped"),
    [
        (training.engine.session.Saver, "save", 1),  # after history and TensorBoard, before the resume state
        (training.engine.run, "save_predictions", 0),  # after the last epoch
        (training.engine.run, "write_whole", 0),  # after the predictions, before the weights
        (training.engine.session.Tracker, "end", 0),  # after both, before the record
    ],
)
def test_no_moment_is_a_bad_one_to_die(
    train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, step: str, skipped: int
) -> None:
    arguments = [*QUICK, TINY, "trainer.epochs=3"]
    assert train(*arguments, "sweep.name=unbroken").code == 0
    original, calls = getattr(module, step), iter(range(100))
    with monkeypatch.context() as patch:
        patch.setattr(module, step, lambda *given: original(*given) if next(calls) < skipped else interrupt())
        assert train(*arguments).code == 130
    folder, unbroken = sorted((tmp_path / "outputs").glob("*/*/*"))
    assert not (folder / "record.json").exists()
    resumed = train(*arguments)
    assert resumed.code == 0 and "going on after epoch" in resumed.out
    assert outcome(folder) == outcome(unbroken)
    assert not (folder / "resume.pt").exists()


def test_damaged_resume_state_is_left_aside(train: Door, tmp_path: Path) -> None:
    arguments = [*QUICK, TINY, "trainer.epochs=3", *stopping(tmp_path, 5)]
    assert train(*arguments, "sweep.name=unbroken").code == 0
    (tmp_path / "stop").write_text("break")
    assert train(*arguments).code == 1
    (tmp_path / "stop").unlink()
    folder, unbroken = sorted((tmp_path / "outputs").glob("*/*/*"))
    state = (folder / "resume.pt").read_bytes()
    (folder / "resume.pt").write_bytes(state[: len(state) // 2])
    resumed = train(*arguments)
    assert resumed.code == 0 and "can't be read, so the run starts over" in resumed.out
    assert "epoch 1/3" in resumed.out
    assert outcome(folder) == outcome(unbroken)


def spoil_bit(content: bytes, place: float) -> bytes:
    at = int(place * (len(content) - 1))
    return content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]


def without_parts(content: bytes) -> bytes:
    text = io.BytesIO()
    torch.save({"state": torch.load(io.BytesIO(content), weights_only=True)["state"]}, text)
    return text.getvalue()


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "garbage": lambda content: b"no state at all",
    "another dict": without_parts,
}


@pytest.fixture
def broken(train: Door, tmp_path: Path) -> tuple[list[str], Path]:
    """The arguments and the folder of a run that broke in its third epoch."""
    arguments = [*QUICK, TINY, "tracking=none", "trainer.epochs=3", *stopping(tmp_path, 5)]
    (tmp_path / "stop").write_text("break")
    assert train(*arguments).code == 1
    (tmp_path / "stop").unlink()
    return arguments, only_run(tmp_path / "outputs")


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_states_are_kept_beside(broken: tuple[list[str], Path], train: Door, damage: str) -> None:
    arguments, folder = broken
    spoilt = DAMAGED[damage]((folder / "resume.pt").read_bytes())
    (folder / "resume.pt").write_bytes(spoilt)
    resumed = train(*arguments)
    assert resumed.code == 0 and "resume.pt.bad" in resumed.out and "epoch 1/3" in resumed.out, resumed
    assert (folder / "resume.pt.bad").read_bytes() == spoilt and not (folder / "resume.pt").exists()


def test_no_bit_flips_in_silence(broken: tuple[list[str], Path]) -> None:
    _, folder = broken
    whole = (folder / "resume.pt").read_bytes()
    places = [number / 60 for number in range(61)] + [1 - number / len(whole) for number in range(40)]
    for place in places:
        (folder / "resume.pt").write_bytes(spoil_bit(whole, place))
        assert load_state(folder) is None, place
        assert (folder / "resume.pt.bad").is_file() and not (folder / "resume.pt").exists()
    (folder / "resume.pt").write_bytes(whole)
    loaded = load_state(folder)
    assert loaded is not None and loaded[0].epoch == 2


@pytest.mark.slow
def test_damage_anywhere_is_seen_or_harmless(broken: tuple[list[str], Path], caplog: pytest.LogCaptureFixture) -> None:
    """750 flipped bits and cut-off ends at random, and bytes added: each is seen, set aside and named."""
    _, folder = broken
    whole, dice = (folder / "resume.pt").read_bytes(), random.Random(0)
    damaged = []
    for _ in range(750):
        at = dice.randrange(len(whole))
        damaged.append(whole[:at] + bytes([whole[at] ^ (1 << dice.randrange(8))]) + whole[at + 1 :])
    damaged += [whole[: dice.randrange(len(whole))] for _ in range(250)]
    damaged += [whole + bytes(dice.randrange(256) for _ in range(dice.randint(1, 99))) for _ in range(50)]
    for number, content in enumerate(damaged):
        (folder / "resume.pt").write_bytes(content)
        caplog.clear()
        assert load_state(folder) is None, number
        assert (folder / "resume.pt.bad").read_bytes() == content and not (folder / "resume.pt").exists()
        assert "can't be read, so the run starts over; the damaged file is kept as resume.pt.bad" in caplog.text


def test_a_state_without_a_checksum_still_loads(broken: tuple[list[str], Path], train: Door) -> None:
    """As earlier versions wrote it."""
    arguments, folder = broken
    content = torch.load(folder / "resume.pt", weights_only=True)
    torch.save(content, folder / "resume.pt")
    resumed = train(*arguments)
    assert resumed.code == 0 and "going on after epoch 2 of 3" in resumed.out, resumed


def test_resume_state_of_other_code_is_left_aside(train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [*QUICK, TINY, "trainer.epochs=3", *stopping(tmp_path, 5)]
    (tmp_path / "stop").write_text("break")
    with monkeypatch.context() as patch:
        patch.setattr(training.engine.session, "code_version", lambda: "older")
        assert train(*arguments).code == 1
    (tmp_path / "stop").unlink()
    resumed = train(*arguments)
    assert resumed.code == 0 and "written by another version of training/, so the run starts over" in resumed.out
    assert "epoch 1/3" in resumed.out


def test_resumed_run_keeps_its_number_of_threads(train: Door, tmp_path: Path) -> None:
    arguments = [*QUICK, TINY, "trainer.epochs=3", *stopping(tmp_path, 5)]
    (tmp_path / "stop").write_text("break")
    assert train(*arguments).code == 1
    (tmp_path / "stop").unlink()
    assert train(*arguments, "trainer.threads=2").code == 0
    assert record_of(only_run(tmp_path / "outputs"))["threads"] == 1


@pytest.mark.parametrize(("gamma", "epoch"), [("1e30", 2), ("0.1", None)])
def test_run_that_diverges_is_a_result(train: Door, tmp_path: Path, gamma: str, epoch: int | None) -> None:
    growing = ["scheduler=step", "scheduler.kwargs.step_size=1", f"scheduler.kwargs.gamma={gamma}"]
    arguments = [*QUICK, TINY, "optimizer=sgd", *growing, "trainer.epochs=3"]
    result = train(*arguments)
    assert result.code == 0, result.err
    folder = only_run(tmp_path / "outputs")
    record = record_of(folder)
    assert record["status"] == ("diverged" if epoch else "done")
    if epoch is None:
        return
    assert record["epochs_run"] == epoch
    assert record["failure"] == {"kind": "diverged", "message": "the loss is no longer finite in epoch 2"}
    assert "val" not in record and len(history_of(folder)) == 1
    assert not (folder / "resume.pt").exists() and not (folder / "best.safetensors").exists()
    before = (folder / "record.json").read_bytes()
    again = train(*arguments)
    assert again.code == 0 and "finished already: diverged" in again.out
    assert (folder / "record.json").read_bytes() == before


def test_pruned_run_is_recorded(train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training.errors import Pruned

    def prune(report: training.engine.run.EpochReport) -> None:
        if report.epoch == 2:
            raise Pruned(report.epoch)

    original = training.engine.run.run
    with monkeypatch.context() as patch:
        patch.setattr(training.engine.run, "run", lambda prepared, *_, **__: original(prepared, prune))
        assert train(*QUICK, TINY, "trainer.epochs=3").code == 0
    record = record_of(only_run(tmp_path / "outputs"))
    assert (record["status"], record["failure"], record["epochs_run"]) == ("pruned", None, 2)


WIDE = "+model.kwargs.width=64"  # a resume state of some 650 kB


def no_space_is_told(result: tuple[int, str, str], folder: Path) -> None:
    code, out, err = result
    assert code == 1
    assert err.count("\n") == 1 and f"'{folder / 'resume.pt'}'" in err
    assert "Traceback" not in out
    record = record_of(folder)
    assert (record["status"], record["failure"]["kind"]) == ("failed", "disk")
    assert not list(folder.glob(".*.part"))


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """A quota, as it were, in bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("at_once", [training.engine.checkpoint.AT_ONCE, 0])
def test_file_that_may_not_be_written(
    train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """The resume state grows too large after the second epoch; it is a small one, and one that a thread writes."""
    monkeypatch.setattr(training.engine.checkpoint, "AT_ONCE", at_once)
    arguments = [*QUICK, TINY, WIDE, "trainer.epochs=4", "trainer.save_every_s=0", *stopping(tmp_path, 3)]
    assert train(*arguments, "sweep.name=unbroken").code == 0
    (tmp_path / "stop").write_text("break")
    assert train(*arguments).code == 1
    folder, unbroken = sorted((tmp_path / "outputs").glob("*/*/*"))
    (tmp_path / "stop").unlink()
    saved = (folder / "resume.pt").read_bytes()
    with files_up_to(len(saved) // 2):
        result = train(*arguments)
    no_space_is_told(result, folder)
    assert (folder / "resume.pt").read_bytes() == saved
    resumed = train(*arguments)
    assert resumed.code == 0 and "going on after epoch 1 of 4" in resumed.out
    assert outcome(folder) == outcome(unbroken)


def test_a_result_is_not_lost_over_a_last_state(train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.engine.checkpoint, "AT_ONCE", 0)
    with files_up_to(500_000):  # more than the weights, less than the state
        assert train(*QUICK, TINY, WIDE, "trainer.epochs=1").code == 0
    folder = only_run(tmp_path / "outputs")
    assert record_of(folder)["status"] == "done" and not (folder / "resume.pt").exists()


def test_full_disk(train: Door, tmp_path: Path) -> None:
    """The disk holds the first epoch's state, but not the second's beside it."""
    disk = tmp_path / "outputs" / "full"
    disk.mkdir(parents=True)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1100k", "finegrid-test", disk], check=False)
    if made.returncode:
        pytest.skip(
            "may not mount a small disk, which takes root; the test before this one limits the file size instead"
        )
    try:
        arguments = [*QUICK, TINY, WIDE, "trainer.epochs=4"]
        assert train(*arguments, "sweep.name=unbroken").code == 0
        result = train(*arguments, "sweep.name=full")
        folder, unbroken = sorted((tmp_path / "outputs").glob("*/*/*"))
        no_space_is_told(result, folder)
        assert torch.load(folder / "resume.pt", weights_only=True)["state"]["epoch"] == 1
        subprocess.run(["mount", "-o", "remount,size=16m", disk], check=True)
        resumed = train(*arguments, "sweep.name=full")
        assert resumed.code == 0 and "going on after epoch 1 of 4" in resumed.out
        assert outcome(folder) == outcome(unbroken)
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)  # the log is still open


@pytest.mark.parametrize(("every_s", "on_disk"), [("0", 2), ("1000", None)])
def test_a_large_state_after_an_exception(
    train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_s: str, on_disk: int | None
) -> None:
    """What a run that breaks in its third epoch loses is what it would lose to a sudden death. (Small states are
    written after every epoch, as all other tests here show.)"""
    monkeypatch.setattr(training.engine.checkpoint, "AT_ONCE", 0)
    arguments = [*HARD, *stopping(tmp_path, 10), f"trainer.save_every_s={every_s}"]
    assert train(*arguments, "sweep.name=unbroken").code == 0
    (tmp_path / "stop").write_text("break")
    assert train(*arguments).code == 1
    folder, unbroken = sorted((tmp_path / "outputs").glob("*/*/*"))
    file = folder / "resume.pt"
    assert (torch.load(file, weights_only=True)["state"]["epoch"] if file.exists() else None) == on_disk
    (tmp_path / "stop").unlink()
    resumed = train(*arguments)
    assert resumed.code == 0 and ("going on after epoch 2 of 4" in resumed.out) == (on_disk == 2)
    assert outcome(folder) == outcome(unbroken)


@pytest.mark.parametrize(("every_s", "on_disk"), [("0", {2, 3}), ("1000", {None})])
def test_a_run_that_is_asked_to_stop_saves_its_last_epoch(
    train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_s: str, on_disk: set[int | None]
) -> None:
    """Whatever lay on the disk until then: a large state is written when it is time."""
    from training.errors import Stopped

    original, found = training.engine.run.run, []

    def stopping_run(prepared: Prepared, *_: object, **__: object) -> object:
        def stop(report: training.engine.run.EpochReport) -> None:
            if report.epoch == 3:
                file = prepared.folder / "resume.pt"
                until(lambda: file.exists() or every_s != "0")
                found.append(torch.load(file, weights_only=True)["state"]["epoch"] if file.exists() else None)
                raise Stopped(report.epoch)

        return original(prepared, stop)

    monkeypatch.setattr(training.engine.checkpoint, "AT_ONCE", 0)
    arguments = [*HARD, f"trainer.save_every_s={every_s}"]
    with monkeypatch.context() as patch:
        patch.setattr(training.engine.run, "run", stopping_run)
        assert train(*arguments).code == 130, "stopped as by a request"
    assert set(found) <= on_disk and len(found) == 1
    resumed = train(*arguments)
    assert resumed.code == 0 and "going on after epoch 3 of 4" in resumed.out
    assert train(*arguments, "sweep.name=unbroken").code == 0
    folder, unbroken = sorted((tmp_path / "outputs").glob("*/*/*"))
    assert outcome(folder) == outcome(unbroken)


def until(true: Callable[[], bool]) -> None:
    """Wait for it."""
    while not true():  # pytest-timeout ends what never comes
        time.sleep(0.1)
