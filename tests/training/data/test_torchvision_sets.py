"""data=torchvision: sets of torchvision.datasets in the layout and the file formats that torchvision itself reads."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import QUICK, Door
from outcome import TINY, only_run, record_of
from pictures import fresh as fresh
from pictures import names, opened, problem, sizes
from PIL import Image
from sklearn.datasets import load_digits
from torchvision import datasets

pytestmark = pytest.mark.slow

TARGET = "training.torchvision_sets.torchvision"
PAGE = "https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.%s.html"
PETS = ("Abyssinian", "Bengal", "beagle")


def set_of(name: str, root: Path, **values: Any) -> Any:
    return opened(root, _target_=TARGET, name=name, **values)


def mnist(root: Path, train: int = 60, test: int = 20, name: str = "MNIST") -> Path:
    """Real digits in MNIST's own files (big-endian IDX, LeCun's page): 28 x 28 px."""
    digits = load_digits()
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    for part, first, count in (("train", 0, train), ("t10k", train, test)):
        images = np.kron(digits.images[first : first + count], np.ones((3, 3)))
        images = np.pad(np.rint(images * 255 / 16).astype(np.uint8), ((0, 0), (2, 2), (2, 2)))
        labels = digits.target[first : first + count].astype(np.uint8)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, *images.shape) + images.tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, count) + labels.tobytes())
    return root


def picture(file: Path, seed: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(file)


def pets(root: Path) -> Path:
    """images/CLASS_N.jpg and annotations/{trainval,test}.txt, as in the set's archives."""
    base = root / "oxford-iiit-pet"
    for split, numbers in (("trainval", range(1, 9)), ("test", range(9, 12))):
        lines = []
        for label, pet in enumerate(PETS, 1):
            for number in numbers:
                picture(base / "images" / f"{pet}_{number}.jpg", 100 * label + number)
                lines.append(f"{pet}_{number} {label} {1 + (pet == 'beagle')} 1\n")
        (base / "annotations").mkdir(exist_ok=True)
        (base / "annotations" / f"{split}.txt").write_text("".join(lines))
    return root


def eurosat(root: Path) -> Path:
    for label, place in enumerate(("Forest", "River", "SeaLake")):
        for number in range(1, 11):
            picture(root / "eurosat" / "2750" / place / f"{place}_{number}.jpg", 100 * label + number)
    return root


def dtd(root: Path) -> Path:
    """images/CLASS/..., and labels/{train,val,test}{1..10}.txt: given train, val and test, in ten partitions."""
    base = root / "dtd" / "dtd"
    (base / "labels").mkdir(parents=True)
    for partition in (1, 2):
        for split, numbers in (("train", (0, 1)), ("val", (2,)), ("test", (3,))):
            shifted = [(number + partition) % 4 for number in numbers]
            lines = [f"{kind}/{kind}_{number}.jpg\n" for kind in ("banded", "zigzagged") for number in shifted]
            (base / "labels" / f"{split}{partition}.txt").write_text("".join(lines))
    for label, kind in enumerate(("banded", "zigzagged")):
        for number in range(4):
            picture(base / "images" / kind / f"{kind}_{number}.jpg", 10 * label + number)
    return root


def agree(dataset: Any, original: Any, split: str) -> None:
    """Labels and pixels are those that torchvision itself gives for this part, each image once."""
    ours = sorted(
        (int(dataset.labels[i]), np.asarray(dataset.load(i).convert("RGB")).tobytes()) for i in dataset.split[split]
    )
    theirs = sorted((int(label), np.asarray(image.convert("RGB")).tobytes()) for image, label in original)
    assert [label for label, _ in ours] == [label for label, _ in theirs]
    assert ours == theirs


def test_mnist_keeps_its_test_images_and_draws_val(tmp_path: Path) -> None:
    dataset = set_of("MNIST", mnist(tmp_path))
    assert dataset.classes == tuple(datasets.MNIST.classes) and dataset.drawn == ("val",)
    assert names(dataset, "test") == [f"test-{index:06}" for index in range(20)]
    agree(dataset, datasets.MNIST(tmp_path, train=False), "test")
    assert sizes(dataset)[0] + sizes(dataset)[1] == 60 and sizes(dataset)[1] >= 9


def test_pets_labels_and_files_are_those_of_torchvision(tmp_path: Path) -> None:
    dataset = set_of("OxfordIIITPet", pets(tmp_path))
    assert dataset.classes == ("Abyssinian", "Bengal", "Beagle") and dataset.drawn == ("val",)
    agree(dataset, datasets.OxfordIIITPet(tmp_path, split="test"), "test")
    assert sizes(dataset)[2] == 9 and "oxford-iiit-pet/images/beagle_9.jpg" in names(dataset, "test")
    assert dataset.path_or_name(0) == str(tmp_path / dataset.names[0])


def test_eurosat_has_no_parts_so_all_are_drawn(tmp_path: Path) -> None:
    dataset = set_of("EuroSAT", eurosat(tmp_path))
    assert dataset.drawn == ("train", "val", "test") and sum(sizes(dataset)) == 30 and min(sizes(dataset)) >= 3
    assert dataset.classes == ("Forest", "River", "SeaLake")
    for index in (0, 15, 29):
        assert dataset.names[index].split("/")[2] == dataset.classes[dataset.labels[index]]


def test_given_val_and_arguments_of_the_set(tmp_path: Path) -> None:
    dtd(tmp_path)
    first, second = (set_of("DTD", tmp_path, kwargs={"partition": number}) for number in (1, 2))
    assert first.drawn == () and sizes(first) == (4, 2, 2)
    for split in ("train", "val", "test"):
        agree(second, datasets.DTD(tmp_path, split=split, partition=2), split)
    assert first.fingerprint != second.fingerprint
    assert "takes no parts; it takes loader, partition, split" in problem(
        tmp_path, _target_=TARGET, name="DTD", kwargs={"parts": 3}
    )


def test_the_fingerprint_is_of_the_images_not_of_their_place(tmp_path: Path) -> None:
    here, there = (mnist(tmp_path / place) for place in ("a", "b"))
    print_here = set_of("MNIST", here).fingerprint
    assert print_here == set_of("MNIST", there).fingerprint
    file = there / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    content = bytearray(file.read_bytes())
    content[500] ^= 1
    file.write_bytes(content)
    assert print_here != set_of("MNIST", there).fingerprint
    picture(eurosat(tmp_path / "c") / "eurosat/2750/Forest/Forest_1.jpg", 7)
    changed = set_of("EuroSAT", tmp_path / "c").fingerprint
    assert changed != set_of("EuroSAT", eurosat(tmp_path / "d")).fingerprint


def test_two_sets_below_one_root_and_the_default_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    eurosat(tmp_path / "datasets")
    mnist(tmp_path / "datasets", name="KMNIST")
    assert opened(_target_=TARGET, name="EuroSAT").path_or_name(0).startswith(str(tmp_path / "datasets"))
    assert opened(_target_=TARGET, name="KMNIST").classes[1] == "ki"


def test_a_run_on_a_set_and_the_same_again(train: Door, tmp_path: Path) -> None:
    mnist(tmp_path / "sets", name="FashionMNIST")
    command = [*QUICK, TINY, "tracking=none", "data=torchvision", "data.name=FashionMNIST"]
    command += [f"data.root={tmp_path / 'sets'}"]
    result = train(*command)
    assert result.code == 0, result.err
    record = record_of(only_run(tmp_path / "outputs"))
    assert record["data"]["n"]["test"] == 20 and record["data"]["classes"][0] == "T-shirt/top"
    assert "is finished already" in train(*command).err + train(*command).out


def test_what_is_missing_is_one_line(train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there: a machine without network
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setattr("urllib.request._opener", None)  # it remembers the proxies of who asked first
    root = tmp_path / "sets"
    result = train("data=torchvision", "data.name=CIFAR10", f"data.root={root}")
    assert result.code == 2
    (line,) = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert f"data.name=CIFAR10 is not in {root}, and can't be downloaded (" in line and "refused" in line
    assert line.endswith("put its files there, see " + PAGE % "CIFAR10")
    assert not (tmp_path / "outputs").exists()
    (root / "cifar-10-python.tar.gz").write_bytes(b"not the archive")
    broken = problem(root, _target_=TARGET, name="CIFAR10")  # its MD5 is checked, so this is fetched again
    assert "can't be downloaded" in broken
    assert PAGE % "OxfordIIITPet" in problem(root, _target_=TARGET, name="OxfordIIITPet")
    assert "can't be downloaded" in problem(root, _target_=TARGET, name="MNIST")
    assert "URL is broken" in problem(root, _target_=TARGET, name="StanfordCars")


def test_complaints(tmp_path: Path) -> None:
    assert "needs data.name=NAME" in problem(tmp_path, _target_=TARGET)
    assert "did you mean CIFAR10, CIFAR100" in problem(tmp_path, _target_=TARGET, name="cifar")
    missing = problem(tmp_path / "no" / "such", _target_=TARGET, name="EuroSAT")
    assert f"the nearest folder that exists is {tmp_path}" in missing
    taken = problem(eurosat(tmp_path), _target_=TARGET, name="EuroSAT", kwargs={"transform": 1})
    assert "transform is set by finegrid" in taken
    for source in ("digits", "folder"):
        assert "did you mean data=torchvision" in problem(_target_=f"training.sources.{source}", name="EuroSAT")
    assert "data.csv=a.csv is not for" in problem(tmp_path, _target_=TARGET, name="EuroSAT", csv="a.csv")
