"""Class predictions for unlabelled images.

python -m training.predict outputs/runs/resnet18-.../seed=0 photos --out ID_result.csv

Writes rows `ID,label` in the order of the file names: the ID is the file's name without its ending (with it, where two
files would share an ID), the label the index of the class, or its name with --names. Classes and preprocessing come
from the run folder.
"""

import argparse
import csv
import io
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from training.config import need
from training.console.program import add_trust, parser_for, run_program
from training.console.progress import bar
from training.run_folder import write_whole

if TYPE_CHECKING:
    from training.models.trained_model import TrainedModel


def image_files(folder: Path) -> list[Path]:
    """The images in a folder, in the order of their names. Raises ConfigError where there is none."""
    from training.data.decoding import extensions

    need(folder.is_dir(), f"{folder}: no such folder of images")
    images = [file for file in folder.rglob("*") if file.suffix.lower() in extensions() and file.is_file()]
    files = sorted(file for file in images if not any(part[0] == "." for part in file.relative_to(folder).parts))
    need(bool(files), f"{folder}: no images in it")
    return files


def predict(trained: "TrainedModel", files: Sequence[Path], batch_size: int = 64) -> list[int]:
    """The index of the most likely class of each image. Raises BadImage (an OSError) for one that can't be read."""
    import numpy as np

    from training.data.decoding import load_image

    labels: list[int] = []
    with bar("predicting", len(files)) as advance, ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(files), batch_size):
            images = []
            for image in pool.map(lambda file: trained.stored(load_image(file)), files[start : start + batch_size]):
                images.append(image)
                advance()
            labels += trained.logits(np.stack(images)).argmax(1).tolist()
    return labels


def write_csv(out: Path, files: Sequence[Path], root: Path, labels: Sequence[str]) -> None:
    """The rows ID,label, whole or not at all."""
    relative = [file.relative_to(root) for file in files]
    short = [path.with_suffix("").as_posix() for path in relative]
    ids = short if len(set(short)) == len(short) else [path.as_posix() for path in relative]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["ID", "label"])
    writer.writerows(zip(ids, labels, strict=True))
    write_whole(out, text.getvalue().encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = parser_for("training.predict", __doc__)
    parser.add_argument("run_folder", type=Path, help="the folder of a finished run")
    parser.add_argument("images", type=Path, help="a folder of images, subfolders included")
    parser.add_argument("--out", type=Path, default=Path("ID_result.csv"), help="the CSV to write (ID_result.csv)")
    parser.add_argument("--names", action="store_true", help="class names instead of class indices")
    parser.add_argument("--batch-size", type=int, default=64, help="images at once (64)")
    parser.add_argument("--device", default="auto", help="auto, cpu, mps, cuda or cuda:N")
    add_trust(parser)
    return run_program(parser, _predict, arguments)


def _predict(options: argparse.Namespace) -> None:
    need(options.batch_size >= 1, f"--batch-size {options.batch_size}: expected 1 or more")
    files = image_files(options.images)
    from training.models.trained_model import TrainedModel

    trained = TrainedModel.load(options.run_folder, options.device)
    indices = predict(trained, files, options.batch_size)
    labels = [trained.classes[index] if options.names else str(index) for index in indices]
    write_csv(options.out, files, options.images, labels)
    print(f"{len(files)} predictions in {options.out}")


if __name__ == "__main__":
    sys.exit(main())
