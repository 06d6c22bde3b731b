"""The images that a user names: folders, files, patterns such as 'photos/*.jpg', and CSVs with a column `path`.

Folders are listed by the code that lists those of training (training/data/files/image_listing.py): links are followed,
endings in any case, system files left out. A file that is named itself, or in a CSV, is taken whatever it is called.
"""

import csv
import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from training.data.files.decoding import extensions
from training.data.files.image_listing import images_below, is_system
from training.errors import ConfigError
from training.run_folder import BEST
from training.schema.checks import need

LISTS = (".csv", ".tsv")
WILDCARDS = "*?["


class InputImage(NamedTuple):
    """`name`: the path relative to the folder that was named, with /, or as it stands in a CSV (`listed`)."""

    name: str
    path: Path
    listed: bool = False


class Inputs(NamedTuple):
    """All images in their order, a file once; and lines on what was left out."""

    images: list[InputImage]
    left_out: list[str]


def find_images(given: Sequence[str], csv_root: str | None = None) -> Inputs:
    """The images that `given` names; `csv_root`: the folder that paths in a CSV are relative to, without it the CSV's.

    Raises ConfigError for what names no image, with the line number in a CSV.
    """
    need(all(given), "the name of a folder of images is empty")
    given = [os.path.expanduser(one) for one in given]  # noqa: PTH111 (Path's own raises for ~name without such a user)
    listed = [one for one in given if _is_list(one)]
    need(csv_root is None or bool(listed), "--root is for a CSV with a column path")
    images: dict[str, InputImage] = {}
    left_out: list[str] = []
    for one in given:
        found = _from_csv(Path(one), csv_root) if _is_list(one) else _named(one, left_out)
        for image in found:
            images.setdefault(os.path.abspath(image.path), image)  # noqa: PTH100 (a link is a file of its own)
    return Inputs(list(images.values()), list(dict.fromkeys(left_out)))


def ids_of(images: Sequence[InputImage]) -> list[str]:
    """What the images are called in a CSV: names without their extension; with it where two would be alike, and with
    the folder that was named where that doesn't help. Names from a CSV stay as they are. Bytes of a name that are not
    UTF-8 are written as in JSON: \\\\udcef."""
    names = [image.name for image in images]
    short = [name if image.listed else _without_extension(name) for name, image in zip(names, images, strict=True)]
    paths = [image.name if image.listed else image.path.as_posix() for image in images]
    candidates = ([writable(name) for name in some] for some in (short, names, paths))
    distinct = (some for some in candidates if len(set(some)) == len(some))
    return next(distinct, [writable(name) for name in paths])


def writable(text: str) -> str:
    """`text` with what UTF-8 can't write, bytes of a file's name, written as in JSON: \\\\udcef."""
    return text.encode("utf-8", "backslashreplace").decode()


def _without_extension(name: str) -> str:
    start, ending = os.path.splitext(name)  # noqa: PTH122 (a Path for each of 500,000 files is slow)
    return start if ending.lower() in extensions() else name


def _is_list(given: str) -> bool:
    return given.lower().endswith(LISTS) and Path(given).is_file()


def _named(given: str, left_out: list[str]) -> list[InputImage]:
    path = Path(given)
    if path.is_dir():
        return _in_folder(path, left_out)
    if os.path.lexists(path):  # a link that leads nowhere too: it is named as an image that can't be read
        return [InputImage(path.name, path)]
    need(any(one in given for one in WILDCARDS), f"{given}: no such folder or file of images")
    return _matching(given, left_out)


def _in_folder(folder: Path, left_out: list[str]) -> list[InputImage]:
    need(not (folder / BEST).is_file(), f"{folder} is a run folder, expected images: one run predicts at a time")
    names, lines = images_below(folder)
    why = f" ({'; '.join(lines)})" if lines else ""
    need(bool(names), f"{folder}: no images in it{why}")
    left_out.extend(lines)
    return [InputImage(name, folder / name) for name in names]


def _matching(pattern: str, left_out: list[str]) -> list[InputImage]:
    """The images that match, and those in folders that match; names relative to the part without wildcards."""
    parts = Path(pattern).parts
    fixed = Path(*parts[: next(place for place, part in enumerate(parts) if any(one in part for one in WILDCARDS))])
    found: list[InputImage] = []
    others: Counter[str] = Counter()
    for match in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 (Path's follows no links)
        path = Path(match)
        relative = path.relative_to(fixed)
        if any(map(is_system, relative.parts)):
            others["of the system"] += 1
        elif path.is_dir():
            names, lines = images_below(path)
            found += [InputImage((relative / name).as_posix(), path / name) for name in names]
            left_out.extend(lines)
        elif path.suffix.lower() in extensions():
            found.append(InputImage(relative.as_posix(), path))
        else:
            others[path.suffix.lower() or "without extension"] += 1
    kinds = ", ".join(f"{count} {kind}" for kind, count in others.most_common(5))
    need(bool(found), f"{pattern}: no image matches" + (f" (no images: {kinds})" if others else ""))
    if others:
        left_out.append(f"no images, not used of {pattern}: {kinds}")
    return sorted(found)


def _from_csv(file: Path, root: str | None) -> list[InputImage]:
    folder = file.parent if root is None else Path(root)
    need(folder.is_dir(), f"--root {folder}: no such folder")
    images: list[InputImage] = []
    first: dict[str, int] = {}
    for line, cell in _path_cells(file):
        written = cell if os.path.lexists(folder / cell) else cell.replace("\\", "/")  # Windows'
        name = os.path.normpath(written)
        need(name not in first, f"{file} line {line}: {cell} is on line {first.get(name)} already")
        first[name] = line
        images.append(InputImage(cell, folder / written, listed=True))
    none_exists = not any(os.path.exists(image.path) for image in images)  # noqa: PTH110 (Path's raises for a name too long)
    need(not none_exists, f"{file}: none of its {len(images)} paths exists in {folder}; --root names another folder")
    return images


def _path_cells(file: Path) -> Iterator[tuple[int, str]]:
    """Line number and path of each row. Understands , ; and tab, and a byte order mark."""
    try:
        # Not only UTF-8: a path may have any bytes that the file system has
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            delimiter = max(",;\t", key=stream.readline().count)
            stream.seek(0)
            reader = csv.reader(stream, delimiter=delimiter)
            columns = [name.strip().lower() for name in next(reader, [])]
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ConfigError(f"{file} is no CSV: {error}") from error
    found = ",".join(columns)[:80] or "nothing"
    need(columns.count("path") == 1, f"{file}: its first line has {found}, expected one column path")
    need(bool(rows), f"{file} has no rows below its header")
    place = columns.index("path")
    for line, row in rows:
        extra = any(cell.strip() for cell in row[len(columns) :])
        quotes = "a cell that holds a comma needs quotes around it"
        need(not extra, f"{file} line {line}: {len(row)} cells, expected {len(columns)} ({quotes})")
        cell = row[place].strip() if place < len(row) else ""
        need(bool(cell), f"{file} line {line}: the path is empty")
        yield line, cell
