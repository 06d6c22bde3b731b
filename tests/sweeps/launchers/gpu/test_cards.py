"""Cards as nvidia-smi tells of them (a stand-in, whose answers have the form of the real one's)."""

from pathlib import Path

import pytest
from gpu_stand_ins import UUIDS, StandIns, stand_ins

from sweeps.launchers.gpu.cards import Card, read_cards

__all__ = ["stand_ins"]
MIG_LIST = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaaaaaa-0000)
  MIG 3g.20gb     Device  0: (UUID: MIG-11111111-1111)
  MIG 1g.5gb      Device  1: (UUID: MIG-22222222-2222)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbbbbbb-0000)
"""
MIG_QUERY = """<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log><gpu id="00000000:07:00.0"><uuid>GPU-aaaaaaaa-0000</uuid>
<fb_memory_usage><total>40960 MiB</total><used>33 MiB</used></fb_memory_usage>
<mig_devices>
<mig_device><index>0</index><fb_memory_usage><total>19968 MiB</total><used>19 MiB</used></fb_memory_usage></mig_device>
<mig_device><index>1</index><fb_memory_usage><total>4864 MiB</total><used>1024 MiB</used></fb_memory_usage></mig_device>
</mig_devices></gpu></nvidia_smi_log>
"""


def test_indices_and_uuids(stand_ins: StandIns) -> None:
    stand_ins.cards(used=(600, 70000))
    assert read_cards(["1", "0"]) == {
        "0": Card("0", UUIDS[0], 81559, 600, allows_mps=True),
        "1": Card("1", UUIDS[1], 81559, 70000, allows_mps=True),
    }
    assert read_cards(["GPU-bbbb"])["GPU-bbbb"].uuid == UUIDS[1], "the beginning of a UUID is enough, as for CUDA"
    assert read_cards(["2", "GPU-cccc"]) == {} and read_cards([]) == {}


@pytest.mark.parametrize(
    ("mode", "mps", "exclusive"),
    [("Default", True, False), ("Exclusive_Process", True, True), ("Prohibited", False, False)],
)
def test_compute_modes(stand_ins: StandIns, mode: str, mps: bool, exclusive: bool) -> None:
    stand_ins.cards(mode=mode)
    card = read_cards(["0"])["0"]
    assert (card.allows_mps, card.exclusive) == (mps, exclusive)


def test_indices_of_unlike_cards_may_be_others_for_cuda(stand_ins: StandIns) -> None:
    rows = [f"0, {UUIDS[0]}, 8192, 0, Default, GTX 1080", f"1, {UUIDS[1]}, 81559, 0, Default, H100"]
    (stand_ins.folder / "gpus.csv").write_text("\n".join(rows))
    assert read_cards(["0"]) == {} and read_cards([UUIDS[0]])[UUIDS[0]].total_mb == 8192
    assert read_cards(["0"], {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})["0"].uuid == UUIDS[0]


def test_slices_are_cards(stand_ins: StandIns) -> None:
    (stand_ins.folder / "list.txt").write_text(MIG_LIST)
    (stand_ins.folder / "query.xml").write_text(MIG_QUERY)
    found = read_cards(["MIG-11111111-1111", "MIG-2222", "MIG-3333"])
    assert {name: (card.uuid, card.total_mb, card.used_mb) for name, card in found.items()} == {
        "MIG-11111111-1111": ("MIG-11111111-1111", 19968, 19),
        "MIG-2222": ("MIG-22222222-2222", 4864, 1024),
    }


@pytest.mark.parametrize("says", ["exit 9", "echo No devices were found", "echo '0, GPU-a, [N/A], [N/A], Default, X'"])
def test_nothing_is_made_up(stand_ins: StandIns, says: str) -> None:
    """An old driver, no device, a card that doesn't tell its memory."""
    stand_ins.write("nvidia-smi", f"#!/bin/sh\n{says}\n")
    assert read_cards(["0", "MIG-1"]) == {}


def test_without_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_cards(["0"]) == {}
