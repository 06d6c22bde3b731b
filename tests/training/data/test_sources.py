"""Sources by `_target_`, one's own among them, through open_dataset."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import QUICK, ROOT, Door
from omegaconf import OmegaConf
from outcome import TINY, only_run, record_of
from pictures import fresh as fresh
from pictures import opened, problem

from training.data.image_store import ImageStore
from training.schema.data_config import DataConfig


@pytest.mark.parametrize("choice", ["digits", "folder"])
def test_config_files_fit_the_schema(choice: str) -> None:
    values: Any = OmegaConf.to_container(OmegaConf.load(ROOT / f"conf/data/{choice}.yaml"))
    config = DataConfig(**values)
    assert config._target_ == f"training.sources.{choice}"


MINE = """
from pathlib import Path
import numpy as np
from PIL import Image
from training.data.sources import Source

def grey(config):
    values = range(config.kwargs.get("first", 0), 12)
    names = tuple(f"{value:02}" for value in reversed(values))
    load = lambda index: Image.new("L", (4, 4), config.kwargs.get("shade", 20) * int(names[index]))
    return Source(("even", "odd"), names, np.array([int(name) % 2 for name in names]), None, load)

def failing(config):
    return config.kwargs["missing"]

def no_source(config):
    return 3

def two(config, other):
    return None

def twice(config):
    return Source(("a", "b"), ("x", "x"), np.array([0, 1]), None, None)

def beyond(config):
    return Source(("a", "b"), ("x", "y"), np.array([0, 2]), None, None)

def short(config):
    return Source(("a", "b"), ("x", "y"), np.array([0]), None, None)

def dev(config):
    return Source(("a", "b"), ("x", "y"), np.array([0, 1]), np.array(["train", "dev"]), None)

def broken(config):
    source = grey(config)
    def load(index):
        if source.names[index] == "05":
            raise ValueError("no such slice")
        return source.load(index)
    return Source(source.classes, source.names, source.labels, None, load)
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_source.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_source", raising=False)


@pytest.mark.usefixtures("mine")
def test_a_source_of_your_own() -> None:
    dataset = opened(_target_="my_source.grey", kwargs={"first": 2})
    assert dataset.names == tuple(f"{value:02}" for value in range(2, 12))  # whatever order it came in
    assert dataset.labels.tolist() == [0, 1] * 5 and dataset.labels.dtype == np.int64
    assert dataset.load(1).getpixel((0, 0)) == (60, 60, 60)
    pixels = ImageStore(dataset, DataConfig(size=8)).batch(np.array([1, 9]))
    assert pixels[:, 0, 0, 0].tolist() == [60, 220]
    other = opened(_target_="my_source.grey", kwargs={"first": 2, "shade": 19})
    assert dataset.names == other.names and dataset.fingerprint != other.fingerprint


@pytest.mark.usefixtures("mine")
def test_complaints_about_a_source_of_your_own() -> None:
    assert "no_such_module" in problem(_target_="no_such_module.function")
    assert "nothing" in problem(_target_="my_source.nothing")
    assert "expected module.function" in problem(_target_="not a name")
    assert "returned int, expected training.sources.Source" in problem(_target_="my_source.no_source")
    assert "other" in problem(_target_="my_source.two")
    line = MINE.splitlines().index('    return config.kwargs["missing"]') + 1
    assert f"my_source.py, line {line})" in problem(_target_="my_source.failing")
    Path(sys.path[0], "my_typo.py").write_text("def x(:")
    assert "SyntaxError" in problem(_target_="my_typo.x")
    assert "x is there 2 times" in problem(_target_="my_source.twice")
    assert "2, expected an index into its 2 classes" in problem(_target_="my_source.beyond")
    assert "labels: expected one for each of 2 names" in problem(_target_="my_source.short")
    assert "dev, expected train, val or test" in problem(_target_="my_source.dev")
    assert "05: ValueError no such slice" in problem(_target_="my_source.broken")
    assert opened(_target_="my_source.broken", on_bad="skip").skipped == ("05",)


YAML = """
_target_: my_source.grey
kwargs: {first: 0, shade: 19}
size: 8
"""


@pytest.mark.usefixtures("mine")
def test_a_source_with_a_file_in_a_config_folder(train: Door, tmp_path: Path) -> None:
    """One function and one YAML file: a choice of the group `data` like those that come with finegrid."""
    file = tmp_path / "my_conf" / "data" / "grey.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(YAML)
    result = train("--config-dir", str(tmp_path / "my_conf"), "data=grey", "data.kwargs.first=2", *QUICK, TINY)
    assert result.code == 0, result.err
    data = record_of(only_run(tmp_path / "outputs"))["data"]
    assert data["classes"] == ["even", "odd"] and sum(data["n"].values()) == 10
    alike = opened(_target_="my_source.grey", kwargs={"first": 2, "shade": 19})
    assert data["fingerprint"] == alike.fingerprint
    result = train("--config-dir", str(tmp_path / "my_conf"), "data=gray", *QUICK)
    assert result.code == 2 and "data=gray: no such choice; did you mean grey?" in result.err
