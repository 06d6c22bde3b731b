"""Train a finished run again from its record alone, and say whether the numbers are the same to the bit.

python -m training.reproduce outputs/runs/resnet18-.../seed=0
python -m training.reproduce 52a41/seed=1 --write for_a_reviewer
python -m training.reproduce for_a_reviewer --data photos

Device, precision and number of threads are those of the run, its folder is only read. Exit code: 0 the same to the bit,
1 the numbers differ (said: by how much, and what of packages, machine, code or threads does), 2 it can't be trained
again (said: what is missing). --write exports the run instead, with all that another person needs: packages, config,
command, every image's hash. A pruned run is trained up to the epoch that it reached.
"""

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training.console.program import add_trust, parser_for, run_program
from training.console.table import printable, visible
from training.schema.checks import need

if TYPE_CHECKING:
    from training.engine.prepare import Prepared
    from training.record import Record
    from training.reproducing.numbers import Verdict
    from training.reproducing.original import Original

DIFFERS = 1  # exit code
MOST_NAMED = 12  # packages that differ


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = parser_for("training.reproduce", __doc__)
    add = parser.add_argument
    add("run", help="the folder of a finished run, its id in the report, or a folder that --write has made")
    data = "where the images lie now: the folder that was data.root, or a CSV that was data.csv"
    add("--data", type=_path, metavar="ROOT", help=data)
    add("--weights", type=_path, metavar="FILE", help="where the checkpoint lies now that the run began with")
    add("--out", type=_path, metavar="FOLDER", help="keep the new run, in FOLDER/reproduced (none: a temporary folder)")
    add("--device", help="another than that of the run: cpu, mps, cuda or cuda:N")
    add("--threads", type=int, metavar="N", help="another number of CPU threads than that of the run")
    export = "train nothing: export what another person needs to do it, into a new folder"
    add("--write", type=_path, metavar="FOLDER", help=export)
    add_trust(parser)
    codes: list[int] = []
    code = run_program(parser, lambda options: codes.append(_reproduce(options)), arguments)
    return code or next(iter(codes), 0)


def _path(text: str) -> Path:
    """A path; an empty one would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("an empty name, expected a path")
    return Path(text)


def _reproduce(options: argparse.Namespace) -> int:
    from training.finished.run_names import named_run
    from training.reproducing.original import read_original
    from training.targets import foreign

    need(bool(options.run), "the name of the run is empty, expected a folder, or an id that the report shows")
    need(options.threads is None or options.threads >= 1, f"--threads {options.threads}: expected 1 or more")
    original = read_original(named_run(options.run))
    for name, given in (("--out", options.out), ("--write", options.write)):
        inside = given is not None and given.resolve().is_relative_to(original.folder.resolve())
        need(not inside, f"{name} {given}: is in the folder of the run, which is only read; choose another")
    with foreign(original.folder):
        if options.write is not None:
            return _export(original, options)
        with _place(options.out) as out:
            return _train(original, options, out)


@contextlib.contextmanager
def _place(out: Path | None) -> Iterator[Path]:
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="finegrid-reproduce-") as folder:
        yield Path(folder)


def _export(original: "Original", options: argparse.Namespace) -> int:
    from training.reproducing.export import export

    ignored = [name for name in ("out", "device", "threads") if getattr(options, name) is not None]
    need(not ignored, f"--{', --'.join(ignored)}: nothing is trained with --write; leave it out")
    for line in export(original, options.write, options.data):
        print(line)
    return 0


def _train(original: "Original", options: argparse.Namespace, out: Path) -> int:
    from training.reproducing.again import edited, prepare_again, train_again
    from training.reproducing.numbers import compare_numbers

    prepared = prepare_again(original, out, options.data, options.weights, options.device, options.threads)
    same_folder = prepared.folder.resolve() == original.folder.resolve()
    need(not same_folder, f"--out {out}: this is where the run lies, which is only read; choose another")
    doubt = edited(original, prepared)
    say(_heading(original, prepared))
    if doubt:
        say(f"warning: {doubt}")
    record = train_again(original, prepared, say)
    verdict = compare_numbers(original, prepared.folder, record)
    if doubt:
        verdict.differ.append(doubt)
    for line in lines_of(original, record, verdict):
        print(visible(line))
    if options.out is not None:
        print(f"the new run: {prepared.folder}")
    return DIFFERS if verdict.differ else 0


def _heading(original: "Original", prepared: "Prepared") -> str:
    record, trainer = original.record, prepared.config.trainer
    ended = {"pruned": f", pruned after epoch {original.epochs}", "diverged": ", diverged"}.get(str(record.status), "")
    return (
        f"{original.folder}: {record.settings.model}, {prepared.replicate}, {trainer.epochs} epochs{ended}; trained "
        f"again on {prepared.compute.device}, {trainer.threads} CPU threads, {prepared.compute.precision}"
    )


def lines_of(original: "Original", record: "Record", verdict: "Verdict") -> Iterator[str]:
    """What is said in the end."""
    from sweeps.plan.configs import run_config_of
    from training.provenance.code_version import same_results
    from training.provenance.differences import NOT_RECORDED, differences, not_recorded
    from training.reproducing.command import command_today

    if verdict.differ:
        yield "The numbers differ:"
        yield from (f"  {line}" for line in verdict.differ)
        if verdict.same:
            yield f"The same to the bit: {'; '.join(verdict.same)}."
    else:
        yield f"The same to the bit: {'; '.join(verdict.same) or 'how it ended'}."
    if verdict.missing:
        yield f"Not compared: {'; '.join(verdict.missing)}."
    found = [one for one in differences(original.record, record) if one.part != "config" and one.first != NOT_RECORDED]
    lines = [f"{one.name}: {one.first}, now {one.second}" for one in found if one.part != "packages"]
    if original.record.code_version != record.code_version and same_results(original.record.code_version):
        lines = [f"{one} (known to give the same results)" if "code version" in one else one for one in lines]
    packages = [f"{one.name}: {one.first}, now {one.second}" for one in found if one.part == "packages"]
    more = f"and {len(packages) - MOST_NAMED} more packages"
    lines += packages[:MOST_NAMED] + ([more] if len(packages) > MOST_NAMED else [])
    if today := command_today(original, run_config_of):
        lines.append(today)
    if record.resolved.micro_batch:
        lines.append(f"all epochs in pieces of {record.resolved.micro_batch} images; the run may have begun without")
    if lines:
        yield "What is other than when it was trained:"
        yield from (f"  {line}" for line in lines)
    else:
        yield "Nothing else that is recorded differs: code, packages, machine, threads."
    if unknown := not_recorded(original.record):
        yield f"Not recorded by the version that trained it: {', '.join(unknown)}."


def say(line: str) -> None:
    """One line on stderr."""
    print(printable(line), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
