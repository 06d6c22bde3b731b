"""Which image files lie below a folder, for training and prediction alike: what is an image by its ending, and what is
left out.

Hidden files and folders and those of systems (thumbnails, recycle bins, resource forks) are left out at any depth.
"""

import difflib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from training.data.files.decoding import extensions
from training.errors import ConfigError

# In lower case; what begins with a dot (.DS_Store, ._*, .@__thumb, .picasaoriginals) belongs to them too.
SYSTEM_NAMES = {
    *("thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini"),  # Windows
    *("$recycle.bin", "recycler", "recycled", "system volume information"),
    *("__macosx", "icon\r", "network trash folder", "temporary items", "thevolumesettingsfolder"),  # Apple
    *("thefindbycontentfolder", "desktop db", "desktop df"),
    *("@eadir", "@recycle", "@recently-snapshot", "@tmp", "@sharebin", "@__thumb", "#recycle", "#snapshot"),  # NAS
    *("lost+found", "__pycache__"),
    *("picasa.ini", "captureone", "zbthumbnail.info", "pspbrwse.jbf", "thumbnails-digikam.db"),  # photo programs
}
# Folders in which photo programs keep thumbnails and copies: Lightroom, iPhoto and Photos, Aperture.
SYSTEM_ENDINGS = (".lrdata", ".lrcat-data", ".photoslibrary", ".photolibrary", ".aplibrary")
RECOVERED = re.compile(r"found\.\d{3}")  # FOUND.000: what Windows' chkdsk found
SYNOLOGY = ("synophoto_", "synophoto:")  # its thumbnails, where @eaDir was renamed or copied


class ImageFile(NamedTuple):
    """One image. `name` is its path with / as it is known in predictions; `split` is train, val, test or empty;
    `written`: the label as it is written, where that is in another Unicode form (class_name)."""

    name: str
    path: Path
    label: str
    split: str
    written: str = ""


def class_name(written: str) -> str:
    """A class of this name, composed (NFC): macOS writes names of folders decomposed, and looks the same."""
    return unicodedata.normalize("NFC", written)


def is_system(name: str) -> bool:
    """Whether a file or folder of this name is the system's or a program's own: thumbnails, recycle bins, hidden."""
    if name.startswith("."):
        return True
    lower = name.lower()
    own = lower.endswith(SYSTEM_ENDINGS) or lower.startswith(SYNOLOGY)
    return own or lower in SYSTEM_NAMES or RECOVERED.fullmatch(lower) is not None


def count_system(paths: set[str]) -> Counter[str]:
    """How many of the system's files and folders there are of each name; resource forks of macOS under ._*."""
    names = (os.path.basename(path) for path in paths)  # noqa: PTH119 (a Path for each resource fork is slow)
    return Counter("._*" if name.startswith("._") else name for name in sorted(names))


def system_counts(paths: set[str]) -> str:
    counts = count_system(paths)
    more = f" and {len(counts) - 9} more names" if len(counts) > 9 else ""
    return ", ".join(f"{count} {name}" for name, count in counts.most_common(9)) + more


def subfolders(folder: Path, system: "set[str] | None" = None) -> list[str]:
    """Names of the folders in `folder`, sorted, without the system's: the paths of those are added to `system`."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
            if system is not None:
                system.update(entry.path for entry in entries if is_system(entry.name))
            return sorted(entry.name for entry in entries if not is_system(entry.name) and entry.is_dir())
    except OSError as error:
        raise unreadable(error) from error


def unreadable(error: OSError) -> ConfigError:
    return ConfigError(f"{error.filename}: {(error.strerror or 'not readable').lower()}")


def images_in(root: Path, start: str, others: "Counter[str]", system: set[str]) -> Iterator[str]:
    """Names of the images below root/start, relative to root.

    The endings of what else lies there are counted in `others`, the system's files and folders are added to `system`.
    """

    def stop(error: OSError) -> None:  # os.walk would leave out what it can't read
        raise unreadable(error)

    seen: set[str] = set()
    for parent, folders, files in os.walk(root / start, onerror=stop, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add(real)
        system.update(f"{parent}/{name}" for name in folders + files if is_system(name))
        folders[:] = sorted(name for name in folders if not is_system(name))
        relative = Path(parent).relative_to(root).as_posix()
        for name in files:
            ending = os.path.splitext(name)[1].lower()  # noqa: PTH122 (a Path for each of 500,000 files is slow)
            if is_system(name):
                continue
            if ending in extensions():
                yield f"{relative}/{name}"
            else:
                others[ending] += 1


def images_below(folder: Path) -> tuple[list[str], list[str]]:
    """Names of all images below `folder`, found as those of a class folder are, relative to it, with /, sorted; and a
    line on each kind of what was left out. Raises ConfigError for a subfolder that can't be read."""
    others: Counter[str] = Counter()
    system: set[str] = set()
    names = sorted(name.removeprefix("./") for name in images_in(folder, ".", others, system))
    lines = []
    if others:
        kinds = ", ".join(f"{count} {ending or 'without extension'}" for ending, count in others.most_common(12))
        more = f" and {len(others) - 12} more kinds" if len(others) > 12 else ""
        lines.append(f"no images, not used in {folder}: {kinds}{more}")
    if system:
        lines.append(f"system and hidden files and folders, not used in {folder}: {system_counts(system)}")
    return names, lines


def existing(given: str, key: str, folder: bool = True) -> Path:
    """The path given for config key `key`, or ConfigError that says how far it exists and what lies there."""
    # Path's own raise for ~name without such a user, a loop of links, a name that is too long
    path = Path(os.path.realpath(os.path.expanduser(given)))  # noqa: PTH111
    if os.path.isdir(path) if folder else os.path.isfile(path):  # noqa: PTH112, PTH113
        return path
    if os.path.lexists(path) and not os.path.exists(path):  # noqa: PTH110
        raise ConfigError(f"{key}={given} is a link that leads nowhere, expected a {_kind(folder)}")
    if os.path.exists(path):  # noqa: PTH110
        raise ConfigError(f"{key}={given} is a {'file' if folder else 'folder'}, expected a {_kind(folder)}")
    parent = next(parent for parent in path.parents if os.path.isdir(parent))  # noqa: PTH112
    wanted = path.relative_to(parent).parts[0]
    entries = [entry.name for entry in parent.iterdir()] if os.access(parent, os.R_OK) else []
    close = difflib.get_close_matches(wanted, entries, n=1)
    hint = f"did you mean {parent / close[0]}?" if close else f"the nearest folder that exists is {parent}"
    raise ConfigError(f"{key}={given}: no such {_kind(folder)} ({hint})")


def _kind(folder: bool) -> str:
    return "folder" if folder else "file"
