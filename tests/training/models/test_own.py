"""Models of a user's own, by `_target_`."""

from pathlib import Path

from conftest import QUICK, Door
from initial_weights import about
from outcome import TINY, only_run, record_of
from safetensors.torch import load_file


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
