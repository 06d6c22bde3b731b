"""Whether the report's intervals and marks are true by other metrics than accuracy (--metric).

python -m benchmarks.metric_truth [--sweeps 1000] [--jobs 2] [--metrics NAME ...]

Simulated: 5 rows x 3 seeds, 4 classes (50, 25, 15 and 10 % of the images), 350 val and 350 test images of different
difficulty that all rows share, a row's own view of each image, and runs with luck of their own in how sure they are and
how much they favour a class. All rows are equally good. Counted: how often the 95 % intervals cover the truth (of all
rows; of the row that was chosen as the reference; of the differences from it; of the effect of a setting over two
pairs of rows; bar 93.5 %), and in how many sweeps any row is marked better or worse (bar 6 %), each with three standard
errors of the simulation. 1,000 sweeps of all metrics take about three minutes of one core.
"""

import argparse
import multiprocessing
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

from analysis.statistics.comparisons import compare_rows
from analysis.statistics.effects import paired_effect
from analysis.statistics.metric_names import ACCURACY, METRICS, Metric
from analysis.statistics.metrics import RunScores, draw_images, in_units, results_by, run_values, value_of
from analysis.statistics.results import RowResults
from benchmarks.measure import show
from benchmarks.truth_tables import COVER, FALSE, Bars

ROWS, SEEDS, N = 5, 3, 350
SHARES = np.array([0.5, 0.25, 0.15, 0.1])
CHUNK = 25  # sweeps a piece
KINDS = (("rows", "rows %"), ("chosen", "chosen row %"), ("diffs", "differences %"), ("effects", "effects %"))


def main() -> None:
    """Print the table."""
    others = [name for name in METRICS if name != ACCURACY.name]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--metrics", nargs="*", default=others, choices=others, metavar="NAME")
    args = parser.parse_args()
    truth = true_values([METRICS[name] for name in args.metrics])
    counts = {name: Counter[str]() for name in args.metrics}
    with ProcessPoolExecutor(args.jobs, multiprocessing.get_context("forkserver")) as pool:
        starts = range(0, args.sweeps, CHUNK)
        for found in pool.map(piece, [(first, min(CHUNK, args.sweeps - first), truth) for first in starts]):
            for name, one in found.items():
                counts[name].update(one)
    bars, table = Bars(), []
    for name, one in counts.items():
        cells = [bars.share(one, f"{kind} in", kind, COVER, name) for kind, _ in KINDS]
        table.append([name, f"{truth[name]:.4f}", *cells, bars.share(one, "marked", "sweeps", FALSE, name)])
    title = f"{args.sweeps} simulated sweeps; intervals that cover, marks"
    show(title, ["metric", "truth", *(heading for _, heading in KINDS), "any mark %"], table)
    print("\n".join(f"FAIL {line}" for line in bars.failed) or "PASS")


def piece(work: tuple[int, int, dict[str, float]]) -> dict[str, "Counter[str]"]:
    """Counts by metric of so many sweeps from a first one on, of which this is the truth."""
    first, sweeps, truth = work
    counts = {name: Counter[str]() for name in truth}
    drawn = draw_images(labels_of(N))
    with threadpool_limits(1):
        for sweep in range(first, first + sweeps):
            runs = simulate(np.random.default_rng(sweep))
            for name, found in counts.items():
                judge(METRICS[name], runs, truth[name], found, drawn)
    return counts


Runs = list[list[tuple[RunScores, RunScores]]]  # val and test of each seed of each row


def simulate(generator: np.random.Generator, n: int = N, rows: int = ROWS, seeds: int = SEEDS) -> Runs:
    """One sweep."""
    labels = labels_of(n)
    hard = {split: generator.normal(0, 1.0, n) for split in ("val", "test")}
    found: Runs = []
    for _ in range(rows):
        view = {split: generator.normal(0, 0.5, n) for split in hard}
        row = []
        for _ in range(seeds):
            sure, favour = generator.normal(0, 0.15), generator.normal(0, 0.15, len(SHARES))
            scores = []
            for split in ("val", "test"):
                logits = generator.normal(0, 0.7, (n, len(SHARES))) + favour
                logits[np.arange(n), labels] += 2.0 + sure + hard[split] + view[split]
                scores.append(RunScores(labels, logits))
            row.append((scores[0], scores[1]))
        found.append(row)
    return found


def labels_of(n: int) -> np.ndarray:
    """The classes of `n` images, always the same [n]."""
    labels = np.repeat(np.arange(len(SHARES)), np.round(SHARES * n).astype(int))
    return np.concatenate([labels, np.zeros(n - len(labels), dtype=int)])


def true_values(metrics: list[Metric]) -> dict[str, float]:
    """What such rows come to, by many runs on many images, in the units of the table."""
    every = simulate(np.random.default_rng(10**6), 20000, 30, 4)
    return {
        metric.name: float(np.mean([value_of(metric, test) for row in every for _, test in row])) * metric.scale
        for metric in metrics
    }


def judge(metric: Metric, runs: Runs, truth: float, counts: "Counter[str]", drawn: np.ndarray) -> None:
    """Compare the rows of one sweep, and count. `drawn`: draw_images() of its labels."""
    like = RowResults(np.zeros(1), np.zeros(1), N, n_val=N)
    sets = None if metric.by_image else drawn
    rows = {
        str(number): results_by(metric, [run_values(metric, val, test, sets) for val, test in row], like)
        for number, row in enumerate(runs)
    }
    compared = compare_rows(rows, val_image_points=100 / N)
    found = in_units(compared, metric)
    counts["sweeps"] += 1
    counts["marked"] += any(row.mark in ("worse", "better") for row in found.by_row.values())
    for key, row in found.by_row.items():
        covers = row.test_low <= truth <= row.test_high
        counts.update({"rows": 1, "rows in": covers})
        kind = "chosen" if key == found.reference else "diffs"
        counts.update({kind: 1, f"{kind} in": covers if kind == "chosen" else row.diff_low <= 0 <= row.diff_high})
    every = list(rows.values())
    effect = paired_effect([(every[0], every[1]), (every[2], every[3])], compared.noise, 2)
    counts.update({"effects": 1, "effects in": effect is not None and effect.low <= 0 <= effect.high})


if __name__ == "__main__":
    main()
