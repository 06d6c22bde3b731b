"""The run that is to be trained again, from its folder alone, and a config that trains it here as it was."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from training.config import RunConfig, SweepConfig, TrackingConfig, TrainerConfig
from training.device import resolve_compute
from training.errors import ConfigError
from training.finished.finished_runs import config_of
from training.record import Record, read_record, unreadable
from training.run_folder import CONFIG, read_history, read_json, read_text
from training.schema.checks import AUTO, need
from training.schema.data_config import DataConfig

SWEEP = "reproduced"  # the folder below --out
EXPECTED = "expected.json"  # of an exported folder: what lies in the run folder alone
FORMATS = ("contiguous", "channels_last")
CSV_COPY = "images.csv"  # of an exported folder: data.csv


@dataclass(frozen=True)
class Original:
    """`folder`: of the run, or one that --write has made; `expected`: what the latter says, else {}."""

    folder: Path
    record: Record
    config: RunConfig
    expected: dict[str, Any]

    @property
    def history(self) -> list[dict[str, float]]:
        """Its history.csv."""
        return read_history(self.folder)

    @property
    def epochs(self) -> int:
        """How many it trained."""
        return self.record.epochs_run or 0


def read_original(folder: Path) -> Original:
    """Raises ConfigError for a folder without a run that has a result."""
    need(folder.is_dir(), f"{folder}: no such folder, and no run under outputs/ is called so")
    if why := unreadable(folder):
        raise ConfigError(f"{folder}: {why}")
    record = read_record(folder)
    if record is None:
        going = (folder / CONFIG).exists()
        hint = "has no record yet: it is training, or was interrupted and its command goes on" if going else "no run"
        raise ConfigError(f"{folder}: {hint}; expected the folder of a run that has ended")
    need(
        not record.is_soup, f"{folder}: averaged weights, which were not trained; reproduce the runs that it is made of"
    )
    failed = f"failed ({record.failure.kind}: {' '.join(str(record.failure.message).split())[:200]})"
    need(record.status != "failed", f"{folder}: this run {failed}, so there are no numbers to come to again")
    need(
        bool(record.epochs_run), f"{folder}: its record names no epoch that was trained, so there is nothing to compare"
    )
    return Original(folder, record, config_of(record, folder), read_json(folder / EXPECTED))


def as_it_was(original: Original, out: Path, device: str | None, threads: int | None) -> RunConfig:
    """The config with all that was resolved, for a run below `out`. `device`, `threads`: others than those of the run.
    Raises ConfigError where this machine hasn't such a device."""
    config, record = original.config, original.record
    trainer = replace(config.trainer, threads=threads or record.threads or AUTO)
    return replace(
        config,
        trainer=_on_device(trainer, original, device, config.data.size),
        tracking=TrackingConfig(tensorboard=False, histograms_every=0),  # they only watch
        sweep=SweepConfig(name=SWEEP, root=str(out)),
    )


def _on_device(trainer: TrainerConfig, original: Original, asked: str | None, size: int) -> TrainerConfig:
    resolved = original.record.resolved
    recorded = resolved.device or trainer.device
    same_kind = asked is None or asked.partition(":")[0] == recorded.partition(":")[0]
    if same_kind:  # else as the config asks for it, on whatever that is
        kept = {
            "precision": resolved.precision if resolved.precision in ("fp32", "bf16", "fp16") else None,
            "memory_format": resolved.memory_format if resolved.memory_format in FORMATS else None,
        }
        trainer = replace(trainer, **{name: value for name, value in kept.items() if value})  # type: ignore[arg-type]
    choices = [asked] if asked else list(dict.fromkeys([recorded, recorded.partition(":")[0]]))
    for choice in choices:
        chosen = replace(trainer, device=choice)
        if trainer.capture is True and not choice.startswith("cuda"):
            chosen = replace(chosen, capture=AUTO)  # a CUDA graph is the same to the bit: no reason to refuse
        try:
            resolve_compute(chosen, size)
        except ConfigError:
            if choice == asked:
                raise
            continue
        return chosen
    on = f"{recorded} ({resolved.device_name})" if resolved.device_name else recorded
    raise ConfigError(
        f"{original.folder}: trained on {on}, which this machine doesn't have; --device cpu trains it here, with other "
        "rounding"
    )


def where_images_lie(original: Original, data: Path | None) -> DataConfig:
    """The data config with the folder or CSV where the images lie now. `data`: where the user says that they do.
    Raises ConfigError for one that has none. A relative path is one of the folder that the run was started in."""
    config = replace(original.config.data, verify=True)
    if data is not None:
        need(data.exists(), f"--data {data}: no such folder")
        places = bool(config.root or config.csv)
        need(places, f"--data {data}: the images of this run ({config._target_}) lie in no folder; leave it out")
        if config.csv is None:
            return replace(config, root=str(data))
        if data.is_file():
            return replace(config, csv=str(data))
        copy = original.folder / CSV_COPY
        return replace(config, root=str(data), csv=str(copy) if copy.is_file() else _found(original, config.csv))
    return replace(config, root=_found(original, config.root), csv=_found(original, config.csv))


def weights_path(original: Original, given: Path | None) -> str | None:
    """Where the initial weights lie, of a run that began with a checkpoint. Raises ConfigError."""
    path = original.config.weights.path
    need(given is None or path is not None, f"--weights {given}: this run began with no checkpoint; leave it out")
    return str(given) if given is not None else _found(original, path)


def _found(original: Original, path: str | None) -> str | None:
    """`path`, or where it was seen from when the run was started."""
    if path is None or Path(path).is_absolute() or Path(path).exists():
        return path
    started_in = (hydra_file(original.folder, "hydra.yaml") or {}).get("hydra") or {}
    runtime = started_in.get("runtime") if isinstance(started_in, dict) else None
    there = Path(str(runtime.get("cwd"))) / path if isinstance(runtime, dict) else Path(path)
    return str(there) if there.exists() else path


def hydra_file(folder: Path, name: str) -> Any:
    """What Hydra left in .hydra/ of a run folder; None where it can't be read."""
    try:
        return yaml.safe_load(read_text(folder / ".hydra" / name))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return None


def overrides_of(folder: Path) -> list[str] | None:
    """The KEY=VALUEs of the run's command; None where they aren't known."""
    found = hydra_file(folder, "overrides.yaml")
    return [str(one) for one in found] if isinstance(found, list) else None
