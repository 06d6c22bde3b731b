"""The training loop: what accumulation, label smoothing and precision do, and what they leave alone."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from conftest import QUICK, Door
from outcome import history_of, outcome, record_of
from torch import Tensor

SMOOTH = "model._target_=own_parts.smooth"  # no BatchNorm, no dropout: batches don't matter
EXACT = [*QUICK, SMOOTH, "trainer.precision=fp32", "optimizer=sgd", "optimizer.lr=0.1", "scheduler=none"]


def run_named(train: Door, tmp_path: Path, name: str, *arguments: str) -> Path:
    """The folder of a finished run with these settings."""
    result = train(*EXACT, *arguments, f"sweep.name={name}")
    assert result.code == 0, result.err
    (folder,) = (tmp_path / "outputs" / name).glob("*/*")
    return folder


def weights_of(folder: Path) -> Tensor:
    """All weights of the selected epoch, in one row."""
    tensors = safetensors.torch.load_file(folder / "best.safetensors")
    return torch.cat([tensor.flatten() for _, tensor in sorted(tensors.items())])


@pytest.mark.parametrize("also", [[], ["trainer.label_smoothing=0.1", "trainer.clip_norm=0.5"]])
def test_accumulated_batches_are_the_large_batch(train: Door, tmp_path: Path, also: list[str]) -> None:
    """All 1259 images: the last large batch has 59, which are a batch of 40 and one of 19."""
    whole = ["debug.max_steps=null", "trainer.epochs=1", *also]
    large = run_named(train, tmp_path, "large", *whole, "trainer.batch_size=120")
    parts = run_named(train, tmp_path, "parts", *whole, "trainer.batch_size=40", "trainer.accumulate=3")
    other = run_named(train, tmp_path, "other", *whole, "trainer.batch_size=40")
    torch.testing.assert_close(weights_of(parts), weights_of(large), atol=2e-6, rtol=1e-5)
    assert (weights_of(other) - weights_of(large)).abs().max() > 1e-3
    (first,), (second,) = history_of(large), history_of(parts)
    for column in ("train_loss", "train_acc", "val_loss", "grad_norm"):
        assert first[column] == pytest.approx(second[column], rel=1e-4), column


def test_label_smoothing_is_for_training_only(train: Door, tmp_path: Path) -> None:
    still = "optimizer.lr=1e-20"  # the weights stay as they are
    plain = run_named(train, tmp_path, "plain", still)
    smooth = run_named(train, tmp_path, "smooth", still, "trainer.label_smoothing=0.3")
    for before, after in zip(history_of(plain), history_of(smooth), strict=True):
        assert before["val_loss"] == after["val_loss"]
        assert before["train_loss"] != pytest.approx(after["train_loss"], rel=1e-6)
    assert record_of(plain)["test"]["loss"] == record_of(smooth)["test"]["loss"]
    moving = run_named(train, tmp_path, "moving", "trainer.label_smoothing=0.3")
    assert not torch.equal(weights_of(moving), weights_of(run_named(train, tmp_path, "none")))


def test_clipping_limits_the_step(train: Door, tmp_path: Path) -> None:
    start = run_named(train, tmp_path, "start", "optimizer.lr=1e-20", "trainer.epochs=1", "debug.max_steps=1")
    one = ["trainer.epochs=1", "debug.max_steps=1", "optimizer.kwargs.momentum=0", "optimizer.kwargs.nesterov=false"]
    one += ["optimizer.weight_decay=0", "optimizer.lr=1"]
    free = run_named(train, tmp_path, "free", *one)
    clipped = run_named(train, tmp_path, "clipped", *one, "trainer.clip_norm=0.01")
    (row,) = history_of(free)
    assert (weights_of(free) - weights_of(start)).norm().item() == pytest.approx(row["grad_norm"], rel=1e-3)
    assert (weights_of(clipped) - weights_of(start)).norm().item() == pytest.approx(0.01, rel=1e-3)
    assert history_of(clipped)[0]["grad_norm"] == pytest.approx(row["grad_norm"])


def test_bf16_is_close_to_fp32_and_keeps_weights_in_fp32(train: Door, tmp_path: Path) -> None:
    exact = run_named(train, tmp_path, "exact")
    rough = run_named(train, tmp_path, "rough", "trainer.precision=bf16")
    assert record_of(rough)["resolved"]["precision"] == "bf16"
    assert record_of(rough)["identity"] != record_of(exact)["identity"]
    assert weights_of(rough).dtype == torch.float32
    difference = (weights_of(rough) - weights_of(exact)).abs().max()
    assert 0 < difference < 0.02


def test_memory_format_changes_little(train: Door, tmp_path: Path) -> None:
    last = run_named(train, tmp_path, "last", "trainer.memory_format=channels_last")
    first = run_named(train, tmp_path, "first", "trainer.memory_format=contiguous")
    torch.testing.assert_close(weights_of(last), weights_of(first), atol=1e-5, rtol=1e-4)


def test_fp16_without_a_gpu_is_refused(train: Door) -> None:
    result = train(*QUICK, SMOOTH, "trainer.precision=fp16", "trainer.device=cpu")
    assert result.code == 2
    assert result.err == "error: trainer.precision=fp16 needs a CUDA device, not cpu\n"


def test_what_cannot_be_captured_goes_on_plainly(train: Door, tmp_path: Path) -> None:
    """From its last state, with one line, to the same result. With trainer.capture=false the same error is one."""
    technique = f"trainer.techniques=[{{_target_: own_training.Stubborn, once: {tmp_path / 'once'}}}]"
    (tmp_path / "once").touch()
    straight = outcome(run_named(train, tmp_path, "straight", technique))
    (tmp_path / "once").unlink()
    assert train(*EXACT, technique, "trainer.capture=false", "sweep.name=never").code == 1
    (tmp_path / "once").unlink()
    result = train(*EXACT, technique, "sweep.name=later")
    assert result.code == 0 and result.out.count("no CUDA graphs: it is stubborn") == 1
    assert "going on after epoch 1 of 2" in result.out
    (later,) = (tmp_path / "outputs" / "later").glob("*/*")
    assert outcome(later) == straight and record_of(later)["config"]["trainer"]["capture"] == "auto"


def test_capture_stays_out_of_the_identity_where_it_is_auto(train: Door, tmp_path: Path) -> None:
    """And what it is on a CPU: off."""
    auto, off = (run_named(train, tmp_path, name, f"trainer.capture={name}") for name in ("auto", "False"))
    assert record_of(auto)["identity"] == record_of(off)["identity"]
    assert torch.equal(weights_of(auto), weights_of(off))
    assert "capture" not in record_of(auto)["resolved"] or torch.cuda.is_available()
