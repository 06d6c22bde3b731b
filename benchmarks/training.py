"""How fast a run trains, beside what people write by hand, and beside the bare network.

python -m benchmarks.training [--models resnet18 resnet50 swin_v2_t] [--images 96] [--batches 16 64] [--repeats 3]
python -m benchmarks.training --data digits --models resnet18 --images 640
python -m benchmarks.training --rows ceiling ceiling-kept ours-all-histograms

Images/s over whole epochs (evaluation and saving included, the first epoch left out), seconds from the imported torch
to the end of the first step, peak memory, and the share of the time that ours spends on TensorBoard (scalars and
histograms, after each epoch). Rows: see benchmarks/loops.py. Each is measured in pairs with ours, an epoch by turns, so
that what else the machine does hits both: the ratio is of the seconds of both in a repeat. With --at-once N also N runs
of ours at the same time, without and under MPS, their images/s added up, against one alone. Photographs: class folders,
trashnet beside the repository by default (--root, or noise where that is not there), of which --images are trained on
and a third as many validated; 224 px and batch 16. --data digits: the embedded digits as PNG files, 32 px and batch 64.

With a CUDA device also batches 64 and 256, more images, 4 runs at once, what determinism costs (by operation, where it
is more than a tenth: benchmarks/determinism.py), and how long sweeps=lab2_table would take (benchmarks/lab2.py).
"""

import argparse
import os
import shlex
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits

from benchmarks.lab2 import TRASHNET, lab2, noise
from benchmarks.measure import python, show, spread
from benchmarks.photographs import subset
from benchmarks.processes import Found, by_turns, summed_speed, together
from sweeps.launchers.gpu.cards import read_cards
from sweeps.launchers.gpu.mps import Mps, why_no_mps
from training.device import cpu_has_bf16, describe

ROWS = ("tutorial", "tuned", "lightning", "ceiling")  # beside ours
ON_CUDA = ("ours-plain", "ceiling-free")  # and these on a GPU
COSTS = 0.1  # determinism, from which share on its operations are named
HEADINGS = ["loop", "images/s", "ours / this", "first step, s", "peak MB", "TensorBoard"]


def main() -> None:
    """Print a table a model and batch."""
    cuda = torch.cuda.is_available()
    args = command_line(cuda)
    print(f"command: python -m benchmarks.training {shlex.join(sys.argv[1:])}")
    print(f"hardware: {hardware(cuda)}")
    with tempfile.TemporaryDirectory() as folder:
        root = args.root if args.root.is_dir() else noise(Path(folder, "noise"))
        if args.data == "digits":
            root = digits(Path(folder, "all"))
        subset(root, Path(folder, "some"), args.images, args.images // 3, args.images // 3)
        for model in args.models:
            for batch in args.batches:
                table(model, Path(folder, "some"), batch, args)
    if not cuda:
        print("sweeps=lab2_table: not measured, it needs a CUDA device")
    elif args.data == "folder" and not args.no_lab2:
        lab2(args.root, args.epochs)


def command_line(cuda: bool) -> argparse.Namespace:
    """What is asked for, and by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet50", "swin_v2_t"])
    parser.add_argument("--rows", nargs="+", default=[*ROWS, *ON_CUDA * cuda], help="see benchmarks/loops.py")
    parser.add_argument("--data", choices=["folder", "digits"], default="folder")
    parser.add_argument("--root", type=Path, default=TRASHNET)
    parser.add_argument("--images", type=int, default=1481 if cuda else 96)
    parser.add_argument("--size", type=int, help="px")
    parser.add_argument("--batches", "--batch", nargs="+", type=int)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=4 if cuda else 0, metavar="N", help="runs of ours, 0: none")
    parser.add_argument("--no-lab2", action="store_true", help="leave sweeps=lab2_table out")
    args = parser.parse_args()
    if args.epochs < 2:
        parser.error("--epochs: at least 2, since the first one is left out")
    args.size = args.size or (224 if args.data == "folder" else 32)
    photographs = [16, 64, 256] if cuda else [16]
    args.batches = args.batches or (photographs if args.data == "folder" else [64])
    return args


def hardware(cuda: bool) -> str:
    """What it is measured on, in a line."""
    cores = len(os.sched_getaffinity(0))
    cpu = f"{cores} cores of {describe('cpu')} with{'' if cpu_has_bf16() else 'out'} bf16 instructions"
    gpu = describe("cuda") if cuda else "no CUDA device: measured on the CPU alone"
    return f"{gpu}, {cpu}, torch {torch.__version__}"


def digits(folder: Path) -> Path:
    """The embedded digits as class folders of PNG files, two thirds of them for training."""
    pixels, labels = load_digits(return_X_y=True)
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        place = folder / ("train", "train", "train", "train", "val", "test")[number % 6] / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image.reshape(8, 8) * (255 / 16)).round().astype(np.uint8)).save(place / f"{number}.png")
    return folder


def table(model: str, folder: Path, batch: int, args: argparse.Namespace) -> None:
    """Measure each row in pairs with ours, and print them."""
    found: dict[str, list[Found]] = {row: [] for row in ("ours", *args.rows)}
    ratios: dict[str, list[float]] = {row: [] for row in args.rows}
    settings = [model, str(folder), str(args.size), str(batch), str(args.epochs)]
    for repeat in range(args.repeats):
        for row in args.rows if repeat % 2 == 0 else args.rows[::-1]:
            ours, theirs = by_turns([["ours", *settings], [row, *settings]])
            found["ours"].append(ours)
            found[row].append(theirs)
            ratios[row].append(theirs["seconds"] / ours["seconds"])
    lines = [line(row, results, ratios.get(row, [])) for row, results in found.items() if results]
    if args.at_once:
        lines += at_once(settings, args)
    show(f"{model}, {args.size} px, batch {batch}, {args.images} images", HEADINGS, lines)
    if {"ceiling", "ceiling-free"} <= {*args.rows}:
        cost = statistics.median(ratios["ceiling"]) / statistics.median(ratios["ceiling-free"]) - 1
        print(f"Determinism costs the bare network {max(0.0, cost):.0%} of its time.")
        if cost > COSTS:
            python("-W", "ignore", "-m", "benchmarks.determinism", model, str(args.size), str(batch), show=True)


def line(name: str, results: list[Found], ratios: list[float]) -> list[str]:
    """A row of the table."""
    first, memory, tracked = ([one[key] for one in results] for key in ("first_s", "mb", "tracked"))
    speeds = spread([one["images_per_s"] for one in results])
    times = [spread(ratios) if ratios else "", spread(first, ".1f"), f"{max(memory):.0f}"]
    return [name, speeds, *times, spread(tracked, ".2%") if name.startswith("ours") else ""]


def at_once(settings: list[str], args: argparse.Namespace) -> list[list[str]]:
    """Several runs of ours at the same time, without and under MPS: their images/s together, of how many one alone has
    what share."""
    name, count = f"ours-x{args.at_once}", args.at_once
    loops = [["ours", *settings]] * count
    speeds: dict[str, list[float]] = {"alone": [], name: [], f"{name}-mps": []}
    largest, why = 0.0, ""
    for _ in range(args.repeats):
        speeds["alone"].append(summed_speed(together(loops[:1], {}), args.epochs))
        found = together(loops, {})
        largest = max(largest, sum(one["mb"] for one in found))
        speeds[name].append(summed_speed(found, args.epochs))
        under_mps, why = with_mps(loops, args.epochs)
        speeds[f"{name}-mps"] += under_mps
    rows = []
    for row, those in list(speeds.items())[1:]:
        if not those:
            rows.append([row, f"not measured: {why}", "", "", "", ""])
            continue
        ratios = [one / all_of_them for one, all_of_them in zip(speeds["alone"], those, strict=True)]
        rows.append([row, spread(those), spread(ratios), "", f"{largest:.0f}", ""])
    return rows


def with_mps(loops: list[list[str]], epochs: int) -> tuple[list[float], str]:
    """Images/s of loops that share the first card under MPS; or nothing, and why."""
    name = (os.environ.get("CUDA_VISIBLE_DEVICES") or "0").partition(",")[0]
    card = read_cards([name]).get(name)
    why = why_no_mps(card)
    if why or card is None:
        return [], why
    with tempfile.TemporaryDirectory() as folder:
        mps = Mps.start(card, Path(folder))
        if mps is None:
            return [], "its control daemon did not start"
        try:
            return [summed_speed(together(loops, mps.environment()), epochs)], ""
        finally:
            mps.stop()


if __name__ == "__main__":
    main()
