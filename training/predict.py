"""Class predictions for unlabelled images: folders, files, patterns, or a CSV with a column `path`.

python -m training.predict outputs/runs/resnet18-.../seed=0 photos --out ID_result.csv
python -m training.predict outputs/runs/resnet18-.../seed=0 list.csv 'more/*.jpg' --scores

python -m training.predict model.onnx photos

Writes rows `ID,label`: the ID is the file's name without its extension (with it, where two files would share an ID) or
the path as it stands in a CSV; the label is the name of the class, or its index with --indices. classes.json beside the
CSV says which index is which class. An image that can't be read has an empty label, is named at the end, and the exit
code is 1. Rows are written as they come, to FILE.part, which becomes FILE when all are there. Classes and preprocessing
come from the run folder, or from a file of training.export (.onnx, .pt2), which needs none.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from training.console.program import add_trust, parser_for, run_program
from training.console.progress import bar
from training.console.table import printable
from training.schema.checks import need

if TYPE_CHECKING:
    import numpy as np

    from training.finished.exported_model import ExportedModel
    from training.finished.image_inputs import Inputs
    from training.models.trained_model import TrainedModel

    Classifier = TrainedModel | ExportedModel

FAILED = 1  # exit code where an image could not be read
NAMED = 20  # of the images that could not be read


class Prediction(NamedTuple):
    """Of one image: `logits` float32 [classes], or None and `problem`: its path and why it can't be read."""

    logits: "np.ndarray | None"
    problem: str = ""


def predict(trained: "Classifier", files: Sequence[Path], batch_size: int = 64) -> Iterator[list[Prediction]]:
    """The predictions of `files`, a batch at a time, as soon as they are made."""
    import numpy as np

    def load(file: Path) -> "np.ndarray | str":
        return _stored(trained, file)

    with bar("predicting", len(files)) as advance, ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(files), batch_size):
            loaded = []
            for one in pool.map(load, files[start : start + batch_size]):
                loaded.append(one)
                advance()
            images = [one for one in loaded if not isinstance(one, str)]
            logits = iter(trained.logits(np.stack(images)).cpu().numpy() if images else ())
            yield [Prediction(None, one) if isinstance(one, str) else Prediction(next(logits)) for one in loaded]


def _stored(trained: "Classifier", file: Path) -> "np.ndarray | str":
    """An image at its stored size, uint8 [S, S, 3], or why it can't be read."""
    from training.data.files import decode_memory
    from training.data.files.decoding import BadImage, read_image

    if os.path.exists(file) and not os.path.isfile(file):  # noqa: PTH110, PTH113 (Path's raise for a name too long)
        return f"{file}: not a file"  # a pipe would be waited for
    try:
        with decode_memory.held():
            return trained.stored(read_image(file))
    except BadImage as error:
        return str(error)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = parser_for("training.predict", __doc__)
    parser.add_argument(
        "run_folder", type=Path, help="the folder of a finished run, its id in the report, or an exported .onnx or .pt2"
    )
    images = "folders of images (subfolders included), files, quoted patterns, or CSVs with a column path"
    parser.add_argument("images", nargs="+", help=images)
    parser.add_argument("--out", type=Path, default=Path("ID_result.csv"), help="the CSV to write (ID_result.csv)")
    labels = parser.add_mutually_exclusive_group()
    labels.add_argument("--indices", action="store_true", help="class indices as labels, as classes.json has them")
    labels.add_argument("--names", action="store_true", help="class names as labels, which is the default")
    parser.add_argument(
        "--scores", action="store_true", help="also the probability (0 to 1) of each class, a column each"
    )
    on_bad = "an image that can't be read: an empty label and exit code 1 (empty), or stop with exit code 2 (raise)"
    parser.add_argument("--on-bad", choices=["empty", "raise"], default="empty", help=on_bad)
    parser.add_argument("--root", metavar="FOLDER", help="what the paths in a CSV are relative to (the CSV's folder)")
    parser.add_argument("--batch-size", type=int, default=64, help="images at once (64)")
    parser.add_argument("--device", default="auto", help="auto, cpu, mps, cuda or cuda:N")
    add_trust(parser)
    problems: list[str] = []
    code = run_program(parser, lambda options: problems.extend(_predict(options)), arguments)
    return code or (FAILED if problems else 0)


def _predict(options: argparse.Namespace) -> list[str]:
    """Write the CSV; gives what could not be read."""
    need(options.batch_size >= 1, f"--batch-size {options.batch_size}: expected 1 or more")
    from training.finished.image_inputs import find_images
    from training.finished.prediction_csv import check_out

    inputs = find_images(options.images, options.root)
    check_out(options.out, options.images)
    for line in inputs.left_out:
        _say(line)
    trained = _trained(options.run_folder, options.device)
    problems = _write(options, trained, inputs)
    kind = "class indices; their names are" if options.indices else "class names; their indices are"
    count = len(inputs.images) - len(problems)
    what = f"{count} prediction{'s' if count != 1 else ''} in {options.out}"
    print(printable(f"{what} ({kind} in classes.json beside it)"))
    for problem in problems[:NAMED]:
        _say(f"no label: {problem}")
    if problems:
        more = f" ({len(problems) - NAMED} of them not named here)" if len(problems) > NAMED else ""
        _say(f"{len(problems)} of {len(inputs.images)} images can't be read: their labels are empty{more}")
    return problems


def _trained(name: Path, device: str) -> "Classifier":
    from training.finished.exported_model import ExportedModel, is_export
    from training.finished.run_names import named_run
    from training.models.trained_model import TrainedModel

    return ExportedModel.load(name, device) if is_export(name) else TrainedModel.load(named_run(name), device)


def _write(options: argparse.Namespace, trained: "Classifier", inputs: "Inputs") -> list[str]:
    from training.data.files.decoding import BadImage
    from training.finished.image_inputs import ids_of, writable
    from training.finished.prediction_csv import COLUMNS, growing_csv, part_of, write_classes

    classes = [writable(name) for name in trained.classes]
    labels = list(map(str, range(len(classes)))) if options.indices else classes
    scores = [f"probability_{label}" for label in labels] if options.scores else []
    ids = ids_of(inputs.images)
    problems: list[str] = []
    done = 0
    try:
        with growing_csv(options.out, [*COLUMNS, *scores]) as append:
            for batch in predict(trained, [image.path for image in inputs.images], options.batch_size):
                found = [one.problem for one in batch if one.logits is None]
                if found and options.on_bad == "raise":
                    raise BadImage(found[0])
                problems += found
                append([[ids[done + place], *_cells(one, labels, len(scores))] for place, one in enumerate(batch)])
                done += len(batch)
            if line := write_classes(options.out.parent, classes):
                _say(line)
    except BaseException:
        if done and part_of(options.out).exists():
            _say(f"{done} of {len(ids)} rows are in {part_of(options.out)}")
        raise
    return problems


def _cells(prediction: Prediction, labels: Sequence[str], scores: int) -> list[str]:
    """Label and `scores` probabilities (none, or one a class), all empty for an image that can't be read."""
    import numpy as np

    if prediction.logits is None:
        return [""] * (1 + scores)
    label = labels[int(prediction.logits.argmax())]
    if not scores:
        return [label]
    powers = np.exp(prediction.logits.astype(np.float64) - prediction.logits.max())
    return [label, *(f"{value:.6g}" for value in powers / powers.sum())]


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
