"""Whether the report's intervals and marks are true by other metrics than accuracy (--metric).

python -m benchmarks.metric_truth [--sweeps 500] [--metrics NAME ...]

Simulated: 5 rows x 3 seeds, 4 classes (50, 25, 15 and 10 % of the images), 350 val and 350 test images of different
difficulty that all rows share, a row's own view of each image, and runs with luck of their own in how sure they are and
how much they favour a class. All rows are equally good. Counted: how often the 95 % intervals cover the truth (of all
rows; of the row that was chosen as the reference; of the differences from it; bar 93.5 %), and in how many sweeps any
row is marked better or worse (bar 6 %), each with three standard errors of the simulation.
"""

import argparse
from collections import Counter

import numpy as np

from analysis.statistics.comparisons import compare_rows
from analysis.statistics.metric_names import ACCURACY, METRICS, Metric
from analysis.statistics.metrics import RunScores, draw_images, in_units, results_by, run_values, value_of
from analysis.statistics.results import RowResults
from benchmarks.measure import show

ROWS, SEEDS, N = 5, 3, 350
SHARES = np.array([0.5, 0.25, 0.15, 0.1])


def main() -> None:
    """Print the table."""
    others = [name for name in METRICS if name != ACCURACY.name]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=500)
    parser.add_argument("--metrics", nargs="*", default=others, choices=others, metavar="NAME")
    args = parser.parse_args()
    truth = true_values([METRICS[name] for name in args.metrics])
    counts = {name: Counter[str]() for name in args.metrics}
    for sweep in range(args.sweeps):
        runs = simulate(np.random.default_rng(sweep))
        for name in args.metrics:
            judge(METRICS[name], runs, truth[name], counts[name])
    table = []
    for name, found in counts.items():
        cells = [ratio(found, *pair) for pair in (("rows in", "rows"), ("chosen in", "chosen"), ("diffs in", "diffs"))]
        table.append([name, f"{truth[name]:.4f}", *cells, ratio(found, "marked", "sweeps")])
    title = f"{args.sweeps} simulated sweeps; intervals that cover, marks"
    show(title, ["metric", "truth", "rows %", "chosen row %", "differences %", "any mark %"], table)


Runs = list[list[tuple[RunScores, RunScores]]]  # val and test of each seed of each row


def simulate(generator: np.random.Generator, n: int = N, rows: int = ROWS, seeds: int = SEEDS) -> Runs:
    """One sweep."""
    labels = np.repeat(np.arange(len(SHARES)), np.round(SHARES * n).astype(int))
    labels = np.concatenate([labels, np.zeros(n - len(labels), dtype=int)])
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


def true_values(metrics: list[Metric]) -> dict[str, float]:
    """What such rows come to, by many runs on many images, in the units of the table."""
    every = simulate(np.random.default_rng(10**6), 20000, 30, 4)
    return {
        metric.name: float(np.mean([value_of(metric, test) for row in every for _, test in row])) * metric.scale
        for metric in metrics
    }


def judge(metric: Metric, runs: Runs, truth: float, counts: "Counter[str]") -> None:
    """Compare the rows of one sweep, and count."""
    drawn = None if metric.by_image else draw_images(runs[0][0][1].labels)
    like = RowResults(np.zeros(1), np.zeros(1), N, n_val=N)
    rows = {
        str(number): results_by(metric, [run_values(metric, val, test, drawn) for val, test in row], like)
        for number, row in enumerate(runs)
    }
    found = in_units(compare_rows(rows, val_image_points=100 / N), metric)
    counts["sweeps"] += 1
    counts["marked"] += any(row.mark in ("worse", "better") for row in found.by_row.values())
    for key, row in found.by_row.items():
        covers = row.test_low <= truth <= row.test_high
        counts.update({"rows": 1, "rows in": covers})
        kind = "chosen" if key == found.reference else "diffs"
        counts.update({kind: 1, f"{kind} in": covers if kind == "chosen" else row.diff_low <= 0 <= row.diff_high})


def ratio(counts: "Counter[str]", part: str, whole: str) -> str:
    """In per cent, with three standard errors of the simulation as far as sweeps are independent."""
    p = counts[part] / max(counts[whole], 1)
    return f"{100 * p:.1f} ± {300 * np.sqrt(max(p * (1 - p), 1e-4) / max(counts['sweeps'], 1)):.1f}"


if __name__ == "__main__":
    main()
