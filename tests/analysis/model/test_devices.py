"""Which device made which row: the columns of load(), and --columns device."""

import json
from pathlib import Path

from report_runs import report_here, rows_of, write_run

from analysis import load

A100, V100 = "NVIDIA A100-SXM4-80GB", "Tesla V100-PCIE-16GB"


def made_on(name: str | None) -> dict[str, object]:
    resolved = {"weights": "none", "precision": "fp16", "device": "cuda", "memory_format": "channels_last"}
    return resolved if name is None else {**resolved, "device_name": name}


def write(sweep: Path, identity: str, seed: int, name: str | None, model: str) -> None:
    """(`resolved` of write_run is the weights alone.)"""
    run = write_run(sweep, identity, seed, model=model)
    content = json.loads((run / "record.json").read_text())
    content["resolved"] = made_on(name)
    content["time"]["host"] = f"node{seed}"
    (run / "record.json").write_text(json.dumps(content))


def test_a_row_says_what_made_it(tmp_path: Path) -> None:
    sweep = tmp_path / "outputs" / "mixed"
    for seed, name in enumerate((A100, A100, V100)):
        write(sweep, "aaaaaaaaaa", seed, name, "resnet18")
    write(sweep, "bbbbbbbbbb", 0, V100, "resnet50")
    write(sweep, "cccccccccc", 0, None, "swin_t")
    rows = {
        row["model"]: row["device"] for row in rows_of(report_here(sweep, "--format", "csv", "--columns", "device"))
    }
    assert rows == {"resnet18": f"{A100} (2), {V100} (1)", "resnet50": V100, "swin_t": "cuda"}
    assert f"{A100} (2)" in report_here(sweep, "--columns", "device").stdout
    assert "device" not in rows_of(report_here(sweep, "--format", "csv"))[0]
    runs = load(sweep)
    assert runs["device_name"].dropna().tolist().count(V100) == 2 and set(runs["host"]) == {"node0", "node1", "node2"}
