"""`from finegrid import load, load_model`: what a notebook or a service gets to see of a run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import QUICK, Door
from outcome import TINY, only_run
from PIL import ExifTags, Image

from finegrid import load, load_model
from training.errors import ConfigError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures in three colours, of other sizes, modes and orientations than the network sees."""
    random = np.random.default_rng(0)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for label, colour in (("blue", (20, 20, 220)), ("green", (20, 220, 20)), ("red", (220, 20, 20))):
        folder = tmp_path / "photos" / label
        folder.mkdir(parents=True)
        for number in range(20):
            pixels = np.clip(np.array(colour) + random.normal(0, 60, (20 + number, 40 - number, 3)), 0, 255)
            image = Image.fromarray(pixels.astype(np.uint8))
            if number % 3 == 1:
                image.putalpha(120)
            image.save(folder / f"{number:02}.png", **({"exif": exif} if number % 2 else {}))
    return tmp_path / "photos"


@pytest.mark.parametrize("resize", ["stretch", "crop"])
@pytest.mark.parametrize("target", [TINY, "model._target_=own_parts.TwoHeads"])
def test_it_answers_as_the_run_did(train: Door, tmp_path: Path, photos: Path, target: str, resize: str) -> None:
    quick = [*QUICK, "data.size=16", f"data.resize={resize}", "trainer.precision=fp32", "tracking=none"]
    result = train(target, "data=folder", f"data.root={photos}", *quick)
    assert result.code == 0, result.err
    folder = only_run(tmp_path / "outputs")
    model, transform, classes = load_model(folder)
    assert classes == ["blue", "green", "red"] and not model.training
    for split in ("val", "test"):
        with np.load(folder / f"predictions_{split}.npz") as stored:
            names, logits = stored["id"].tolist(), stored["logits"]
        inputs = torch.stack([transform(Image.open(photos / name)) for name in names])
        assert inputs.shape == (len(names), 3, 16, 16) and inputs.dtype == torch.float32
        with torch.no_grad():
            found = model(inputs).numpy()
        assert found.shape == logits.shape and np.allclose(found, logits, atol=1e-4)
        assert found.argmax(1).tolist() == logits.argmax(1).tolist()
    assert load(tmp_path / "outputs")["folder"].tolist() == [str(folder)]


def test_a_turned_photograph_is_put_right(train: Door, tmp_path: Path) -> None:
    assert train(*QUICK, TINY, "tracking=none").code == 0
    _, transform, _ = load_model(only_run(tmp_path / "outputs"))
    half = Image.new("RGB", (40, 30), (220, 20, 20))
    half.paste((20, 20, 220), (0, 0, 40, 12))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    half.rotate(180).save(tmp_path / "turned.png", exif=exif)
    assert torch.equal(transform(Image.open(tmp_path / "turned.png")), transform(half))


def test_a_folder_without_a_network(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no best\.safetensors"):
        load_model(tmp_path)


def test_importing_it_loads_neither_torch_nor_pandas(shell: Door) -> None:
    result = shell("-c", "import sys, finegrid; print({'torch', 'pandas', 'numpy', 'PIL'} & sys.modules.keys())")
    assert (result.code, result.out) == (0, "set()\n"), result
