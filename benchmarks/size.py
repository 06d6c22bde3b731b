"""How a run grows with its images: what it costs besides training, its speed, its memory.

python -m benchmarks.size [--counts 500 5000 50000] [--cache auto|none] [--root ../shared/data/trashnet]

Photographs, linked as often as it takes, at 64 px and with a linear classifier, so that what is measured is the way of
the images. Two epochs; cold: the first run on this data, warm: the second. `besides`: the whole command less its
training epochs (imports, looking through the images, decoding, evaluation, saving). Memory: the largest resident set,
the pages of the mapped images included, which the system takes back when it needs them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

from benchmarks.jobs import TINY
from benchmarks.measure import ROOT, show


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", nargs="+", type=int, default=[500, 5_000, 50_000])
    parser.add_argument("--cache", default="auto")
    parser.add_argument("--root", type=Path, default=ROOT.parent / "shared" / "data" / "trashnet")
    args = parser.parse_args()
    lines = []
    for count in args.counts:
        with tempfile.TemporaryDirectory() as folder:
            linked(args.root / "train", Path(folder, "data"), count)
            for seed, kind in enumerate(("cold", "warm")):
                lines.append([f"{count:,}", kind, *measured(Path(folder), seed, args.cache)])
    show(f"data.cache={args.cache}", ["images", "", "besides, s", "images/s", "peak MB"], lines)


def linked(source: Path, folder: Path, count: int) -> None:
    """`count` images below `folder`, a folder a class, as hard links (copies where that can't be)."""
    files = sorted(path for path in source.rglob("*") if path.is_file())
    for number, file in enumerate(islice(cycle(files), count)):
        place = folder / file.parent.name / f"{number}{file.suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, place)
        except OSError:
            place.write_bytes(file.read_bytes())


def measured(folder: Path, seed: int, cache: str) -> list[str]:
    """One run, as its row of the table."""
    command = [sys.executable, "train.py", *TINY, "data.size=64", "data=folder", f"data.root={folder / 'data'}"]
    command += [f"sweep.root={folder / 'outputs'}", f"data.cache={cache}", "debug.max_steps=null", "trainer.epochs=2"]
    environment = {**os.environ, "FINEGRID_CACHE": str(folder / "cache")}
    started = time.perf_counter()
    process = subprocess.Popen(
        [*command, f"seed={seed}"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    (record,) = (folder / "outputs").glob(f"*/*/seed={seed}/record.json")
    spent = json.loads(record.read_text())["time"]
    return [
        f"{seconds - sum(spent['epoch_seconds']):.1f}",
        f"{spent['images_per_s']:,.0f}",
        f"{usage.ru_maxrss / 1024:,.0f}",
    ]


if __name__ == "__main__":
    main()
