"""Write a folder to start from: one recipe, and the commands that use it.

finegrid init my_study
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training.console.program import parser_for, run_program
from training.errors import ConfigError

RECIPE = """\
# @package _global_
# Two networks with pretrained weights on your own photographs, each with two seeds.
#
#   finegrid train -m --config-dir conf sweeps=first data.root=FOLDER
#
# Add sweep.plan=true to see its runs, without starting one. Every key: finegrid train --cfg job
defaults:
  - override /data: folder
  - override /weights: default # none: start from random weights, no download
  - override /experiment: finetune

sweep:
  name: first
data:
  size: 224
trainer:
  epochs: 12
hydra:
  sweeper:
    runs: # a line a grid; all combinations of its values
      - model=resnet18,resnet50 seed=0,1
"""
README = """\
# A study with finegrid

    conf/sweeps/first.yaml    the first recipe: what to compare
    outputs/                  what comes out of it

Images lie in class folders, FOLDER/CLASS/IMAGE or FOLDER/train|val|test/CLASS/IMAGE. Then, in this folder:

    finegrid train -m --config-dir conf sweeps=first data.root=FOLDER sweep.plan=true
    finegrid train -m --config-dir conf sweeps=first data.root=FOLDER
    finegrid report
    finegrid predict outputs/first/RUN/seed=0 NEW_IMAGES --out predictions.csv

The same command again goes on where it was stopped, and adds what is new in the recipe. Without images of your own,
`finegrid train -m model=resnet18,resnet50` compares two networks on small pictures of digits.
"""
FILES = {"conf/sweeps/first.yaml": RECIPE, "README.md": README, ".gitignore": "outputs/\n"}


def write(folder: Path) -> list[Path]:
    """Write the files into `folder`, made where it isn't there. Raises ConfigError, before anything is written, if one
    of them exists, and OSError."""
    for name in FILES:
        if (folder / name).exists():
            raise ConfigError(f"{folder / name} is there already; nothing was written")
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return [folder / name for name in FILES]


def init(options: argparse.Namespace) -> None:
    """Write the folder and tell what is in it."""
    for file in write(options.folder):
        print(f"wrote {file}")
    print(f"next: cd {options.folder}, and read README.md there")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = parser_for("finegrid.starting_folder", __doc__)
    parser.add_argument("folder", type=Path, help="where to write; made if it isn't there")
    return run_program(parser, init, arguments)


if __name__ == "__main__":
    sys.exit(main())
