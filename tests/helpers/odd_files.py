"""What is no file that anyone wants to read: pipes, sockets, links that lead nowhere; and images without a fault."""

import os
import shutil
import socket
from pathlib import Path

import pytest
from pictures import tree


def odd(folder: Path, ending: str = "") -> Path:
    """pipe, socket, device, broken, loop, folder and nothing, each with this ending."""
    folder.mkdir(parents=True, exist_ok=True)
    os.mkfifo(folder / f"pipe{ending}")
    before = Path.cwd()
    os.chdir(folder)  # the name of a socket may have 107 bytes
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(f"socket{ending}")
    os.chdir(before)
    (folder / f"device{ending}").symlink_to("/dev/zero")
    (folder / f"broken{ending}").symlink_to("nowhere")
    (folder / f"loop{ending}").symlink_to(f"loop{ending}")
    (folder / f"folder{ending}").mkdir()
    (folder / f"nothing{ending}").touch()
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two classes in train, val and test, without a fault."""
    root = tmp_path_factory.mktemp("photos")
    return tree(root, {f"{split}/{label}": 2 for split in ("train", "val", "test") for label in ("cat", "dog")})


def copied(photos: Path, to: Path) -> Path:
    """A copy to spoil."""
    shutil.copytree(photos, to)
    return to
