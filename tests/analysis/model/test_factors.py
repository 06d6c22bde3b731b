"""What matters: effects and an interaction that were built in."""

from pathlib import Path

import numpy as np
from report_runs import report, report_here, run_with, write_run


def test_effects_and_an_interaction_by_construction(tmp_path: Path) -> None:
    """resnet50 is 4 points better than resnet18 throughout; exponential costs resnet18 6 points, and brings 6 to 50."""
    generator = np.random.default_rng(0)
    right = {
        ("resnet18", None): 80,
        ("resnet18", "exponential"): 74,
        ("resnet50", None): 78,
        ("resnet50", "exponential"): 84,
    }
    for number, ((model, name), share) in enumerate(right.items()):
        scheduler = "torch.optim.lr_scheduler.ExponentialLR" if name else None
        for seed in range(4):
            images = np.arange(1000) < 10 * share
            images[generator.integers(0, 1000, 3)] ^= True
            about = {
                "model": model,
                "scheduler": scheduler,
                "params": 11_000_000 if model == "resnet18" else 23_000_000,
            }
            run_with(tmp_path / "sweep", f"{number}aaaaaaaaa", seed, share, images, **about)
    command = [tmp_path / "sweep", "--interaction", "scheduler", "model"]
    text = " ".join(report(*command, cwd=tmp_path, width=200).stdout.split())
    assert "What matters" not in text.partition("scheduler x model")[0] or "(2 matched pairs)" not in text
    assert "model=resnet18: scheduler: exponential against none -6" in text or "none -5.9" in text
    answer = "does the effect of scheduler change with model? yes, the effect rises"
    assert answer in text
    for other in ("csv", "json", "markdown", "latex"):
        beside = report(*command, "--format", other, cwd=tmp_path)
        assert answer in beside.stderr and answer not in beside.stdout, "asked for, so answered in every format"


def test_a_group_is_one_factor_whatever_it_sets(tmp_path: Path) -> None:
    """augment=standard sets three keys, experiment=scratch some of other groups, and each has one line."""
    generator, number = np.random.default_rng(1), 0
    for experiment, epochs, smoothing in (("none", 6, 0.0), ("scratch", 30, 0.1)):
        for augment, flip in (("none", 0.0), ("standard", 0.5)):
            for lr in (1e-3, 1e-2, 1e-1):
                right = np.arange(500) < 400 + 30 * (augment == "standard") + 20 * (experiment == "scratch")
                right[generator.integers(0, 500, 10)] ^= True
                about = {"choices": {"augment": augment, "experiment": experiment, "data": "folder"}, "lr": lr}
                about |= {"flip": flip, "epochs": epochs, "smoothing": smoothing}
                run_with(tmp_path / "sweep", f"{number:02}aaaaaaaa", 0, 80.0, right, **about)
                number += 1
    text = report(tmp_path / "sweep", cwd=tmp_path, width=160).stdout
    lines = [line.split(":")[0].strip() for line in text.partition("What matters")[2].splitlines() if " pairs)" in line]
    assert sorted(lines) == ["augment", "experiment", "lr", "lr"], text
    assert "augment: standard against none +" in text and "(6 matched pairs)" in text
    assert "epochs:" not in text and "label_smoothing" not in text and "augment.flip" not in text


def test_what_an_interaction_can_be_told_of(tmp_path: Path) -> None:
    """Three schedules, of which only one pair is there with both models."""
    cosine, step = (f"torch.optim.lr_scheduler.{name}" for name in ("CosineAnnealingLR", "StepLR"))
    runs = [("resnet18", None), ("resnet18", cosine), ("resnet18", step), ("resnet50", cosine), ("resnet50", step)]

    def said(sweep: Path) -> str:
        command = [sweep, "--interaction", "scheduler", "model"]
        return " ".join(report_here(*command).stdout.split()).partition("What matters")[2]

    for number, (model, scheduler) in enumerate(runs):
        for seed in range(2):
            for sweep in ("once", "twice")[seed:]:
                write_run(
                    tmp_path / sweep, f"{number}aaaaaaaaa", seed, model=model, scheduler=scheduler, test=90 + seed
                )
    assert "2 levels of model have matched rows, but too few to know their noise" in said(tmp_path / "once")
    assert "does the effect of scheduler change with model?" in said(tmp_path / "twice")


def test_levels_without_an_order_have_no_trend(tmp_path: Path) -> None:
    """Three schedules and two models: models have a size, schedules are but names."""
    names = [None, *(f"torch.optim.lr_scheduler.{name}" for name in ("CosineAnnealingLR", "StepLR"))]
    for number, (model, scheduler) in enumerate((model, name) for model in ("resnet18", "resnet50") for name in names):
        for seed in range(2):
            about = {"model": model, "scheduler": scheduler, "test": 80.0 + 3 * number + seed}
            write_run(tmp_path / "sweep", f"{number}aaaaaaaaa", seed, **about)
    by_name = " ".join(report_here(tmp_path / "sweep", "--interaction", "model", "scheduler").stdout.split())
    assert "does the effect of model change with scheduler?" in by_name and "points a level" not in by_name
    by_size = " ".join(report_here(tmp_path / "sweep", "--interaction", "scheduler", "model").stdout.split())
    assert "points a level" in by_size
