"""data.cache: where stored images come from changes how long a run takes, and nothing else."""

import contextlib
import errno
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import QUICK, Door, run_folders
from outcome import TINY, outcome
from pictures import fresh as fresh
from pictures import opened, tree
from sweeping import small

import training.data.pixel_cache
from training.data.files.decoding import BadImage
from training.data.image_store import ImageStore
from training.errors import ConfigError
from training.schema.data_config import DataConfig

SETTINGS = ["data.cache=none", "data.cache=memory", "data.cache=disk", "data.cache=auto"]


def pixel_files(cache: Path) -> list[Path]:
    return sorted(cache.glob("stored-*/pixels.npy"))


def test_every_cache_gives_the_same_run(train: Door, tmp_path: Path) -> None:
    pictures = tree(tmp_path / "pictures", {"a": 20, "b": 20})
    common = [*QUICK, TINY, "data=folder", f"data.root={pictures}", "augment=standard", "data.size=16"]
    for number, setting in enumerate([*SETTINGS, "data.cache=disk"]):
        assert train(*common, setting, f"sweep.name=s{number}").code == 0
        assert len(pixel_files(tmp_path / "cache")) == (number > 1)
    outcomes = [outcome(folder) for folder in run_folders(tmp_path / "outputs")]
    for one in outcomes:
        del one["record"]["config"]["data"]["cache"]
    assert len(outcomes) == 5 and all(one == outcomes[0] for one in outcomes)


def test_an_image_is_decoded_once_for_all_runs(train: Door, tmp_path: Path) -> None:
    log, outputs = tmp_path / "log", tmp_path / "outputs"
    outputs.mkdir()
    source = ["data._target_=own_parts.watched", f"+data.kwargs.log={log}", f"+data.kwargs.outputs={outputs}"]
    looks = []
    for seed in (0, 1):
        assert train(*QUICK, TINY, *source, "data.cache=disk", f"seed={seed}").code == 0
        looks.append(len(log.read_text().splitlines()))
        log.unlink()
    # looked through once by this process and decoded once; thumbnails of mistakes are made of at most 6
    assert 24 + 24 <= looks[0] <= 24 + 24 + 6 and looks[1] <= 6


def test_slots_share_one_file(train: Door, tmp_path: Path) -> None:
    done = train(*small(tmp_path, 1), "data.cache=disk", "seed=range(4)")
    assert done.code == 0, done.err
    cache = tmp_path / "cache"
    assert len(pixel_files(cache)) == 1 and not list(cache.rglob("*.part"))
    assert np.load(pixel_files(cache)[0], mmap_mode="r").shape == (1797, 8, 8, 3)


@pytest.mark.parametrize(
    "varied",
    [["seed=0,1"], ["hydra/sweeper=optuna_async", "hydra.sweeper.n_trials=2", "optimizer.lr=interval(1e-3,1e-2)"]],
)
def test_a_sweep_decodes_before_its_runs(
    train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, varied: list[str]
) -> None:
    """Where its progress can be seen: in the process that was called, once for all of them."""
    built: list[Path] = []
    build = training.data.pixel_cache.build
    monkeypatch.setattr(
        training.data.pixel_cache, "build", lambda file, *rest: built.append(file) or build(file, *rest)
    )
    folder = tree(tmp_path / "images", {"a": 20, "b": 20})
    command = ["-m", *QUICK, TINY, "data=folder", f"data.root={folder}", "data.size=8", *varied]
    assert train(*command).code == 0
    assert len(run_folders(tmp_path / "outputs")) == 2
    assert built == pixel_files(tmp_path / "cache") and len(built) == 1
    assert train(*command, "trainer.epochs=2").code == 0 and len(built) == 1


def sides(cache: Path) -> list[int]:
    return sorted(np.load(file, mmap_mode="r").shape[1] for file in pixel_files(cache))


def test_the_oldest_goes_when_room_is_needed(tmp_path: Path) -> None:
    data = opened(tree(tmp_path / "images", {"a": 12, "b": 12}))
    cache = Path(os.environ["FINEGRID_CACHE"])
    room = 24 * 3 * (16**2 + 32**2) / 1e9  # for those of 16 and 32 px together
    for size in (16, 32):
        ImageStore(data, DataConfig(size=size, cache="disk", cache_gb=1.01 * room))
        time.sleep(0.02)
    assert sides(cache) == [16, 32]
    ImageStore(data, DataConfig(size=16, cache="disk"))  # used again: now the other is older
    time.sleep(0.02)
    ImageStore(data, DataConfig(size=20, cache="disk", cache_gb=1.01 * room))
    assert sides(cache) == [16, 20]
    with pytest.raises(ConfigError, match=r"data.cache=disk: .* more than data.cache_gb"):
        ImageStore(data, DataConfig(size=64, cache="disk", cache_gb=1.01 * room))
    assert sides(cache) == [16, 20]
    before = pixel_files(cache)
    store = ImageStore(data, DataConfig(size=64, cache="auto", cache_gb=room / 10))
    assert store._pixels is not None and pixel_files(cache) == before, "too large for the disk: in memory"


def test_what_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = opened(tree(tmp_path / "images", {"a": 12, "b": 12}))
    lost = Path(data.path_or_name(7))
    content = lost.read_bytes()
    lost.unlink()
    with pytest.raises(BadImage, match=str(lost)):
        ImageStore(data, DataConfig(size=16, cache="disk"))
    cache = Path(os.environ["FINEGRID_CACHE"])
    assert not pixel_files(cache) and not list(cache.rglob("*.part"))
    lost.write_bytes(content)
    (tmp_path / "file").touch()
    monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path / "file" / "cache"))
    assert ImageStore(data, DataConfig(size=16)).batch(np.arange(24)).shape == (24, 16, 16, 3), "auto: in memory"
    with pytest.raises(OSError):
        ImageStore(data, DataConfig(size=16, cache="disk"))


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """A file system of this size at `folder`; only root may mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_found_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A write to a mapped file without blocks would end the process by SIGBUS."""
    data = opened(tree(tmp_path / "images", {"a": 12, "b": 12}))
    caplog.set_level("INFO")
    with small_disk(tmp_path / "cache", 1):
        monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path / "cache"))
        config = DataConfig(size=128)  # 24 images: 1.2 MB
        full = ImageStore(data, config).batch(np.arange(24))
        assert [record.message for record in caplog.records if "no images are kept on disk" in record.message] != []
        assert "No space left on device" in caplog.text and not list((tmp_path / "cache").rglob("*.part"))
        with pytest.raises(OSError, match="No space left on device"):
            ImageStore(data, DataConfig(size=128, cache="disk"))
    assert np.array_equal(full, ImageStore(data, DataConfig(size=128, cache="none")).batch(np.arange(24)))


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.ENOSPC])
def test_file_systems_that_reserve_nothing_get_zeros(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(code, os.strerror(code))

    data = opened(tree(tmp_path / "images", {"a": 12, "b": 12}))
    expected = ImageStore(data, DataConfig(size=16, cache="none")).batch(np.arange(24))
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    assert np.array_equal(ImageStore(data, DataConfig(size=16)).batch(np.arange(24)), expected)
    assert len(pixel_files(Path(os.environ["FINEGRID_CACHE"]))) == (code == errno.EOPNOTSUPP)
