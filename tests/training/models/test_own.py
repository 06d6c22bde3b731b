"""Models of a user's own, by `_target_`."""

from pathlib import Path

from conftest import QUICK, Door
from initial_weights import about
from outcome import TINY, only_run, record_of
from safetensors.torch import load_file

from training.record import Record


def test_a_model_of_your_own(train: Door, tmp_path: Path) -> None:
    own = ["model=torchvision", TINY, "model.kwargs.width=4", *QUICK]
    result = train(*own, "model.drop_path=0.3")
    assert result.code == 2 and "tiny refuses these settings" in result.err and "drop_path" in result.err
    result = train(*own, "model.drop_path=0.3", "model.accepts=[]")
    assert result.code == 0, result.err
    folder = only_run(tmp_path / "outputs")
    assert folder.parent.name.startswith("tiny-none-")
    assert load_file(folder / "best.safetensors")["head.weight"].shape == (10, 16)
    assert about(folder)["model"]["_target_"] == "own_parts.tiny"


def test_a_model_that_looks_at_numbers(train: Door, tmp_path: Path) -> None:
    """While it is built and in its forward pass, which can't be tried without memory."""
    result = train("model._target_=own_parts.Curious", *QUICK)
    assert result.code == 0, result.err
    assert record_of(only_run(tmp_path / "outputs"))["status"] == "done"


def test_it_stands_under_its_own_name_and_sees_what_was_asked_for(train: Door, tmp_path: Path) -> None:
    """With a dotted path, and the name of the group's model still in the config; without weights of ImageNet."""
    done = train(*QUICK, "model=resnet50", TINY, "data.normalize=imagenet", "tracking.histograms_every=0")
    assert done.code == 0, done.err
    folder = only_run(tmp_path / "outputs")
    record = record_of(folder)
    assert folder.parent.name.startswith("tiny-none-") and record["resolved"]["normalize"] == "imagenet"
    assert Record.from_json(record).settings.model == "tiny"
    seen = about(folder)["preprocessing"]
    assert seen["mean"] == [0.485, 0.456, 0.406] and seen["std"] == [0.229, 0.224, 0.225]
