"""What a record says of packages and of the machine."""

import importlib.metadata

import torch

from training.provenance.environment import installed, machine, versions


def test_packages_are_those_that_pip_would_list() -> None:
    found = dict(line.split("==") for line in installed().split())
    for name in ("torch", "numpy", "scikit-learn", "hydra-core"):
        assert found[name] == importlib.metadata.version(name)
    assert list(found) == sorted(found) and versions().packages == installed()


def test_machine() -> None:
    found = machine(on_cuda=False)
    assert found.system and found.processor and found.cores and found.cores >= 1
    assert found.instructions == torch.backends.cpu.get_cpu_capability()
    assert found.cuda is None and found.cudnn is None
    assert machine(on_cuda=True).cuda == torch.version.cuda
