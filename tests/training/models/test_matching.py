"""Which tensors of a checkpoint fit a network."""

import pytest
import torch
import torchvision
from torch import Tensor

from training.errors import ConfigError
from training.models.weights import match


def shapes(**layers: list[int]) -> dict[str, Tensor]:
    return {name.replace("_", "."): torch.empty(shape, device="meta") for name, shape in layers.items()}


OWN = shapes(body_weight=[4, 3], body_bias=[4], head_weight=[2, 4], head_bias=[2])


def test_a_head_is_taken_whole_or_not_at_all() -> None:
    loaded = match(OWN, OWN | shapes(head_weight=[2, 9]), "head", "file")
    assert loaded.taken == ["body.weight", "body.bias"] and loaded.fresh == ["head.weight", "head.bias"]
    assert loaded.unused == ["head.bias", "head.weight"]


def test_what_lies_beside_a_network_is_left_out() -> None:
    assert match(OWN, OWN | shapes(projector_weight=[9, 9]), "head", "file").unused == ["projector.weight"]


@pytest.mark.parametrize(
    "state, words",
    [
        (shapes(head_weight=[2, 4], head_bias=[2]), r"2 of 4 tensors fit this model; body.weight \[4, 3\] is missing"),
        (OWN | shapes(body_weight=[4, 5]), r"3 of 4 tensors fit this model; body.weight \[4, 3\] has shape \[4, 5\]"),
        (OWN | shapes(body_2_weight=[4]), "1 of its tensors have no place in this model, the first is body.2.weight"),
    ],
)
def test_another_architecture(state: dict[str, Tensor], words: str) -> None:
    with pytest.raises(ConfigError, match=f"file: a checkpoint of another architecture: {words}"):
        match(OWN, state, "head", "file")


@pytest.mark.parametrize("small, large", [("resnet18", "resnet34"), ("resnet50", "resnet101"), ("swin_t", "swin_s")])
def test_a_model_and_a_deeper_one(small: str, large: str) -> None:
    """All tensors of the one may be among those of the other, with the same shapes."""
    with torch.device("meta"):
        one, other = (torchvision.models.get_model(name).state_dict() for name in (small, large))
    head = "head" if small == "swin_t" else "fc"
    for own, state in ((one, other), (other, one)):
        with pytest.raises(ConfigError, match="another architecture"):
            match(own, state, head, "file")
    assert match(one, one, head, "file").fresh == []
