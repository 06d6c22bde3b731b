"""How long the report takes over many runs: cold (nothing indexed) and warm, and how both grow.

python -m benchmarks.report [--runs 1000 10000] [--repeats 3]

The folders are synthetic: records as training writes them, two seeds a configuration, predictions of 350 test images.
What is timed is a whole process of `python -m analysis.report FOLDER`. Bars on 2 cores, 10,000 runs: 30 s cold, 4 s
warm, below 1 GB.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.measure import ROOT, show, spread
from training.run_folder import CONFIG, HISTORY, RECORD, predictions_file

MODELS = ["resnet18", "resnet34", "resnet50", "resnet101"]
CLASSES, N_VAL, N_TEST, EPOCHS = 4, 165, 350, 20
CODE = """import resource, sys
from analysis.report import main
main(sys.argv[1:])
peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(max(peaks), file=sys.stderr)
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    table = []
    for count in args.runs:
        with tempfile.TemporaryDirectory() as folder:
            sweep = Path(folder) / "sweep"
            make(sweep, count)
            cold, warm, peak = [], [], 0.0
            for _ in range(args.repeats):
                for file in sweep.glob(".*"):
                    file.unlink()
                seconds, first = timed(sweep)
                cold.append(seconds)
                seconds, second = timed(sweep)
                warm.append(seconds)
                peak = max(peak, first, second)
            table.append([f"{count}", spread(cold, ".1f"), spread(warm, ".2f"), f"{peak:.0f}"])
    show("python -m analysis.report", ["runs", "cold, s", "warm, s", "peak memory, MB"], table)


def timed(sweep: Path) -> tuple[float, float]:
    """Seconds and peak memory (MB, of the largest process) of one report."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(sweep)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return time.perf_counter() - started, int(done.stderr.split()[-1]) / 1024


def make(sweep: Path, count: int) -> None:
    """So many run folders, two seeds for each configuration."""
    generator = np.random.default_rng(0)
    labels = np.arange(N_TEST) % CLASSES
    names = np.array([f"test/{number:04}.jpg" for number in range(N_TEST)])
    example = json.loads((ROOT / "benchmarks" / "record.json").read_text())
    for number in range(count):
        configuration, seed = divmod(number, 2)
        logits = generator.normal(0, 1, (N_TEST, CLASSES)).astype(np.float32)
        logits[np.arange(N_TEST), labels] += 3
        identity = f"{configuration:010x}"
        model = MODELS[configuration % 4]
        record = json.loads(json.dumps(example)) | {"identity": identity, "seed": seed}
        record["config"]["model"]["name"] = model
        record["config"]["optimizer"]["lr"] = 10 ** -(1 + configuration / count * 8)
        record["config"]["trainer"]["batch_size"] = 16 * (1 + configuration // 4 % 4)
        record["val"]["acc"] = 100 * float(generator.binomial(N_VAL, 0.97)) / N_VAL
        record["test"]["acc"] = 100 * float((logits.argmax(1) == labels).mean())
        record["data"]["n"] = {"train": 1481, "val": N_VAL, "test": N_TEST}
        folder = sweep / f"{model}-{identity}" / f"seed={seed}"
        folder.mkdir(parents=True)
        (folder / RECORD).write_text(json.dumps(record, indent=1))
        (folder / CONFIG).write_text(json.dumps(record, indent=1))
        lines = [f"{epoch},0.001,0.5,90,0.4,{generator.normal(95, 1):.6f},1,10,148" for epoch in range(EPOCHS)]
        head = "epoch,lr,train_loss,train_acc,val_loss,val_acc,grad_norm,seconds,images_per_s"
        (folder / HISTORY).write_text("\n".join([head, *lines]) + "\n")
        np.savez_compressed(folder / predictions_file("test"), id=names, label=labels, logits=logits)


if __name__ == "__main__":
    main()
