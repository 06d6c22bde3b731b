"""A soup: the averaged weights of a sweep's runs that began at one point, as a run folder of its own.

python -m training.soup outputs/grid
python -m training.soup outputs/grid --model resnet50 --out soups/resnet50

Greedy model soup (Wortsman et al. 2022, arXiv 2203.05482): runs from the best by val on, each put into the average if
val accuracy doesn't fall by it. Val is evaluated with the real network, test once, at the end. BatchNorm's running
statistics are averaged as the other tensors are, not measured anew; whole numbers (its counters) are the best run's.
A head that began at random differs with the seed: such runs mix worse than runs of one seed, or of a checkpoint that
has the head already. The folder that comes out is one for training.predict, weights=checkpoint and the report.
"""

import argparse
import hashlib
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.config import need
from training.errors import ConfigError
from training.finished.finished_runs import FinishedRun, comparable, done_runs, largest_group, warn
from training.progress import bar
from training.record import (
    Record,
    Scores,
    Times,
    from_keys,
    read_record,
    timestamp,
    to_keys,
    write_beginning,
    write_record,
)
from training.record import Soup as SoupRecord
from training.run_folder import BEST, MISTAKES, write_json, write_whole

if TYPE_CHECKING:
    from torch import Tensor

    from training.engine.metrics import Predictions
    from training.finished.rebuilt import Rebuilt

WHY = (
    "networks that began at different random weights lie in different valleys, and their average in none; "
    "begin with weights=default or weights=checkpoint"
)
NO_SHAPE = {"drop_path", "dropout", "accepts", "weights"}  # of a model's config: what leaves its tensors as they are


@dataclass
class Soup:
    """The mean of some runs' weights: `total` in float64, and what is no float from the first."""

    members: list[FinishedRun]
    first: "dict[str, Tensor]"
    total: "dict[str, Tensor]"
    val_acc: float  # per cent
    started: datetime
    tried: list[dict[str, Any]] = field(default_factory=list)

    def weights(self) -> "dict[str, Tensor]":
        """The mean, in the members' own types."""
        return mean(self.total, len(self.members), self.first)


def mean(total: "dict[str, Tensor]", count: int, first: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """`total` divided by `count`, completed by what is in `first` alone."""
    return {name: (total[name] / count).to(one.dtype) if name in total else one for name, one in first.items()}


def group(members: list[FinishedRun], where: Path, model: str | None) -> list[FinishedRun]:
    """The largest group of runs that can be averaged, the best first. Raises ConfigError."""
    if model is not None:
        names = sorted({str(member.record.settings.model) for member in members})
        members = [member for member in members if model in (member.record.settings.model, member.config.model.called)]
        need(bool(members), f"--model {model}: no finished runs of it in {where}; there are {', '.join(names)}")
    started = [member for member in members if member.record.resolved.weights != "none"]
    need(bool(started), f"{where}: every finished run has weights=none, which makes no soup: {WHY}")
    there = [member for member in started if (member.folder / BEST).is_file()]
    need(bool(there), f"{where}: no {BEST} in its run folders")
    found = largest_group(there, kin)
    enough = len(found) > 1
    need(enough, f"{where}: no two finished runs share model, starting weights, images and preprocessing: no soup")
    others = len(members) - len(found)
    if others:
        warn(f"{others} of the {len(members)} finished runs can't be averaged with the other {len(found)}: left out")
    return found


def kin(member: FinishedRun) -> tuple[object, ...]:
    """What has to agree: architecture, starting point, images, and how they come to the network."""
    data, resolved = member.config.data, member.record.resolved
    model = {name: value for name, value in asdict(member.config.model).items() if name not in NO_SHAPE}
    return (
        *member.same_data,
        comparable(model),
        resolved.weights,
        resolved.normalize,
        data.size,
        data.stored,
        data.resize,
    )


def choose(members: Sequence[FinishedRun], rebuilt: "Rebuilt") -> Soup:
    """Choose on val. `members`: the best by val first. Raises ConfigError."""
    started, first = datetime.now(UTC), rebuilt.weights_of(members[0])
    total = {name: one.double() for name, one in first.items() if one.is_floating_point()}
    soup = Soup([members[0]], first, total, rebuilt.evaluate(first, "val").accuracy, started)
    known = members[0].val_acc
    if abs(soup.val_acc - known) > 1e-6:
        warn(f"{members[0].name}: val acc {soup.val_acc:.2f} here, {known:.2f} in its record")
    with bar("averaging", len(members) - 1) as advance:
        for member in members[1:]:
            weights = rebuilt.weights_of(member)
            total = {name: one + weights[name].double() for name, one in soup.total.items()}
            count = len(soup.members) + 1
            val_acc = rebuilt.evaluate(mean(total, count, first), "val").accuracy
            taken = val_acc >= soup.val_acc
            soup.tried.append({"run": member.name, "val_acc": val_acc, "taken": taken})
            if taken:
                soup = replace(soup, members=[*soup.members, member], total=total, val_acc=val_acc)
            advance()
    return soup


def name_of(soup: Soup) -> str:
    """Ten hex digits that name a soup: those of its members, and of their weights."""
    parts = []
    for member in soup.members:
        with (member.folder / BEST).open("rb") as file:
            parts.append([member.identity, member.seed, hashlib.file_digest(file, "sha256").hexdigest()])
    return hashlib.sha256(json.dumps(["soup", sorted(parts)]).encode()).hexdigest()[:10]


def leave(soup: Soup, rebuilt: "Rebuilt", out: Path | None, candidates: int) -> tuple[Path, Record]:
    """Read test, and leave a run folder; gives it and its record. Raises ConfigError where another run lies there."""
    from training.engine.mistakes import worst_mistakes
    from training.engine.run import head_of_record, save_predictions

    identity, sweep = name_of(soup), soup.members[0].folder.parents[1]
    folder = out or sweep / f"soup-{soup.members[0].record.settings.model}-{identity}" / "seed=0"
    there = read_record(folder)
    need(there is None or there.is_soup, f"{folder}: a run lies there already; choose another --out")
    prepared = rebuilt.prepared(f"soup of {len(soup.members)}", identity, sweep.absolute())
    weights = soup.weights()
    found = rebuilt.evaluate(weights, "val"), rebuilt.evaluate(weights, "test")
    about = head_of_record(prepared)
    write_beginning(folder, about)
    save_predictions(folder, prepared, *found)
    write_json(folder / MISTAKES, {"images": worst_mistakes(rebuilt.dataset, found[1])})
    write_whole(folder / BEST, rebuilt.best_weights_file(weights, identity))
    record = replace(about, **outcome(soup, rebuilt, found, candidates))
    write_record(folder, record)
    return folder, record


def outcome(
    soup: Soup, rebuilt: "Rebuilt", found: "tuple[Predictions, Predictions]", candidates: int
) -> dict[str, Any]:
    """What a record says of how it ended, as attributes: as a run's, and how the soup was made."""
    from training.engine.metrics import summarize
    from training.finished.paired import compare

    (val, test), best, classes = found, soup.members[0], rebuilt.dataset.classes
    single = rebuilt.evaluate(soup.first, "test")
    right, single_right = (one.logits.argmax(1) == one.labels for one in (test, single))
    return {
        "params": sum(parameter.numel() for parameter in rebuilt.model.parameters()),
        "threads": rebuilt.threads,
        "status": "done",
        "epochs_run": 0,
        "val": from_keys(Scores, summarize(val, classes)),
        "test": from_keys(Scores, summarize(test, classes)),
        "soup": SoupRecord(
            size=len(soup.members),
            candidates=candidates,
            members=[
                {"run": one.name, "identity": one.identity, "seed": one.seed, "val_acc": one.val_acc}
                for one in soup.members
            ],
            weights=best.record.resolved.weights,
            tried=soup.tried,
            best_single={"run": best.name, "test_acc": single.accuracy},
            against_best_single=compare(right, single_right),
        ),
        "time": Times(
            started=timestamp(soup.started),
            finished=timestamp(now := datetime.now(UTC)),
            minutes=(now - soup.started).total_seconds() / 60,
            host=platform.node(),
            process=os.getpid(),
        ),
    }


def show(record: Record) -> None:
    """What came out."""
    from rich.console import Console
    from rich.table import Table

    from training.finished.paired import told

    soup = to_keys(record.soup)
    table = Table(box=None, pad_edge=False)
    table.add_column("run", overflow="fold")
    for heading in ("val_acc", "test_acc"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in soup["members"]:
        test = f"{soup['best_single']['test_acc']:.2f}" if one["run"] == soup["best_single"]["run"] else ""
        table.add_row(one["run"], f"{one['val_acc']:.2f}", test)
    table.add_section()
    name = f"soup of {soup['size']} of {soup['candidates']}"
    table.add_row(name, f"{record.val.acc:.2f}", f"{record.test.acc:.2f}")
    console = Console()
    console.print(table)
    lines = (
        told("the soup", soup["against_best_single"], "the best single run"),
        f"It was chosen on the same {record.val.n} val images as its members, so its val accuracy is flattered.",
    )
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def main(arguments: list[str] | None = None) -> int:
    """The command line. Exit code 2 for a mistake, told in one line."""
    parser = argparse.ArgumentParser(prog="python -m training.soup", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sweep", type=Path, metavar="SWEEP_FOLDER", help="a sweep, or a folder of sweeps")
    parser.add_argument("--model", metavar="NAME", help="of this model (of that with most runs that fit together)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="the run folder (SWEEP_FOLDER/soup-.../seed=0)")
    parser.add_argument("--device", default="auto", help="auto, cpu, mps, cuda or cuda:N")
    options = parser.parse_args(arguments)
    try:
        members = group(done_runs(options.sweep), options.sweep, options.model)
        from training.finished.rebuilt import Rebuilt

        rebuilt = Rebuilt(members[0], options.device)
        soup = choose(members, rebuilt)
        if len(soup.members) == 1:
            print(f"no other run makes it better on val: there is no soup, take {members[0].folder}")
            return 0
        folder, record = leave(soup, rebuilt, options.out, len(members))
    except (ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    show(record)
    print(f"wrote {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
