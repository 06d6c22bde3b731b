"""What pruning saves and what it costs: hyperband against none.

python -m benchmarks.pruning            replays 200 searches of 30 trials on the recorded curves
python -m benchmarks.pruning --real     and one real search of 12 trials with each
python -m benchmarks.pruning --record   trains the 60 configurations anew (about 10 minutes on 2 cores)

The curves (benchmarks/curves.csv: trial, epoch, val_acc) are those of 60 random configurations of a small convolutional
network on the digits, 27 epochs each. A replayed search takes 30 of them in random order and asks the pruner after
every epoch. `lost`: by how much the best val accuracy of the configuration chosen lies below that of the same search
without pruning.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from omegaconf import OmegaConf

from benchmarks.measure import ROOT, python, show

CURVES = Path(__file__).with_name("curves.csv")
EPOCHS = 27
SEARCH = [
    "hydra/sweeper=optuna_async",
    "hydra/sweeper/sampler=random",
    "hydra.sweeper.sampler.seed=0",
    "hydra.launcher.slots=2",
    "model._target_=benchmarks.jobs.small_cnn",
    "model.name=small_cnn",
    "+model.kwargs.width=choice(4,8,16)",
    "optimizer=choice(adamw,sgd)",
    "optimizer.lr=tag(log,interval(1e-4,1))",
    "optimizer.weight_decay=tag(log,interval(1e-6,1e-1))",
    "scheduler=choice(none,cosine,onecycle)",
    "trainer.batch_size=choice(32,64,128)",
    "trainer.label_smoothing=choice(0.0,0.1)",
    f"trainer.epochs={EPOCHS}",
    "tracking=none",
]


def record() -> None:
    """Train 60 configurations without pruning, and keep their curves."""
    with tempfile.TemporaryDirectory() as folder:
        python("train.py", "-m", f"sweep.root={folder}", *SEARCH, "hydra.sweeper.n_trials=60", check=False)
        files = sorted(Path(folder).rglob("history.csv"))
        curves = [pd.read_csv(file)[["epoch", "val_acc"]].assign(trial=number) for number, file in enumerate(files)]
    whole = [curve for curve in curves if len(curve) == EPOCHS]
    table = pd.concat(whole)[["trial", "epoch", "val_acc"]]
    table["val_acc"] = table["val_acc"].round(4)
    table.to_csv(CURVES, index=False)
    print(f"{len(whole)} curves in {CURVES}")


def replay(name: str, curves: np.ndarray, order: np.ndarray, pruner: optuna.pruners.BasePruner) -> tuple[int, float]:
    """Epochs spent by one search, and the best val accuracy of the configuration that it chose."""
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(study_name=name, direction="maximize", pruner=pruner, sampler=sampler)
    spent, chosen = 0, -1.0
    for index in order:
        trial = study.ask()
        for epoch, value in enumerate(curves[index], start=1):
            spent += 1
            trial.report(value, epoch)
            if epoch < EPOCHS and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            best = float(curves[index].max())
            study.tell(trial, best)
            chosen = max(chosen, best)
    return spent, chosen


def hyperband() -> optuna.pruners.BasePruner:
    """The pruner as `hydra/sweeper/pruner=hyperband` makes it."""
    config = OmegaConf.load(ROOT / "conf" / "hydra" / "sweeper" / "pruner" / "hyperband.yaml")
    config.max_resource = EPOCHS  # ${trainer.epochs}
    settings = {str(key): value for key, value in config.items() if key != "_target_"}
    return optuna.pruners.HyperbandPruner(**settings)


def real() -> None:
    """One search of 12 trials, with and without."""
    rows = []
    for pruner in ("none", "hyperband"):
        with tempfile.TemporaryDirectory() as folder:
            seconds = python(
                "train.py",
                "-m",
                f"sweep.root={folder}",
                *SEARCH,
                f"hydra/sweeper/pruner={pruner}",
                "hydra.sweeper.n_trials=12",
            )
            records = [json.loads(file.read_text()) for file in Path(folder).rglob("record.json")]
        epochs = sum(record["epochs_run"] for record in records)
        best = max(record["val"]["acc"] for record in records if record["status"] == "done")
        rows.append([pruner, str(len(records)), str(epochs), f"{best:.2f}", f"{seconds:.0f}"])
    show("One real search of 12 trials", ["pruner", "trials", "epochs", "best val acc", "seconds"], rows)


def main() -> None:
    """Replay, and whatever else was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--searches", type=int, default=200)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--real", action="store_true")
    options = parser.parse_args()
    if options.record:
        record()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    curves = pd.read_csv(CURVES).pivot(index="trial", columns="epoch", values="val_acc").to_numpy()
    random = np.random.default_rng(0)
    shares, lost = [], []
    for number in range(options.searches):
        order = random.permutation(len(curves))[:30]
        spent, chosen = replay(f"search {number}", curves, order, hyperband())
        shares.append(100 * spent / (30 * EPOCHS))
        lost.append(float(curves[order].max()) - chosen)
    rows = [
        ["none", "100.0", "0.00", "0.00"],
        [
            "hyperband",
            f"{statistics.mean(shares):.1f} ({min(shares):.1f} to {max(shares):.1f})",
            f"{statistics.mean(lost):.3f}",
            f"{max(lost):.2f}",
        ],
    ]
    title = f"{options.searches} searches of 30 trials, replayed on {len(curves)} curves of {EPOCHS} epochs"
    show(title, ["pruner", "epochs, per cent", "val acc lost, mean", "lost at most"], rows)
    if options.real:
        real()


if __name__ == "__main__":
    main()
