"""trainer.freeze_epochs: at first nothing but the head moves, then everything does."""

from pathlib import Path

import pytest
import torch
from conftest import Door
from mending import MOVING, unbroken_and_mended
from outcome import only_run, record_of
from own_parts import tiny
from torch import nn

from training.engine.techniques.freeze import freeze
from training.models.build import head_prefix, torchvision_model

pytestmark = pytest.mark.slow

HARSH = ["optimizer.weight_decay=0.5", "trainer.clip_norm=1", "trainer.ema=0.5"]


def test_nothing_but_the_head_moves_while_the_rest_is_frozen(train: Door, tmp_path: Path) -> None:
    """The run breaks in its second epoch, and what it has saved by then is what the first epoch came to."""
    (tmp_path / "stop").write_text("break")
    arguments = [*MOVING, *HARSH, f"+model.kwargs.stop={tmp_path / 'stop'}", "+model.kwargs.at=3"]
    assert train(*arguments, "trainer.freeze_epochs=1").code == 1
    folder = only_run(tmp_path / "outputs")
    parts = torch.load(folder / "resume.pt", weights_only=True)["parts"]
    torch.manual_seed(0)
    start = tiny(10).state_dict()
    for found in (parts["model"], parts["average"]["model"]):
        moved = {name for name, tensor in found.items() if not torch.equal(tensor, start[name])}
        assert moved == {"head.weight", "head.bias"}, "neither weight decay nor statistics of BatchNorm"
    assert len(parts["optimizer"]["state"]) == 2, "momentum of the head alone"

    (tmp_path / "stop").write_text("break")
    arguments[-1] = "+model.kwargs.at=5"
    assert train(*arguments, "trainer.freeze_epochs=1", "sweep.name=later").code == 1
    parts = torch.load(only_run(tmp_path / "outputs" / "later") / "resume.pt", weights_only=True)["parts"]
    moved = {name for name, tensor in parts["model"].items() if not torch.equal(tensor, start[name])}
    assert moved == set(start), "in the second epoch everything"
    assert parts["model"]["norm.num_batches_tracked"] == 2


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("epochs", [2, 3])
def test_run_resumes_to_the_bit_where_it_thaws_and_while_frozen(
    train: Door, tmp_path: Path, epochs: int, optimizer: str
) -> None:
    """The run breaks in its third epoch."""
    more = [f"trainer.freeze_epochs={epochs}", f"optimizer={optimizer}"]
    folder = unbroken_and_mended(train, tmp_path, *HARSH, *more)[0]
    assert record_of(folder)["epochs_run"] == 4


@pytest.mark.parametrize("name", ["resnet18", "swin_t", "efficientnet_b0", "vgg11_bn"])
def test_frozen_network_is_its_evaluation_but_for_the_head(name: str) -> None:
    model = torchvision_model(name, 4).train()
    head = head_prefix(model)
    optimizer = torch.optim.SGD(model.parameters())
    for module in freeze(model, head, optimizer, frozen=True):
        module.eval()
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning == {f"{head}.weight", f"{head}.bias"}
    images = torch.randn(2, 3, 32, 32)
    scores = model(images)
    assert scores.requires_grad
    assert torch.equal(scores, model.eval()(images)), "nothing is dropped, no statistics of a batch"
    assert freeze(model, head, optimizer, frozen=False) == []
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_what_never_learned_does_not_learn_after_thawing() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)  # by its author
    optimizer = torch.optim.SGD([parameter for parameter in model.parameters() if parameter.requires_grad])
    for frozen in (True, False):
        freeze(model, "2", optimizer, frozen)
    assert [layer.weight.requires_grad for layer in model] == [False, True, True]


@pytest.mark.parametrize("epochs", [3, 4])
def test_no_epoch_for_the_rest_is_refused(train: Door, epochs: int) -> None:
    result = train("trainer.epochs=3", f"trainer.freeze_epochs={epochs}")
    message = f"error: trainer.freeze_epochs={epochs} leaves nothing of trainer.epochs=3\n"
    assert (result.code, result.err) == (2, message)
