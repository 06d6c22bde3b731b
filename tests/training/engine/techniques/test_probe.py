"""trainer.probe: the head begins as a converged linear probe on the features of the initial weights, then all learn."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import QUICK, Door
from mending import MOVING, unbroken_and_mended
from outcome import history_of, only_run, record_of
from own_parts import tiny
from sklearn.linear_model import LogisticRegression
from torch import nn

from training.config import ModelConfig
from training.engine.techniques import Beginning
from training.engine.techniques.probe import Probe, fit
from training.errors import ConfigError
from training.models.build import build_model, head_prefix, torchvision_model
from training.models.head_inputs import head_inputs

TIMM = ModelConfig("training.models.timm_models.Timm", "convnext_atto", accepts=["name"])


def test_fit_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    inputs, labels = random.normal(size=(200, 5)), random.integers(0, 3, 200)
    inputs[:, 0] += labels
    for balanced in (False, True):
        known = LogisticRegression(C=0.1, tol=1e-8, max_iter=1000, class_weight="balanced" if balanced else None)
        known.fit(inputs, labels)
        weight, bias = fit(torch.from_numpy(inputs), torch.from_numpy(labels), 3, 0.1, balanced)
        np.testing.assert_allclose(weight.numpy(), known.coef_, atol=1e-3)
        np.testing.assert_allclose((bias - bias.mean()).numpy(), known.intercept_, atol=1e-3)


@pytest.mark.parametrize("name", ["resnet18", "swin_t", "vgg11_bn", "timm"])
def test_head_is_converged_on_the_networks_own_scores_and_nothing_else_changes(name: str) -> None:
    """The scores of the whole network, in evaluation, tell the train images apart; their loss has no slope left."""
    torch.manual_seed(0)
    model = build_model(TIMM, 3) if name == "timm" else torchvision_model(name, 3)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    labels = np.arange(12) % 3
    images = torch.randn(12, 3, 32, 32) + torch.from_numpy(labels).view(-1, 1, 1, 1)
    beginning = Beginning(labels, 3, lambda: iter([(images, torch.from_numpy(labels))]), nullcontext)
    Probe(balanced=False).initialize(model, beginning)
    head = head_prefix(model)
    changed = {key for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])}
    assert changed == {f"{head}.weight", f"{head}.bias"}
    scores = model.eval()(images)
    assert scores.argmax(1).tolist() == labels.tolist()
    bias = model.get_submodule(head).bias
    (slope,) = torch.autograd.grad(nn.functional.cross_entropy(scores, torch.from_numpy(labels)), [bias])
    assert float(slope.norm()) < 1e-3, "no penalty is on the bias, so its slope is that of the loss"


def test_features_are_what_the_head_sees() -> None:
    model = torchvision_model("resnet18", 3).eval()
    images = torch.randn(2, 3, 32, 32)
    features = head_inputs(model, [(images, torch.zeros(2))], nullcontext)
    torch.testing.assert_close(model.fc(features), model(images))


def test_first_epoch_begins_at_the_probe(train: Door, tmp_path: Path) -> None:
    """With a rate of nearly nothing the run stays where it begins: far from chance, which a random head is at."""
    still = [*QUICK, "model._target_=own_parts.smooth", "optimizer.lr=1e-9", "data.size=16", "sweep.name=probed"]
    assert train(*still, "trainer.probe=true").code == 0
    assert train(*still, "sweep.name=plain").code == 0
    probed, plain = (only_run(tmp_path / "outputs" / name) for name in ("probed", "plain"))
    assert probed.parent.name != plain.parent.name, "another identity"
    accuracies = [history_of(folder)[0]["val_acc"] for folder in (probed, plain)]
    assert accuracies[0] > accuracies[1] + 20
    assert record_of(probed)["resolved"]["probe_c"] in (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
    assert "probe_c" not in record_of(plain)["resolved"]


@pytest.mark.slow
@pytest.mark.parametrize("more", [["trainer.ema=0.5"], ["trainer.freeze_epochs=2", "optimizer.layer_decay=0.5"]])
def test_run_resumes_to_the_bit(train: Door, tmp_path: Path, more: list[str]) -> None:
    unbroken, _ = unbroken_and_mended(train, tmp_path, "trainer.probe=true", *more)
    assert record_of(unbroken)["resolved"]["probe_c"] > 0


@pytest.mark.slow
def test_average_of_the_weights_begins_at_the_probe(train: Door, tmp_path: Path) -> None:
    (tmp_path / "stop").write_text("break")
    arguments = [*MOVING, f"+model.kwargs.stop={tmp_path / 'stop'}", "+model.kwargs.at=3", "optimizer.lr=1e-12"]
    assert train(*arguments, "trainer.probe=true", "trainer.ema=0.999").code == 1
    parts = torch.load(only_run(tmp_path / "outputs") / "resume.pt", weights_only=True)["parts"]
    torch.manual_seed(0)
    random = tiny(10).state_dict()["head.weight"]
    average = parts["average"]["model"]["head.weight"]
    torch.testing.assert_close(average, parts["model"]["head.weight"])
    assert not torch.allclose(average, random, atol=1e-3)


def test_heads_that_are_more_than_linear_are_refused(train: Door) -> None:
    result = train("model=torchvision", "model.name=squeezenet1_1", "data.size=64", "trainer.probe=true")
    assert result.code == 2
    assert "trainer.probe needs a linear layer with a bias as head; SqueezeNet has classifier.1: Conv2d" in result.err
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.Softmax(1))
    images, labels = torch.randn(4, 3, 2, 2), np.arange(4) % 3
    beginning = Beginning(labels, 3, lambda: [(images, torch.from_numpy(labels))], nullcontext)
    with pytest.raises(
        ConfigError, match="the scores of Sequential are more than what its layer 1 makes of one vector"
    ):
        Probe(balanced=False).initialize(model, beginning)
