"""How fast a run trains, beside what people write by hand, and beside the bare network.

python -m benchmarks.training [--models resnet18 resnet50 swin_v2_t] [--images 96] [--batch 16] [--repeats 3]
python -m benchmarks.training --data digits --models resnet18 --images 640
python -m benchmarks.training --rows ceiling ceiling-kept ours-all-histograms

Images/s over whole epochs (evaluation and saving included, the first epoch left out), seconds from the imported torch
to the end of the first step, peak memory, and the share of the time that ours spends on TensorBoard (scalars and
histograms, after each epoch). Rows: see benchmarks/loops.py. Each is measured in pairs with ours, an epoch by turns, so
that what else the machine does hits both: the ratio is of the seconds of both in a repeat. Photographs: class folders,
trashnet beside the repository by default (--root), of which --images are trained on and a third as many validated; 224
px and batch 16. --data digits: the embedded digits as PNG files, 32 px and batch 64. With a CUDA device also batch 64,
more images, and how long sweeps=lab2_table would take (benchmarks/lab2.py).
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits

from benchmarks.lab2 import TRASHNET, lab2
from benchmarks.measure import ROOT, show, spread
from benchmarks.photographs import subset
from training.device import cpu_has_bf16

ROWS = ("tutorial", "tuned", "lightning", "ceiling")  # beside ours


def main() -> None:
    """Print a table a model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet50", "swin_v2_t"])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), help="see benchmarks/loops.py")
    parser.add_argument("--data", choices=["folder", "digits"], default="folder")
    parser.add_argument("--root", type=Path, default=TRASHNET)
    parser.add_argument("--images", type=int, default=1481 if torch.cuda.is_available() else 96)
    parser.add_argument("--size", type=int, help="px")
    parser.add_argument("--batch", nargs="+", type=int)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    args.size = args.size or (224 if args.data == "folder" else 32)
    photographs = [16, 64] if torch.cuda.is_available() else [16]
    args.batch = args.batch or (photographs if args.data == "folder" else [64])
    print("on a CUDA device" if torch.cuda.is_available() else "no CUDA device: measured on the CPU alone")
    print(f"CPU with{'' if cpu_has_bf16() else 'out'} bf16 instructions")
    with tempfile.TemporaryDirectory() as folder:
        root = args.root if args.data == "folder" else digits(Path(folder, "all"))
        subset(root, Path(folder, "some"), args.images, args.images // 3, args.images // 3)
        for model in args.models:
            for batch in args.batch:
                table(model, Path(folder, "some"), batch, args)
    if not torch.cuda.is_available():
        print("sweeps=lab2_table: not measured, it needs a CUDA device")
    elif args.data == "folder":
        lab2(args.root, args.epochs)


def digits(folder: Path) -> Path:
    """The embedded digits as class folders of PNG files, two thirds of them for training."""
    pixels, labels = load_digits(return_X_y=True)
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        place = folder / ("train", "train", "train", "train", "val", "test")[number % 6] / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image.reshape(8, 8) * (255 / 16)).round().astype(np.uint8)).save(place / f"{number}.png")
    return folder


def by_turns(loops: list[list[str]]) -> list[dict[str, float]]:
    """What benchmarks.loops prints of each of `loops`: one epoch of each in turn, the others stopped."""
    with ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in loops]
        running = []
        for words, output in zip(loops, outputs, strict=True):
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.loops", *words, "by-turns"]
            loop = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
            stack.callback(loop.kill)
            running += [loop] * epoch_ended(loop)
        while running:
            running.reverse()  # whose turn is first
            for loop in list(running):
                loop.send_signal(signal.SIGCONT)
                if not epoch_ended(loop):
                    running.remove(loop)
        for output in outputs:
            output.seek(0)
        texts = [output.read().strip() for output in outputs]
    try:
        return [json.loads(text.splitlines()[-1]) for text in texts]
    except (IndexError, ValueError):
        sys.exit("\n".join(texts))


def epoch_ended(loop: subprocess.Popen[bytes]) -> bool:
    """Wait until a loop stops itself, or ends."""
    _, status = os.waitpid(loop.pid, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        return True
    loop.returncode = os.waitstatus_to_exitcode(status)
    return False


def table(model: str, folder: Path, batch: int, args: argparse.Namespace) -> None:
    """Measure each row in pairs with ours, and print them."""
    found: dict[str, list[dict[str, float]]] = {row: [] for row in ("ours", *args.rows)}
    ratios: dict[str, list[float]] = {row: [] for row in args.rows}
    settings = [model, str(folder), str(args.size), str(batch), str(args.epochs)]
    for repeat in range(args.repeats):
        for row in args.rows if repeat % 2 == 0 else args.rows[::-1]:
            ours, theirs = by_turns([["ours", *settings], [row, *settings]])
            found["ours"].append(ours)
            found[row].append(theirs)
            ratios[row].append(theirs["seconds"] / ours["seconds"])
    lines = []
    for row, results in found.items():
        speeds = [one["images_per_s"] for one in results]
        first, memory, tracked = ([one[name] for one in results] for name in ("first_s", "mb", "tracked"))
        line = [
            row,
            spread(speeds),
            spread(ratios[row]) if row in ratios else "",
            spread(first, ".1f"),
            f"{max(memory):.0f}",
        ]
        lines.append([*line, spread(tracked, ".2%") if row.startswith("ours") else ""])
    title = f"{model}, {args.size} px, batch {batch}, {args.images} images"
    show(title, ["loop", "images/s", "ours / this", "first step, s", "peak MB", "TensorBoard"], lines)


if __name__ == "__main__":
    main()
