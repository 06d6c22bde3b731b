"""Images and checkpoints that are none, among sound ones."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from doors import Case, Place, each, place
from odd_files import copied, odd, photos
from pictures import write
from safetensors.torch import save_file

__all__ = ["photos", "place"]

CONTENT: dict[str, bytes] = {
    "empty": b"",
    "text": b"no image",
    "html": b"<!DOCTYPE html>\n<html><body>404</body></html>\n",
    "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
    "zeros": bytes(2000),
    "zip": b"PK\x03\x04" + bytes(60),
    "signature": b"\x89PNG\r\n\x1a\n",
    "jpeg_start": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>',
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
}


def cut(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def flipped(whole: bytes) -> bytes:
    return whole[:45] + bytes(byte ^ 255 for byte in whole[45:])


def bomb(whole: bytes) -> bytes:
    """A PNG that says it has 10^10 pixels."""
    import struct
    import zlib

    head = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return whole[:8] + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head)) + whole[33:]


SPOILS: dict[str, Callable[[bytes], bytes]] = {"cut": cut, "flipped": flipped, "bomb": bomb}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    root = tmp_path_factory.mktemp("images")
    for name, content in CONTENT.items():
        (copied(photos, root / name) / "train/cat/x.png").write_bytes(content)
    for name, spoil in SPOILS.items():
        file = write(copied(photos, root / name) / "val/dog/x.png")
        file.write_bytes(spoil(file.read_bytes()))
    files = odd(root / "odd", ".png")
    for name in ("pipe", "socket", "device", "broken", "loop"):
        (copied(photos, root / name) / "train/cat/x.png").symlink_to(files / f"{name}.png")
    write_checkpoints(root)
    return root


def write_checkpoints(root: Path) -> None:
    """resnet18's, a fault each."""
    state = torchvision.models.resnet18(num_classes=10).half().state_dict()
    save_file(state, root / "sound.safetensors")
    for ending in ("pth", "safetensors", "ckpt", "bin"):
        for name, content in CONTENT.items():
            (root / f"{name}.{ending}").write_bytes(content)
        odd(root / ending, f".{ending}")
    torch.save(state, root / "whole.pth")
    (root / "cut.pth").write_bytes(cut((root / "whole.pth").read_bytes()))
    (root / "cut.safetensors").write_bytes(cut((root / "sound.safetensors").read_bytes()))
    head = json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 10**15]}}).encode()
    (root / "lying.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + bytes(36))
    (root / "huge_head.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}")
    torch.save([torch.zeros(3)], root / "list.pth")
    torch.save({"epoch": 3}, root / "numbers.pth")
    torch.save({}, root / "nothing_in_it.pth")
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, root / "part.pth")
    spoilt = {name: tensor.clone() for name, tensor in state.items()}
    spoilt["layer1.0.conv1.weight"][0] = float("nan")
    save_file(spoilt, root / "nan.safetensors")
    spoilt["layer1.0.conv1.weight"] = torch.zeros(64, 64, 5, 5)
    save_file(spoilt, root / "shape.safetensors")
    spoilt["layer1.0.conv1.weight"] = torch.zeros(64, 64, 3, 3, dtype=torch.int32)
    save_file(spoilt, root / "integers.safetensors")
    (root / "whole.h5").write_bytes(b"x")


def image(kind: str, name: str, *words: str, doors: str = "train") -> Case:
    return Case(kind, doors, f"data=folder data.size=8 data.root={{}}/{name}", words or ["bad image: {}/" + name])


IMAGES = [
    image("empty file", "empty", doors="train grid plan search lr_find screen"),
    image("text", "text", doors="train search"),
    image("HTML page", "html"),
    image("Git LFS pointer", "lfs"),
    image("zeros", "zeros", doors="train lr_find"),
    image("zip archive", "zip"),
    image("signature alone", "signature"),
    image("truncated file", "jpeg_start"),
    image("truncated file", "cut", doors="train search lr_find"),
    image("damaged file", "flipped"),
    image("drawing, not an image", "svg"),
    image("program of a printer", "eps"),
    image("image of 10^10 pixels", "bomb"),
    image("pipe", "pipe", "{}/pipe/train/cat/x.png", doors="train screen"),
    image("socket", "socket", "{}/socket/train/cat/x.png"),
    image("device", "device", "{}/device/train/cat/x.png"),
    image("broken link", "broken", "{}/broken/train/cat/x.png"),
    image("link loop", "loop", "{}/loop/train/cat/x.png"),
]


def weights(kind: str, name: str, *words: str, doors: str = "train") -> Case:
    path = f"weights.path={{}}/{name}"
    return Case(kind, doors, f"data.size=8 weights=checkpoint {path}", [path, *words])


CHECKPOINTS = [
    weights("no such file", "no.pth", "no such file", doors="train grid plan search lr_find screen"),
    weights("empty file", "empty.pth", "an empty file"),
    weights("empty file", "empty.safetensors", "an empty file", doors="train screen"),
    weights("HTML page", "html.pth", "an HTML page"),
    weights("HTML page", "html.ckpt", "an HTML page"),
    weights("Git LFS pointer", "lfs.bin", "Git LFS"),
    weights("Git LFS pointer", "lfs.safetensors", "Git LFS"),
    weights("zip archive", "zip.pth", "checkpoint"),
    weights("text", "text.pth", "state_dict()"),
    weights("text", "text.safetensors", "safetensors"),
    weights("zeros", "zeros.pth", "checkpoint"),
    weights("truncated file", "cut.pth", "not a readable checkpoint"),
    weights("truncated file", "cut.safetensors", "safetensors"),
    weights("lengths that lie", "lying.safetensors", "safetensors"),
    weights("header without end", "huge_head.safetensors", "safetensors"),
    weights("list", "list.pth", "expected a state dict"),
    weights("numbers alone", "numbers.pth", "state dict"),
    weights("nothing in it", "nothing_in_it.pth", "state dict"),
    weights("part of a network", "part.pth", "another architecture"),
    weights("NaN", "nan.safetensors", "layer1.0.conv1.weight", doors="train search"),
    weights("other shape", "shape.safetensors", "layer1.0.conv1.weight"),
    weights("integers", "integers.safetensors", "layer1.0.conv1.weight"),
    weights("ending of another format", "whole.h5", "expected a .safetensors, .pth"),
    weights("folder without a run", "pth/folder.pth", "best.safetensors"),
    weights("pipe", "pth/pipe.pth", "file"),
    weights("pipe", "safetensors/pipe.safetensors", "file"),
    weights("socket", "pth/socket.pth", "file"),
    weights("device", "pth/device.pth", "file"),
    weights("broken link", "pth/broken.pth", "no such file"),
    weights("link loop", "pth/loop.pth"),
    Case(
        "name longer than any",
        "train",
        f"data.size=8 weights=checkpoint weights.path={{}}/{'x' * 300}.pth",
        ["weights.path=", "a name of 304 bytes"],
    ),
]
ANOTHER = Case(
    "weights of another model",
    "train",
    "model=resnet50 data.size=8 weights=checkpoint weights.path={}/sound.safetensors",
    ["another architecture"],
)


@pytest.mark.parametrize("door, case", each(*IMAGES, *CHECKPOINTS, ANOTHER))
def test_images_and_checkpoints(place: Place, door: str, case: Case) -> None:
    place.refused(door, case.arguments, case.words)
