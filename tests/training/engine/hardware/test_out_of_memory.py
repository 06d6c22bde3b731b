"""trainer.on_oom=accumulate: a batch that doesn't fit into memory is trained on in pieces, and the result is the same.

The memory that is asked for isn't there on any machine, so the errors are those of torch's own allocator.
"""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from conftest import QUICK, Door
from outcome import history_of, only_run, record_of
from torch import Tensor

from training.engine.hardware.out_of_memory import halved, pieces

pytestmark = pytest.mark.slow

EXACT = [*QUICK, "model._target_=own_parts.hungry", "trainer.precision=fp32", "optimizer=sgd", "optimizer.lr=0.1"]
EXACT += ["augment=standard", "augment.mixup=0.2", "trainer.clip_norm=1", "trainer.class_weights=balanced"]
EXACT += ["trainer.epochs=3", "data.stored_size=10"]


def run_named(train: Door, tmp_path: Path, name: str, *arguments: str) -> tuple[Path, str]:
    result = train(*EXACT, *arguments, f"sweep.name={name}")
    assert result.code == 0, result.err
    return only_run(tmp_path / "outputs" / name), result.out


def weights_of(folder: Path) -> Tensor:
    tensors = safetensors.torch.load_file(folder / "best.safetensors")
    return torch.cat([tensor.flatten() for _, tensor in sorted(tensors.items())])


@pytest.mark.parametrize("at", [0, 4])
def test_pieces_come_to_the_same_as_the_whole(train: Door, tmp_path: Path, at: int) -> None:
    """From the first batch on; or in the midst of the second epoch, which then starts over."""
    whole, _ = run_named(train, tmp_path, "whole", "trainer.on_oom=accumulate")
    limit = ["+model.kwargs.largest=10", f"+model.kwargs.at={at}", "trainer.on_oom=accumulate"]
    parts, said = run_named(train, tmp_path, "parts", *limit)
    assert "out of memory: it goes on from the last state in pieces of 16 images" in said
    assert "out of memory: it goes on from the last state in pieces of 8 images" in said
    assert ("going on after epoch 1 of 3" in said) is (at == 4)
    assert record_of(parts)["resolved"]["micro_batch"] == 8
    assert "micro_batch" not in record_of(whole)["resolved"]
    assert len(history_of(parts)) == 3
    torch.testing.assert_close(weights_of(parts), weights_of(whole), atol=1e-5, rtol=1e-4)
    for first, second in zip(history_of(whole), history_of(parts), strict=True):
        for column in ("train_loss", "train_acc", "val_loss", "grad_norm", "lr"):
            assert first[column] == pytest.approx(second[column], rel=1e-3), column


def test_without_it_the_run_fails_and_can_be_taken_up_with_it(train: Door, tmp_path: Path) -> None:
    """The same run folder: what fails for want of memory has no other name than what doesn't."""
    arguments = [*EXACT, "+model.kwargs.largest=10", "+model.kwargs.at=4"]
    failed = train(*arguments)
    assert failed.code == 1
    folder = only_run(tmp_path / "outputs")
    assert record_of(folder)["failure"]["kind"] == "out_of_memory"
    assert "tried to allocate 1000000000000000 bytes" in record_of(folder)["failure"]["message"]
    taken_up = train(*arguments, "trainer.on_oom=accumulate")
    assert taken_up.code == 0 and only_run(tmp_path / "outputs") == folder
    assert record_of(folder)["resolved"]["micro_batch"] == 8 and record_of(folder)["status"] == "done"


def test_what_does_not_fit_at_all_fails(train: Door, tmp_path: Path) -> None:
    result = train(*EXACT, "+model.kwargs.largest=1", "trainer.on_oom=accumulate")
    assert result.code == 1
    assert record_of(only_run(tmp_path / "outputs"))["failure"]["kind"] == "out_of_memory"
    assert result.out.count("in pieces of") == 4, "16, 8, 4, 2"


def test_a_searched_rate_is_searched_in_pieces_too(train: Door, tmp_path: Path) -> None:
    common = ["optimizer.lr=auto", "trainer.on_oom=accumulate"]
    whole, _ = run_named(train, tmp_path, "whole", *common)
    parts, _ = run_named(train, tmp_path, "parts", *common, "+model.kwargs.largest=10")
    found = [record_of(folder)["resolved"]["lr"] for folder in (whole, parts)]
    assert record_of(parts)["resolved"]["micro_batch"] == 8 and found[0] == pytest.approx(found[1], rel=1e-6)


def test_other_errors_are_no_lack_of_memory(train: Door, tmp_path: Path) -> None:
    (tmp_path / "stop").write_text("break")
    broken = ["model._target_=own_parts.tiny", f"+model.kwargs.stop={tmp_path / 'stop'}", "+model.kwargs.at=3"]
    result = train(*QUICK, *broken, "trainer.on_oom=accumulate")
    assert result.code == 1 and "starts over" not in result.out


@pytest.mark.parametrize(
    ("count", "largest", "expected"),
    [(8, None, [8]), (8, 8, [8]), (8, 4, [4, 4]), (9, 4, [3, 3, 3]), (3, 2, [3]), (5, 2, [3, 2]), (1, 2, [1])],
)
def test_no_piece_is_a_single_image(count: int, largest: int | None, expected: list[int]) -> None:
    batch = (torch.arange(count).view(-1, 1).float(), torch.arange(count))
    found = pieces(batch, largest)
    assert [len(labels) for _, labels in found] == expected
    assert torch.equal(torch.cat([labels for _, labels in found]), batch[1])
    assert all(torch.equal(images[:, 0].long(), labels) for images, labels in found)


def test_pieces_are_halved_down_to_two() -> None:
    assert [halved(size) for size in (64, 5, 3, 2, 1)] == [32, 2, 2, None, None]
