"""A folder with all that another person needs to train a run again, but for the images and the code."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import yaml

from training.models.checkpoint_file import content_hash, read_checkpoint
from training.provenance.code_version import code_version, same_results
from training.provenance.differences import leaves
from training.provenance.environment import installed
from training.reproducing.again import same_images
from training.reproducing.command import command_of
from training.reproducing.manifest import MANIFEST, PIXELS, rows_of, write_manifest
from training.reproducing.numbers import hash_of
from training.reproducing.original import CSV_COPY, EXPECTED, Original, weights_path, where_images_lie
from training.run_folder import BEST, CARD, HISTORY, RECORD, predictions_file, write_json, write_whole
from training.schema.checks import need

REQUIREMENTS, CONFIG_YAML = "requirements.txt", "config.yaml"
KEPT = (RECORD, HISTORY, predictions_file("val"), predictions_file("test"))
OURS = ("training", "torch", "torchvision", "timm")  # packages whose targets anybody has
WHEEL = re.compile(r"\+(cu\d+|cpu|rocm[\d.]+|xpu)\b")  # of torch, which PyPI has not under that version
INDEX = "https://download.pytorch.org/whl"


def export(original: Original, folder: Path, data: Path | None) -> Iterator[str]:
    """Write it, and say what. Raises ConfigError where the images are not those of the run, or `folder` is in use."""
    need(not folder.exists() or folder.is_dir(), f"--write {folder}: is a file, expected a new folder")
    empty = not folder.exists() or not any(folder.iterdir())
    need(empty, f"--write {folder}: is not empty; choose a new folder")
    config = where_images_lie(original, data)
    dataset = same_images(original, config, data is not None)
    rows = rows_of(dataset, config, whole=True)
    folder.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        if (original.folder / name).is_file():
            shutil.copyfile(original.folder / name, folder / name)
    if config.csv is not None:
        shutil.copyfile(config.csv, folder / CSV_COPY)
    write_manifest(folder / MANIFEST, rows)
    write_json(folder / EXPECTED, _expected(original))
    head = f"# As in {RECORD}, which training.reproduce reads\n"
    text = head + yaml.safe_dump(original.record.config, sort_keys=False, allow_unicode=True)
    write_whole(folder / CONFIG_YAML, text.encode())
    write_whole(folder / REQUIREMENTS, requirements(original).encode())
    write_whole(folder / CARD, readme(original, rows, folder.name).encode())
    files = sum(not row[0].startswith(PIXELS) for row in rows.values())
    yield f"wrote {folder}: {len(rows)} images in {MANIFEST} ({files} of them files), {REQUIREMENTS}, {CONFIG_YAML}"
    if not same_results(original.record.code_version):
        yield (
            f"note: the run was made by version {original.record.code_version} of the code, this is {code_version()}: "
            "give the code of that version along"
        )
    if not original.record.versions.packages:
        yield f"note: the run's packages are not recorded; {REQUIREMENTS} has what is installed here now"


def _expected(original: Original) -> dict[str, str]:
    expected = dict(original.expected)
    if (original.folder / BEST).is_file():
        expected["weights_sha256"] = hash_of(read_checkpoint(original.folder / BEST)[0])
    if command := command_of(original):
        expected["command"] = command
    return expected


def requirements(original: Original) -> str:
    """For `pip install -r`: all packages in the versions that the run had, where its record knows them."""
    recorded = original.record.versions.packages
    lines = (recorded or installed()).split()
    lines = [line for line in lines if line.partition("==")[0] not in ("finegrid", "pip")]
    wheels = sorted({found[1] for line in lines if (found := WHEEL.search(line))})
    python = original.record.versions.python
    head = f"# Python {python}; " + ("as the run had them" if recorded else "not recorded: as installed at the export")
    urls = [f"--extra-index-url {INDEX}/{one}" for one in wheels]
    return "\n".join([head, *urls, *lines]) + "\n"


def own_modules(original: Original) -> list[str]:
    """Modules that the config names and that come neither with finegrid nor with torch."""
    targets = [str(value) for key, value in leaves(original.record.config or {}) if key.endswith("_target_") and value]
    lists = [asdict(original.config)["augment"]["own"], asdict(original.config)["trainer"]["techniques"]]
    targets += [str(one.get("_target_")) for some in lists for one in some]
    return sorted({one.rpartition(".")[0] for one in targets if one.partition(".")[0] not in OURS} - {""})


def readme(original: Original, rows: dict[str, tuple[str, str, str]], name: str) -> str:
    """How to go about it."""
    record, config = original.record, original.config
    files = any(not row[0].startswith(PIXELS) for row in rows.values())
    own = own_modules(original)
    options = " --data ROOT" * files + " --weights FILE" * bool(config.weights.path)
    options += "".join(f" --trust {module}" for module in own)
    try:
        release = version("finegrid")
    except PackageNotFoundError:
        release = "?"
    steps = [
        f"Python {record.versions.python}, and `pip install -r {REQUIREMENTS}`.",
        f"finegrid {release}, whose `python -m training.code_version` is `{record.code_version}`"
        + (f" or `{code_version()}`, known to give the same results." * same_results(record.code_version) or "."),
    ]
    if files:
        steps.append(
            f"The {len(rows)} images below a folder, ROOT, named as in `{MANIFEST}` (which has SHA-256, class, split)."
        )
    if config.weights.path:
        steps.append(f"FILE, the checkpoint that it began with: {_checkpoint(original)}.")
    if own:
        steps.append(f"The user's own code, importable where the command is given: {', '.join(own)}.")
    on = f"{record.resolved.device} ({record.resolved.device_name})"
    steps.append(f"For the same bits: {on}, {record.threads} CPU threads; the command takes the threads by itself.")
    command = command_of(original)
    return "\n".join(
        [
            f"# {record.settings.model}, seed {record.seed}: a run to train again",
            "",
            f"Status {record.status} after {record.epochs_run} epochs; val {_percent(record.val.acc)}, test "
            f"{_percent(record.test.acc)}. What it takes:",
            "",
            *(f"{number}. {step}" for number, step in enumerate(steps, 1)),
            "",
            "Then, in the folder of finegrid:",
            "",
            f"    python -m training.reproduce {name}{options}",
            "",
            "It compares the images with the manifest, names those that differ, trains, and says whether the numbers "
            "are the same to the bit (exit code 0) or by how much they differ (1); 2: something is missing.",
            "",
            f"The config is in `{CONFIG_YAML}`." + (" The command was:" if command else ""),
            *(["", f"    {command}"] if command else []),
            "",
        ]
    )


def _percent(value: float | None) -> str:
    return "not known" if value is None else f"{value:.2f} %"


def _checkpoint(original: Original) -> str:
    path = weights_path(original, None)
    found = Path(path) / BEST if path and Path(path).is_dir() else Path(path or "")
    known = f"`{original.record.resolved.weights}` in the record"
    return f"{found.name}, SHA-256 `{content_hash(found)}`" if found.is_file() else f"{found.name}, {known}"
