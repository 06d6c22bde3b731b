"""A family of networks that is added from outside, by one class and one YAML file: all that a run asks of it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import safetensors
from conftest import QUICK, Door
from family_parts import Tower, Towers, shop
from outcome import history_of, only_run, record_of
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn, testing

from training.config import ModelConfig, WeightsConfig
from training.errors import Impossible
from training.models.build import build_model, head_prefix, layers_of
from training.models.checkpoint_file import StateDict
from training.models.family import Family
from training.models.weights import resolve_weights

YAML = """
_target_: family_parts.Towers
name: tower_s
accepts: [name, dropout]
weights: null
kwargs: {shop: "%s"}
"""
STILL = ["optimizer.lr=1e-30", "optimizer.weight_decay=0", "trainer.precision=fp32"]  # weights stay as they were


@pytest.fixture
def towers(tmp_path: Path) -> tuple[list[str], dict[str, StateDict]]:
    """Arguments that choose the family, and the weights that it has."""
    floors = shop(tmp_path / "shop")
    file = tmp_path / "my_conf" / "model" / "tower.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(YAML % (tmp_path / "shop"))
    return ["--config-dir", str(tmp_path / "my_conf"), "model=tower", *QUICK], floors


def best(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safetensors.safe_open(folder / "best.safetensors", framework="pt") as file:
        about: dict[str, Any] = json.loads(file.metadata()["finegrid"])
    return load_file(folder / "best.safetensors"), about


@pytest.mark.parametrize("source", ["shop_v1", "default"])
def test_weights_and_preprocessing(
    train: Door, tmp_path: Path, towers: tuple[list[str], dict[str, StateDict]], source: str
) -> None:
    arguments, floors = towers
    result = train(*arguments, *STILL, f"weights.source={source}")
    assert result.code == 0, result.err
    folder = only_run(tmp_path / "outputs")
    resolved = "shop_v1" if source == "shop_v1" else "shop_v2"
    assert f"-{resolved}-" in folder.parent.name
    facts = record_of(folder)["resolved"]
    assert (facts["weights"], facts["normalize"]) == (resolved.upper(), "shop")
    left, about = best(folder)
    testing.assert_close({name: left[name] for name in floors[resolved]}, floors[resolved], atol=1e-20, rtol=0)
    assert left["scores.weight"].shape == (10, 4)
    assert about["preprocessing"]["mean"] == [0.1, 0.2, 0.3]
    again = build_model(ModelConfig(**about["model"]), 10)  # from what the run folder says of itself
    assert again.state_dict().keys() == left.keys() and head_prefix(again) == "scores"
    assert "took 6 of 8 tensors, all but scores.weight, scores.bias, which start fresh" in (
        (folder / "run.log").read_text()
    )


def test_its_layers_learn_by_their_own_rates_and_its_head_first(
    train: Door, tmp_path: Path, towers: tuple[list[str], dict[str, StateDict]]
) -> None:
    arguments, _ = towers
    schedule = ["scheduler=none", "optimizer.lr=1e-2", "optimizer.layer_decay=0.5", "trainer.freeze_epochs=1"]
    result = train(*arguments, *schedule, "weights=default", "model.dropout=0.1")
    assert result.code == 0, result.err
    folder = only_run(tmp_path / "outputs")
    events = EventAccumulator(str(folder)).Reload()
    tags = events.Tags()
    rates = [tag for tag in tags["scalars"] if tag.startswith("learning_rate/")]
    shown = {tag.partition("/")[2]: events.Scalars(tag)[0].value for tag in rates}
    layers = ["floor0", "floor1", "floor2", "top"]
    assert shown == pytest.approx({layer: 1e-2 * 0.5**depth for depth, layer in enumerate(layers[::-1])})
    assert any("scores" in tag for tag in tags["histograms"]), "the head of the family, not the last layer"
    assert len(history_of(folder)) == 2


def test_weights_that_it_does_not_have(train: Door, towers: tuple[list[str], dict[str, StateDict]]) -> None:
    arguments, _ = towers
    result = train(*arguments, "weights.source=shop_v3")
    assert result.code == 2
    assert "weights.source=shop_v3: expected one of none, default, shop_v1, shop_v2, checkpoint" in result.err
    result = train(*arguments, "weights=imagenet1k_v1")
    assert result.code == 2 and "tower_s has no such weights; choose from none, default, shop_v1" in result.err
    result = train("weights.source=shop_v1", *QUICK)
    assert result.code == 2 and "expected one of none, default, imagenet1k_v1, checkpoint for resnet18" in result.err
    result = train(*arguments, "model.name=tower_m", "weights=default")
    assert result.code == 2 and "weights=shop_v2 of tower_m: No such file" in result.err


def test_weights_of_another_network(
    train: Door, tmp_path: Path, towers: tuple[list[str], dict[str, StateDict]]
) -> None:
    """Their file has to fit before a run begins."""
    arguments, _ = towers
    (tmp_path / "shop" / "tower_s-shop_v2.safetensors").rename(tmp_path / "shop" / "tower_m-shop_v2.safetensors")
    result = train(*arguments, "model.name=tower_m", "weights=default")
    assert result.code == 2 and not (tmp_path / "outputs").exists()
    assert re.search(r"SHOP_V2 of tower_m: a checkpoint of another architecture: .*\[8, 3, 3, 3\]", result.err)


def test_a_family_answers_for_the_networks_that_it_built() -> None:
    config = ModelConfig("family_parts.Towers", "tower_m", accepts=["name"])
    assert config.called == "tower_m"
    assert head_prefix(build_model(config, 3)) == "scores"
    assert layers_of(build_model(config, 3)) == Towers().layers(Tower(8, 3, 0.0))
    assert resolve_weights(config, WeightsConfig("default")) == "SHOP_V2"


class Least(Family):
    """The least that a family may give."""

    def build(self, config: ModelConfig, classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, classes))


def test_what_a_family_need_not_give() -> None:
    config = ModelConfig(f"{__name__}.Least")
    model = build_model(config, 3)
    assert head_prefix(model) == "3" and [name for name, _ in layers_of(model)] == ["1", "3"]
    with pytest.raises(Impossible, match="choose from none, checkpoint"):
        resolve_weights(config, WeightsConfig("default"))
