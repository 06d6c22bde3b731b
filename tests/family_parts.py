"""A family of networks from outside of finegrid: model._target_=family_parts.Towers, or a YAML file with that."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.config import ModelConfig
from training.models.checkpoint_file import StateDict
from training.models.family import Family, Pretraining

WIDTHS = {"tower_s": 4, "tower_m": 8}


class Tower(nn.Module):
    """Its layer of class scores is neither the last one nor is its name what one would guess."""

    def __init__(self, width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.scores = nn.Linear(width, classes)
        self.dropout = nn.Dropout(dropout)
        self.floors = nn.ModuleList([nn.Conv2d(3, width, 3), nn.Conv2d(width, width, 3), nn.Conv2d(width, width, 1)])

    def forward(self, images: Tensor) -> Tensor:
        for floor in self.floors:
            images = floor(images).relu()
        return self.scores(self.dropout(images.mean((2, 3))))


class Towers(Family):
    """The weights `shop_v1` and `shop_v2` lie in the folder model.kwargs.shop, under names of the shop's own."""

    runs_on_meta = True

    def build(self, config: ModelConfig, classes: int) -> nn.Module:
        return Tower(WIDTHS[config.name], classes, config.dropout or 0.0)

    def sources(self, config: ModelConfig) -> list[str]:
        return ["shop_v1", "shop_v2"]

    def file(self, config: ModelConfig, resolved: str) -> Path:
        return Path(config.kwargs["shop"]) / f"{config.name}-{resolved.lower()}.safetensors"

    def state(self, config: ModelConfig, resolved: str, model: nn.Module) -> StateDict:
        state = load_file(self.file(config, resolved))
        return {name.replace("storey", "floors"): tensor for name, tensor in state.items()}

    def pretraining(self, config: ModelConfig, resolved: str) -> Pretraining:
        return Pretraining("shop", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))

    def head(self, model: nn.Module) -> str:
        return "scores"

    def layers(self, model: nn.Module) -> list[tuple[str, list[str]]]:
        floors = [(f"floor{number}", [f"floors.{number}.weight", f"floors.{number}.bias"]) for number in range(3)]
        return [*floors, ("top", ["scores.weight", "scores.bias"])]


def shop(folder: Path) -> dict[str, StateDict]:
    """Write the weights of tower_s there, trained for 7 classes; gives each source's floors by the network's names."""
    folder.mkdir()
    floors = {}
    for seed, source in enumerate(("shop_v1", "shop_v2")):
        torch.manual_seed(seed)
        state = Tower(WIDTHS["tower_s"], 7, 0.0).state_dict()
        renamed = {name.replace("floors", "storey"): tensor for name, tensor in state.items()}
        save_file(renamed, folder / f"tower_s-{source}.safetensors")
        floors[source] = {name: tensor for name, tensor in state.items() if name.startswith("floors")}
    return floors
