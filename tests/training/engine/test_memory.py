"""A process that trains on a CPU keeps the memory of a step for the next one."""

import platform

import pytest
from conftest import Door

FAULTS = """
import resource, sys
from training.device import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def step():
    return [bytearray(b"1") * 40_000_000 for _ in range(3)]  # from malloc, as tensors are, without importing torch
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_the_system_is_asked_for_memory_once(shell: Door) -> None:
    plain, kept = (int(shell("-c", FAULTS, kind).out) for kind in ("plain", "kept"))
    assert kept < plain / 4
