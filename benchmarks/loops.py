"""One training loop in a process of its own, for benchmarks/training.py: prints what it took as JSON.

python -m benchmarks.loops ROW MODEL FOLDER SIZE BATCH EPOCHS [by-turns | together]

By turns: it stops itself (SIGSTOP) after every epoch and goes on at SIGCONT, so that another loop can train meanwhile.
Together: after the first epoch alone, so that several loops go on at the same moment.

ROW: ours (-untracked: without TensorBoard; -all-histograms: of every layer; -fp32: not in bf16; -plain: without
CUDA graphs); tutorial (DataLoader, defaults); tuned (the same with channels_last and bf16 where the machine has it);
lightning (its Trainer, the same precision). These have 2 loader workers, on a GPU as many as cores, at most 8, which
stay from epoch to epoch, and pinned memory. ceiling: the bare network on batches that lie in memory, same precision and
layout, on a GPU as CUDA graphs, evaluation too, with trainer.deterministic as ours (-free: not deterministic there;
-eager: without graphs; -kept: on a CPU it keeps freed memory, as ours does). All evaluate on val after each epoch, and
all but the ceilings save. FOLDER: class folders below train/, val/ and test/. The first epoch is not counted. On a GPU
where there is one, else on the CPU.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision

from benchmarks.ceiling import ceiling
from benchmarks.loop_setting import CLOCK, Setting, now
from benchmarks.peers import by_hand, lightning
from training.config import TrainerConfig
from training.device import for_network, resolve_compute
from training.models.layers import depthwise_share

STARTED = time.perf_counter()
TRACKED: list[float] = []  # seconds that ours spent on TensorBoard after each epoch
STOPS = {"by-turns": "each", "together": "first"}


def main() -> None:
    """Run the row that the command line names."""
    row, model, folder, size, batch, epochs = sys.argv[1:7]
    CLOCK.stops = STOPS[sys.argv[7]] if sys.argv[7:] else "never"  # type: ignore[assignment]
    compute = for_network(resolve_compute(TrainerConfig(), int(size)), TrainerConfig(), int(size), lambda: share(model))
    setting = Setting(model, Path(folder), int(size), int(batch), int(epochs), compute)
    first = ROWS[row](setting)
    images = sum(1 for _ in Path(folder, "train").rglob("*.*"))
    seconds = sum(CLOCK.epochs[1:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    if setting.cuda:
        peak = torch.cuda.max_memory_reserved() // 1024
    speed = images * (len(CLOCK.epochs) - 1) / seconds
    found = {"images_per_s": speed, "seconds": seconds, "first_s": first - STARTED, "mb": peak / 1024}
    print(json.dumps(found | {"tracked": sum(TRACKED[1:]) / seconds, "span": CLOCK.span, "images": images}))


def share(model: str) -> float:
    """Of the channels of one of torchvision's networks that depthwise convolutions make."""
    with torch.device("meta"):
        return depthwise_share(torchvision.models.get_model(model))


def ours(setting: Setting, *more: str) -> float:
    """A run of finegrid, with its defaults and what `more` overrides."""
    from hydra import compose, initialize_config_dir

    from sweeps.hydra_glue.compose import run_config, set_hydra_defaults
    from training.engine import checkpoint as state
    from training.engine import loop
    from training.engine.prepare import prepare
    from training.engine.run import run
    from training.engine.tracking.tensorboard import Tracker

    set_hydra_defaults()
    state.time = CLOCK  # type: ignore[assignment]
    steps: list[float] = []
    before = loop.Trainer._step

    def step(self: Any) -> Any:  # the end of the first one; costs a microsecond
        result = before(self)
        if not steps:
            steps.append(now())
        return result

    def track(*given: Any) -> None:
        started = time.perf_counter()
        tracked(*given)
        TRACKED.append(time.perf_counter() - started)

    tracked = Tracker.epoch
    loop.Trainer._step, Tracker.epoch = step, track  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as root:
        overrides = [*model_overrides(setting.model), "data=folder", f"data.root={setting.folder}"]
        overrides += [f"data.size={setting.size}", f"trainer.batch_size={setting.batch}", "augment=flip"]
        overrides += [f"trainer.epochs={setting.epochs}", f"sweep.root={root}", *more]
        with initialize_config_dir(str(Path(__file__).parents[1] / "conf")):
            config = compose("config", overrides)
        run(prepare(run_config(config)), lambda _: CLOCK.epoch())
    return steps[0]


def model_overrides(model: str) -> list[str]:
    """What makes it ours: a file of conf/model, or any of torchvision's."""
    known = (Path(__file__).parents[1] / "conf" / "model" / f"{model}.yaml").exists()
    return [f"model={model}"] if known else ["model=torchvision", f"model.name={model}"]


ROWS: dict[str, Callable[[Setting], float]] = {
    "ours": ours,
    "ours-untracked": lambda setting: ours(setting, "tracking=none"),
    "ours-all-histograms": lambda setting: ours(setting, "tracking.histogram_layers=[all]"),
    "ours-fp32": lambda setting: ours(setting, "trainer.precision=fp32", "trainer.memory_format=contiguous"),
    "ours-plain": lambda setting: ours(setting, "trainer.capture=false"),
    "tutorial": lambda setting: by_hand(setting, tuned=False),
    "tuned": lambda setting: by_hand(setting, tuned=True),
    "lightning": lightning,
    "ceiling": ceiling,
    "ceiling-free": lambda setting: ceiling(setting, deterministic=False),
    "ceiling-eager": lambda setting: ceiling(setting, recorded=False),
    "ceiling-kept": lambda setting: ceiling(setting, kept=True),
}

if __name__ == "__main__":
    main()
