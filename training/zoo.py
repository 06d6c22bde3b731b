"""Which networks there are to choose from: their parameters, the images and the licence of their weights.

python -m training.zoo                 those that have a group of their own, model=NAME
python -m training.zoo 'convnext*'     all that match: model=torchvision model.name=NAME, model=timm model.name=NAME
python -m training.zoo '*dinov2*' --json

A pattern has * for any letters; without one it is part of a name. Needs no network: weights are told of, not fetched.
"""

import argparse
import fnmatch
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from rich.console import Console

from training.config import ModelConfig
from training.console.program import parser_for, run_program
from training.console.table import print_table
from training.models.family import Family
from training.models.timm_models import Timm
from training.models.torchvision import Torchvision
from training.schema.checks import need

MANY = 60  # rows from which on parameters are not counted: each network has to be built for that
FAMILIES: dict[str, Family] = {"torchvision": Torchvision(), "timm": Timm()}


@dataclass(frozen=True)
class Entry:
    """A network with one of its weights. `size`: px of the images that they saw; `parameters` with 1,000 classes."""

    family: str
    name: str
    parameters: int | None
    size: int | None
    weights: str
    licence: str


def names_of(family: str) -> list[str]:
    """All that it lists."""
    if family == "torchvision":
        import torchvision

        return sorted(torchvision.models.list_models(module=torchvision.models))
    import timm

    return sorted(timm.list_models())


def matching(pattern: str) -> list[tuple[str, str]]:
    """Family and name of the networks that a pattern means."""
    wanted = pattern.lower() if any(sign in pattern for sign in "*?[") else f"*{pattern.lower()}*"
    names = [(family, name) for family in FAMILIES for name in names_of(family)]
    return [(family, name) for family, name in names if fnmatch.fnmatchcase(name.lower(), wanted)]


def with_groups() -> list[tuple[str, str]]:
    """Family and name of the networks that conf/model has a file for."""
    from omegaconf import OmegaConf

    from sweeps.hydra_glue.compose import CONF

    found = []
    for file in sorted((CONF / "model").glob("*.yaml")):
        content = OmegaConf.load(file)
        family = "timm" if "defaults" in content else "torchvision"
        if not OmegaConf.is_missing(content, "name") and content.name:
            found.append((family, str(content.name)))
    return sorted(found, key=lambda one: list(FAMILIES).index(one[0]))


def entries(networks: Sequence[tuple[str, str]], count: bool) -> Iterator[Entry]:
    """A row for each of their weights, the default first; one for a network without."""
    for family, name in networks:
        config = ModelConfig(name=name, kwargs={})
        told = FAMILIES[family]
        sources = told.sources(config)[::-1]
        parameters = _parameters(told, config) if count else None
        for source in sources if "." not in name else sources[:1]:
            images = told.pretraining(config, source.upper())
            licence = "" if images is None else images.licence or ""
            yield Entry(family, name.partition(".")[0], parameters, images.size if images else None, source, licence)
        if not sources:
            yield Entry(family, name, parameters, None, "", "")


def _parameters(family: Family, config: ModelConfig) -> int | None:
    """Without memory for them; None for a network that can't be built so."""
    import torch

    try:
        with torch.device("meta"):
            return sum(part.numel() for part in family.build(config, 1000).parameters())
    except Exception:  # some read numbers while they are built
        return None


def _row(entry: Entry) -> list[str]:
    millions = "" if entry.parameters is None else f"{entry.parameters / 1e6:.1f}"
    return [entry.family, entry.name, millions, str(entry.size or ""), entry.weights, entry.licence]


def main(arguments: Sequence[str] | None = None) -> int:
    """The table, or the same as JSON."""
    return run_program(_parser(), _list, arguments)


def _parser() -> argparse.ArgumentParser:
    parser = parser_for("training.zoo", __doc__)
    parser.add_argument("pattern", nargs="?", help="of names, such as 'convnext*'")
    parser.add_argument("--json", action="store_true", help="all that is known, a list of objects")
    return parser


def _list(args: argparse.Namespace) -> None:
    networks = matching(args.pattern) if args.pattern else with_groups()
    need(bool(networks), f"{args.pattern}: neither torchvision nor timm has a network of such a name; try '*resnet*'")
    found = list(entries(networks, len(networks) <= MANY))
    if args.json:
        print(json.dumps([asdict(entry) for entry in found], indent=1))
        return
    headings = ["family", "name", "params (M)", "px", "weights", "licence"]
    words = ("family", "name", "weights", "licence")
    print_table(Console(), headings, [_row(one) for one in found], words=words)
    if len(networks) > MANY:
        print(f"{len(networks)} networks; parameters are counted for at most {MANY}")
    if not args.pattern:
        total = sum(len(names_of(family)) for family in FAMILIES)
        print(f"These have a group of their own; python -m training.zoo '*' lists all {total}.")


if __name__ == "__main__":
    sys.exit(main())
