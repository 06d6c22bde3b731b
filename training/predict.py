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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.config import DataConfig, ModelConfig, TrainerConfig, need
from training.errors import ConfigError
from training.progress import bar
from training.run_folder import BEST, write_whole

if TYPE_CHECKING:
    from training.data.batches import Preprocessing


@dataclass(frozen=True)
class Trained:
    """A trained network and what it says about itself: classes, preprocessing, model config."""

    model: Any
    classes: list[str]
    about: dict[str, Any]
    device: str

    @property
    def preprocessing(self) -> "Preprocessing":
        """From a stored image to what the network sees."""
        from training.data.batches import Preprocessing

        about = self.about["preprocessing"]
        return Preprocessing(about["size"], tuple(about["mean"]), tuple(about["std"]))


def load_run(folder: Path, device: str = "auto") -> Trained:
    """The selected network of a run folder, ready to evaluate. Raises ConfigError."""
    from training.device import resolve_compute
    from training.models.build import build_model
    from training.models.weights import checkpoint_file, match, put, read_checkpoint

    need(folder.is_dir(), f"{folder}: no such run folder")
    need((folder / BEST).is_file(), f"{folder}: no {BEST} in it; is this a finished run's folder?")
    state, about = read_checkpoint(checkpoint_file(str(folder)))
    need("classes" in about, f"{folder / BEST}: not written by a run (no classes in its metadata)")
    where = resolve_compute(TrainerConfig(device=device)).device
    try:
        model = build_model(ModelConfig(**about["model"]), len(about["classes"]))
        fits = match(model.state_dict(), state, "", str(folder))
        put(model, {name: state[name] for name in fits.taken})
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{folder / BEST}: written by another version of finegrid ({error})") from error
    return Trained(model.eval().to(where), about["classes"], about, where)


def image_files(folder: Path) -> list[Path]:
    """The images in a folder, in the order of their names. Raises ConfigError where there is none."""
    from training.data.decoding import extensions

    need(folder.is_dir(), f"{folder}: no such folder of images")
    images = [file for file in folder.rglob("*") if file.suffix.lower() in extensions() and file.is_file()]
    files = sorted(file for file in images if not any(part[0] == "." for part in file.relative_to(folder).parts))
    need(bool(files), f"{folder}: no images in it")
    return files


def predict(trained: Trained, files: list[Path], batch_size: int = 64) -> list[int]:
    """The index of the most likely class of each image. Raises BadImage (an OSError) for one that can't be read."""
    import numpy as np
    import torch

    from training.data.decoding import load_image, stored
    from training.models.build import logits

    about = trained.about["preprocessing"]
    preprocessing = trained.preprocessing
    data = DataConfig(size=about["size"], stored_size=about["stored_size"], resize=about["resize"])
    labels: list[int] = []
    with bar("predicting", len(files)) as advance, ThreadPoolExecutor(os.cpu_count()) as pool, torch.no_grad():
        for start in range(0, len(files), batch_size):
            images = []
            for image in pool.map(lambda file: stored(load_image(file), data), files[start : start + batch_size]):
                images.append(image)
                advance()
            pixels = torch.from_numpy(np.stack(images)).to(trained.device).permute(0, 3, 1, 2)
            labels += logits(trained.model(preprocessing.plain(pixels))).argmax(1).tolist()
    return labels


def write_csv(out: Path, files: list[Path], root: Path, labels: list[str]) -> None:
    """The rows ID,label, whole or not at all."""
    relative = [file.relative_to(root) for file in files]
    short = [path.with_suffix("").as_posix() for path in relative]
    ids = short if len(set(short)) == len(short) else [path.as_posix() for path in relative]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["ID", "label"])
    writer.writerows(zip(ids, labels, strict=True))
    write_whole(out, text.getvalue().encode())


def main(arguments: list[str] | None = None) -> int:
    """The command line. Exit code 2 for a mistake, told in one line."""
    parser = argparse.ArgumentParser(prog="python -m training.predict", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run_folder", type=Path, help="the folder of a finished run")
    parser.add_argument("images", type=Path, help="a folder of images, subfolders included")
    parser.add_argument("--out", type=Path, default=Path("ID_result.csv"), help="the CSV to write (ID_result.csv)")
    parser.add_argument("--names", action="store_true", help="class names instead of class indices")
    parser.add_argument("--batch-size", type=int, default=64, help="images at once (64)")
    parser.add_argument("--device", default="auto", help="auto, cpu, mps, cuda or cuda:N")
    options = parser.parse_args(arguments)
    try:
        need(options.batch_size >= 1, f"--batch-size {options.batch_size}: expected 1 or more")
        files = image_files(options.images)
        trained = load_run(options.run_folder, options.device)
        indices = predict(trained, files, options.batch_size)
        labels = [trained.classes[index] if options.names else str(index) for index in indices]
        write_csv(options.out, files, options.images, labels)
    except (ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{len(files)} predictions in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
