"""The console command `finegrid`: every program under one name, with the configs that come with it.

finegrid init my_study
finegrid train -m model=resnet18,resnet50
finegrid report
"""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

# name -> module and what it is for, in the order in which people meet them
PROGRAMS = {
    "init": ("finegrid.starting_folder", "write a folder to start from, with one recipe"),
    "train": ("train", "one run, or with -m a sweep of runs"),
    "status": ("sweeps.status", "what a sweep is doing, and a way to stop its runs"),
    "report": ("analysis.report", "the comparison table of finished runs"),
    "compare": ("analysis.compare", "two runs side by side, and the test images on which they disagree"),
    "next": ("analysis.next", "which further runs would settle which configuration is best"),
    "predict": ("training.predict", "classes of images without labels, as a CSV"),
    "export": ("training.export", "a run's network as ONNX, TorchScript or an exported program"),
    "ensemble": ("training.ensemble", "average the predictions of several runs"),
    "soup": ("training.soup", "average the weights of several runs"),
    "screen": ("training.screen", "rank pretrained networks on your images, without training them"),
    "reproduce": ("training.reproduce", "train a run again from its record, and compare the numbers to the bit"),
    "audit": ("training.audit", "look for copies, wrong labels and odd images in a data set"),
    "zoo": ("training.zoo", "the networks to choose from, with the licence of their weights"),
    "lr_find": ("training.lr_find", "find a learning rate by a range test"),
}
MISTAKE = 2  # exit code


def usage() -> str:
    """The text of --help."""
    there = {name: entry for name, entry in PROGRAMS.items() if importlib.util.find_spec(entry[0])}
    lines = [f"  {name:10}{what}" for name, (_, what) in there.items()]
    return "\n".join(
        [
            "usage: finegrid PROGRAM [ARGUMENTS]",
            "",
            "Compare models, weights, optimizers and schedules on your images.",
            "",
            *lines,
            "",
            "finegrid PROGRAM --help tells more of each. In a checkout, `finegrid train` is `python train.py`, and the",
            "others are `python -m MODULE`, as the documentation has them.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program that the first argument names; gives its exit code, 2 where there is none of that name."""
    import difflib

    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if given else MISTAKE
    if given[0] == "--version":
        from importlib.metadata import version

        print(f"finegrid {version('finegrid')}")
        return 0
    name = given[0].replace("-", "_")
    if name not in PROGRAMS:
        close = difflib.get_close_matches(name, PROGRAMS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(PROGRAMS)}"
        print(f"error: finegrid {given[0]}: no such program; {hint}", file=sys.stderr)
        return MISTAKE
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` does: modules of the user's own lie there
    sys.argv = [sys.argv[0], *given[1:]]
    module = importlib.import_module(PROGRAMS[name][0])
    code: int = getattr(module, "program", module.main)()
    return code


if __name__ == "__main__":
    sys.exit(main())
