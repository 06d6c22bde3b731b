"""Parts of a user's own: transforms (augment.own), and docs/own-parts.md, whose example is run as it stands there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import QUICK, ROOT, Door
from outcome import history_of, only_run, outcome, record_of
from pictures import fresh as fresh
from pictures import opened

from training.data.batches import Batches, Preprocessing
from training.data.image_store import ImageStore
from training.data.pixels.user_transforms import UserTransforms
from training.device import Compute
from training.schema.data_config import AugmentConfig, DataConfig

pytestmark = pytest.mark.slow

DOC = (ROOT / "docs" / "own-parts.md").read_text()
ROTATE = {"_target_": "torchvision.transforms.v2.RandomRotation", "degrees": 30}
PARTS = """
import random
import numpy as np
import torch

def invert():
    return lambda image: 255 - image

def loud(scale):
    def call(image):
        torch.rand(3), np.random.rand(), random.random()
        shift = int(scale * torch.rand(()) + scale * np.random.rand() + scale * random.random())
        return (image.int() + shift).clamp(0, 255).to(torch.uint8)
    return call

def to_float():
    return lambda image: image.float()

def narrow():
    return lambda image: image[:, :-1]

def private():
    generator = torch.Generator()
    return lambda image: image.roll(int(torch.randint(1, 8, (), generator=generator)), 1)

def broken():
    def call(image):
        raise KeyError("nothing of that name")
    return call

def number():
    return 3
"""


@pytest.fixture(autouse=True)
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "my_transforms.py").write_text(PARTS)
    monkeypatch.syspath_prepend(tmp_path / "mine")


def epoch_of(own: list[dict[str, object]], batch: int = 16, seed: int = 0, epoch: int = 1) -> dict[int, torch.Tensor]:
    """The images of an epoch as the network sees them, by their index in the data set. Unscaled: 0 to 255."""
    dataset = opened(_target_="training.sources.digits", size=16, val_fraction=0.45, test_fraction=0.45)
    plain = Preprocessing(16, (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))
    batches = Batches(dataset, ImageStore(dataset, DataConfig(size=16)), plain, Compute("cpu", "fp32", "contiguous"))
    config = AugmentConfig(own=own)
    images = torch.cat([images for images, _ in batches.train(seed, epoch, batch, config)])
    order = torch.cat([labels for _, labels in batches.train(seed, epoch, batch, AugmentConfig())])
    table = np.random.Generator(np.random.Philox(key=[seed, epoch])).random((len(order), 6))
    indices = dataset.split["train"][np.argsort(table[:, 5], kind="stable")]
    assert np.array_equal(dataset.labels[indices], order.numpy())
    return dict(zip(indices.tolist(), images, strict=True))


def test_it_is_done_to_every_training_image_and_to_no_other() -> None:
    plain, inverted = epoch_of([]), epoch_of([{"_target_": "my_transforms.invert"}])
    assert all(torch.allclose(inverted[index], 255 - plain[index], atol=1e-3) for index in plain)
    twice = epoch_of([{"_target_": "my_transforms.invert"}] * 2)
    assert all(torch.equal(twice[index], plain[index]) for index in plain)


def test_draws_follow_from_seed_epoch_and_image_alone() -> None:
    own = [ROTATE, {"_target_": "my_transforms.loud", "scale": 40}]
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first = epoch_of(own)
    assert torch.equal(torch.get_rng_state(), state), "the network's own randomness is left alone"
    torch.manual_seed(8)
    np.random.seed(8)
    other_batches = epoch_of(own, batch=50)
    assert all(torch.equal(first[index], other_batches[index]) for index in first)
    for changed in (epoch_of(own, seed=1), epoch_of(own, epoch=2)):
        same = sum(torch.equal(first[index], changed[index]) for index in first)
        assert same < 0.02 * len(first), "another seed or epoch draws anew"
    plain = epoch_of([])
    shifts = {round(float((first[index] - plain[index]).mean()), 2) for index in plain}
    assert len(shifts) > 100, "each image draws for itself"


def test_a_run_with_it_is_another_identity_and_repeatable_to_the_bit(train: Door, tmp_path: Path) -> None:
    common = [*QUICK, "model._target_=own_parts.smooth", "tracking=none", "trainer.batch_size=64"]
    own = "augment.own=[{_target_: torchvision.transforms.v2.RandomRotation, degrees: 30}]"
    results = {}
    for name, settings in {"plain": [], "empty": ["augment.own=[]"], "a": [own], "b": [own]}.items():
        result = train(*common, *settings, f"sweep.name={name}")
        assert result.code == 0, result.err
        results[name] = outcome(only_run(tmp_path / "outputs" / name))
    assert results["a"] == results["b"] and results["plain"] == results["empty"]
    assert results["a"]["record"]["identity"] != results["plain"]["record"]["identity"]
    losses = [[row["train_loss"] for row in results[name]["history"]] for name in ("a", "plain")]
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ("{sigma: 2}", "augment.own[0]: expected {_target_: module.name"),
        ("{_target_: my_transforms.inverts}", "did you mean my_transforms.invert?"),
        ("{_target_: my_transforms.loud}", "missing a required argument: 'scale'"),
        ("{_target_: my_transforms.number}", "gave a int, expected one to call on an image"),
        ("{_target_: my_transforms.to_float}", "augment.own[0] gave torch.float32 [3, 8, 8], expected torch.uint8"),
        ("{_target_: my_transforms.narrow}", "gave torch.uint8 [3, 7, 8]"),
        ("{_target_: my_transforms.private}", "the same image and seed gave two results"),
        ("{_target_: my_transforms.broken}", "KeyError: 'nothing of that name'"),
    ],
)
def test_mistakes_are_told_before_the_run(train: Door, tmp_path: Path, own: str, message: str) -> None:
    result = train("data.size=8", "model._target_=own_parts.tiny", f"augment.own=[{own}]")
    assert result.code == 2 and message in result.err, result.err
    assert len(result.err.strip().splitlines()) == 1 and not (tmp_path / "outputs").exists()


def test_the_place_in_the_training_set_counts_not_how_many_there_are() -> None:
    own = UserTransforms([{"_target_": "my_transforms.loud", "scale": 60}])
    images = torch.zeros((5, 3, 4, 4), dtype=torch.uint8)
    whole = own(images, 3, 2, np.arange(5))
    assert torch.equal(own(images[:2], 3, 2, np.array([4, 1])), whole[[4, 1]])


@pytest.mark.timeout(400)
def test_the_documented_example(shell: Door, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOC, re.DOTALL)
    (block,) = re.findall(r"```bash\n(.*?)```", DOC, re.DOTALL)
    (tmp_path / "my_parts.py").write_text(code)
    commands = [shlex.split(line) for line in block.splitlines()]
    assert len(commands) == 4 and all(words[:2] == ["python", "train.py"] for words in commands)
    for number, words in enumerate(commands):
        root = tmp_path / f"outputs{number}"
        path = f"{ROOT}:{tmp_path}"
        result = shell(*words[1:], f"sweep.root={root}", "trainer.threads=1", PYTHONPATH=path)
        assert result.code == 0, result.err
        record = record_of(only_run(root))
        assert record["config"]["model"]["_target_"] == "my_parts.small"
        assert history_of(only_run(root))[-1]["epoch"] == (12 if number == 1 else 4)
        if number == 1:
            assert record["data"]["classes"] == ["square", "circle"] and sum(record["data"]["n"].values()) == 800
            assert record["data"]["shared"] == {"val": 0, "test": 0}
            assert record["test"]["acc"] > 80, "it learns to tell squares from circles"
        else:
            assert record["test"]["acc"] > 40, "of ten digits"
