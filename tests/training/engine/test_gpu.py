"""What only a CUDA device shows (marker `gpu`: make gpu). Skipped where there is none."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUICK, Door, run_folders
from outcome import history_of, outcome, record_of
from sweeping import records

import training.engine.loop

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


def test_a_run_on_the_gpu_repeats_itself_bit_for_bit(train: Door, tmp_path: Path) -> None:
    command = [*QUICK, "model=resnet18", "data.size=32", "debug.max_steps=null", "trainer.epochs=1"]
    for name in ("first", "second"):
        assert train(*command, f"sweep.name={name}").code == 0
    first, second = run_folders(tmp_path / "outputs")
    assert outcome(first) == outcome(second)
    resolved = record_of(first)["resolved"]
    assert resolved["device"].startswith("cuda") and resolved["device_name"] not in ("", "cpu")
    major = torch.cuda.get_device_capability()[0]
    assert resolved["precision"] == ("bf16" if major >= 8 else "fp16")


def test_bf16_agrees_with_fp32(train: Door, tmp_path: Path) -> None:
    common = ["model=resnet18", "data.size=32", "trainer.epochs=2", "tracking=none"]
    losses = {}
    for precision in ("fp32", "bf16"):
        assert train(*common, f"trainer.precision={precision}", f"sweep.name={precision}").code == 0
        (folder,) = run_folders(tmp_path / "outputs" / precision)
        losses[precision] = [row["train_loss"] for row in history_of(folder)]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.1)


def test_several_slots_on_one_gpu(train: Door, tmp_path: Path) -> None:
    command = ["-m", *QUICK, "model=resnet18", "data.size=32", "seed=0,1,2,3", "hydra.launcher.slots_per_gpu=2"]
    assert train(*command).code == 0
    found = records(tmp_path / "outputs" / "grid")
    assert sorted(found) == [0, 1, 2, 3] and {record["status"] for record in found.values()} == {"done"}
    assert {record["resolved"]["device"].partition(":")[0] for record in found.values()} == {"cuda"}
    spans = sorted((record["time"]["started"], record["time"]["finished"]) for record in found.values())
    assert any(later[0] < earlier[1] for earlier, later in itertools.pairwise(spans)), "two at a time"


def test_out_of_memory_is_a_failed_run_of_its_kind(train: Door, tmp_path: Path) -> None:
    huge = ["model=swin_v2_b", "data.size=256", "trainer.batch_size=1259", "debug=two_steps", "seed=0"]
    result = train("-m", *huge)
    if result.code == 0:
        pytest.skip("this GPU has room for all of it")
    assert records(tmp_path / "outputs" / "grid")[0]["failure"]["kind"] == "out_of_memory"


LATE = ["trainer.save_every_s=1000"]  # the saver waits, between epochs


@pytest.mark.parametrize("case", [[], ["augment=standard"], ["data.cache=none"], ["trainer.capture=false"]])
def test_no_step_waits_for_the_device(
    train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: list[str]
) -> None:
    """torch raises where it would wait, from the second step of the third epoch to its last. (Steps are recorded in the
    two before.)"""
    steps: list[int] = []
    epochs = 0
    grouped = training.engine.loop.grouped

    def watched(*given: Any) -> Iterator[Any]:
        nonlocal epochs
        epochs += 1
        try:
            for group in grouped(*given):
                yield group
                steps.append(torch.cuda.get_sync_debug_mode())
                if epochs == 3:
                    torch.cuda.set_sync_debug_mode("error")
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(training.engine.loop, "grouped", watched)
    whole = ["model=resnet18", "data.size=32", "debug.max_steps=null", "trainer.precision=bf16", "trainer.epochs=3"]
    result = train(*QUICK, *whole, *case, *LATE)
    assert result.code == 0, result.err
    assert steps.count(2) > 20 and record_of(run_folders(tmp_path / "outputs")[0])["status"] == "done"
