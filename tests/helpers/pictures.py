"""Images and folders that the tests of the data room write, and its door as a new process would see it."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from training.data import dataset as dataset_module
from training.data.dataset import Dataset, open_dataset
from training.data.integrity import fingerprint
from training.errors import ConfigError
from training.schema.data_config import DataConfig


@pytest.fixture(autouse=True)
def fresh(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder for each test, and nothing remembered from the test before. Import it to have it."""
    monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path_factory.mktemp("cache")))
    forget()


def forget() -> None:
    """As a new process: nothing is known of any data set."""
    dataset_module._open.cache_clear()
    dataset_module._usable_images.cache_clear()


def cache_files() -> list[Path]:
    """What lies in this test's cache folder."""
    return sorted(Path(os.environ["FINEGRID_CACHE"]).iterdir())


def opened(root: Path | None = None, **values: Any) -> Dataset:
    """open_dataset as a new process would see it."""
    forget()
    if root is not None:
        values["root"] = str(root)
    return open_dataset(DataConfig(**{"_target_": "training.sources.folder", "size": 16, **values}))


def problem(root: Path | None = None, **values: Any) -> str:
    """The one line that open_dataset complains with."""
    with pytest.raises(ConfigError) as caught:
        opened(root, **values)
    message = str(caught.value)
    assert "\n" not in message
    return message


def write(path: Path, seed: int = 0) -> Path:
    """A small image of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([seed, *path.name.encode()]).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def tree(root: Path, counts: dict[str, int]) -> Path:
    """Images root/FOLDER/000.png ... for each folder."""
    for number, (folder, count) in enumerate(counts.items()):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            write(root / folder / f"{index:03}.png", number)
    return root


def table(file: Path, *rows: str, header: str = "path,label,split") -> str:
    file.write_text("\n".join([header, *rows]) + "\n")
    return str(file)


def names(dataset: Dataset, split: str) -> list[str]:
    return [dataset.names[index] for index in dataset.split[split]]


def sizes(dataset: Dataset) -> tuple[int, int, int]:
    return len(dataset.split["train"]), len(dataset.split["val"]), len(dataset.split["test"])


def plain_fingerprint(dataset: Dataset, root: Path) -> str:
    """What images without a split are known by where all are read as by earlier versions."""
    hashes = [hashlib.sha256((root / name).read_bytes()).hexdigest()[:32] for name in dataset.names]
    return fingerprint(dataset.classes, dataset.names, dataset.labels, None, hashes)
