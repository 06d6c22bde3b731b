"""An ensemble of a sweep's runs, by `python -m training.ensemble`."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import QUICK, Door
from merging import accuracy, folded, made, stored, tuned
from outcome import TINY
from pictures import tree
from scipy.special import softmax

from analysis.statistics import inference
from training.ensemble import choose, main, score
from training.record import read_record, write_record

pytestmark = pytest.mark.slow

__all__ = ["folded", "made", "tuned"]


def ensemble(folder: Path, *arguments: str) -> dict[str, Any]:
    assert main([str(folder), *arguments]) == 0
    content: dict[str, Any] = json.loads((folder / "ensemble.json").read_text())
    return content


def test_it_is_what_the_stored_predictions_say(tuned: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content = ensemble(tuned)
    out, err = capfd.readouterr()
    members, best = content["members"], content["best_single"]
    assert sum(one["count"] for one in members) <= 50
    assert sum(one["weight"] for one in members) == pytest.approx(1)
    right = {}
    for split in ("val", "test"):
        runs = {name: stored(tuned / name, split) for name in content["selection"]["candidates"]}
        mean = sum(one["weight"] * softmax(runs[one["run"]]["logits"].astype(float), axis=1) for one in members)
        ours = stored(tuned, split, "ensemble_")
        first = runs[best["run"]]
        assert np.array_equal(ours["id"], first["id"]) and np.array_equal(ours["label"], first["label"])
        assert np.allclose(softmax(ours["logits"], axis=1), mean, atol=1e-6)
        assert accuracy(ours) == pytest.approx(content["ensemble"][split]["acc"])
        assert accuracy(first) == pytest.approx(best[split]["acc"])
        for one in members:
            assert accuracy(runs[one["run"]]) == pytest.approx(one[f"{split}_acc"])
        everyone = sum(softmax(run["logits"].astype(float), axis=1) for run in runs.values())
        of_all = 100 * (everyone.argmax(1) == first["label"]).mean()
        assert content["average_of_all"][split]["acc"] == pytest.approx(of_all)
        right = {
            "ours": ours["logits"].argmax(1) == ours["label"],
            "single": first["logits"].argmax(1) == first["label"],
        }
        if split == "val":
            assert accuracy(first) == max(accuracy(run) for run in runs.values())
            assert accuracy(ours) >= accuracy(first)
    paired = content["against_best_single"]
    only, other = (right["ours"] & ~right["single"]).sum(), (~right["ours"] & right["single"]).sum()
    assert (paired["alone"], paired["other_alone"]) == (only, other)
    assert paired["p"] == pytest.approx(inference.mcnemar(int(only), int(other)))
    share, n = content["ensemble"]["test"]["acc"] / 100, len(right["ours"])
    assert content["ensemble"]["test_95"] == pytest.approx([100 * end for end in inference.wilson(share, n)])
    for words in ("best single run by val", "average of all 5", "exact McNemar p", f"{share:.2%}"[:-1]):
        assert words in out, out
    assert "split" in err and "seed=0" in err, "the run on another split is left out, and it says so"
    assert len(content["left_out"]) == 1 and content["left_out"][0] not in content["selection"]["candidates"]


def test_test_chooses_nothing(tuned: Path) -> None:
    before = ensemble(tuned)
    random = np.random.default_rng(0)
    for file in tuned.rglob("predictions_test.npz"):
        with np.load(file) as content:
            logits = random.permutation(content["logits"])
            labels = content["label"][::-1]
            np.savez(file, id=content["id"], label=labels, logits=logits)
        record = read_record(file.parent)
        if record is not None:  # which predictions have to fit
            record.test.acc = 100 * float((logits.argmax(1) == labels).mean())
            write_record(file.parent, record)
    after = ensemble(tuned)
    for key in ("members", "selection"):
        for content in (before, after):
            for one in content["members"]:
                one.pop("test_acc", None)
        assert after[key] == before[key]
    assert after["ensemble"]["val"] == before["ensemble"]["val"]
    assert after["ensemble"]["test"]["acc"] < before["ensemble"]["test"]["acc"] - 20, "or nothing was changed"


def outputs_of(right: str, sure: float, unsure: float | None = None) -> np.ndarray:
    """Probabilities of two classes for images of class 0, put right where there is a 1: how sure it is where it is
    right, and where it is wrong."""
    wrong = sure if unsure is None else unsure
    share = np.array([[sure, 1 - sure] if one == "1" else [1 - wrong, wrong] for one in right])
    return share.astype(np.float32)


def test_it_takes_those_that_help_not_those_that_are_good() -> None:
    """B is as good as A and wrong on the same images; C is worse, but right and sure where they are wrong."""
    a, b, c = outputs_of("1111110000", 0.6), outputs_of("1111110000", 0.6), outputs_of("0000011111", 0.9, 0.55)
    labels = np.zeros(10, dtype=int)
    assert choose([a, b, c], labels, 2).counts == [1, 0, 1]
    chosen = choose([a, b, c], labels, 20)
    assert chosen.path[:3] == [60, 60, 100], "sorted initialization: A and B, and C"
    assert chosen.initial == 3
    assert score(sum(count * one for count, one in zip(chosen.counts, (a, b, c), strict=True)), labels)[0] == 10


def test_the_best_alone_where_nothing_helps() -> None:
    good, bad = outputs_of("1111111110", 0.9), outputs_of("0000000000", 0.9)
    assert choose([good, bad, bad], np.zeros(10, dtype=int), 5).counts == [1, 0, 0]
    assert choose([good, bad, bad], np.zeros(10, dtype=int), 1).counts == [1, 0, 0]


def test_many_together_are_better_from_the_start() -> None:
    """Sorted initialization: each is right on its own nine of ten images, all together on all; one more is not yet."""
    singles = [outputs_of("".join("0" if i == j else "1" for i in range(10)), 0.6) for j in range(10)]
    chosen = choose(singles, np.zeros(10, dtype=int), 10)
    assert chosen.initial >= 3 and max(chosen.path) == 100 and chosen.path[0] == 90


def test_broken_predictions_are_left_out(tuned: Path, capfd: pytest.CaptureFixture[str]) -> None:
    best = ensemble(tuned)["best_single"]["run"]
    (tuned / best / "predictions_val.npz").write_bytes(b"PK no zip")
    capfd.readouterr()
    after = ensemble(tuned)
    assert "predictions_val.npz" in capfd.readouterr().err
    assert best in after["left_out"] and after["best_single"]["run"] != best


def test_mistakes_are_one_line(tuned: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    name = ensemble(tuned)["selection"]["candidates"][2]
    with np.load(tuned / name / "predictions_test.npz") as content:
        changed = {**content, "id": content["id"][::-1]}
    np.savez(tuned / name / "predictions_test.npz", **changed)
    (tuned / "ensemble.json").unlink()
    cases = [
        ([str(tmp_path / "nowhere")], "no such folder"),
        ([str(empty)], "no finished runs"),
        ([str(tuned.parent / "base")], "expected two or more"),
        ([str(tuned), "--size", "0"], "--size 0"),
        ([str(tuned)], f"{name}/predictions_test.npz: other test images or labels"),
    ]
    for arguments, words in cases:
        capfd.readouterr()
        assert main(arguments) == 2
        errors = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("warning: ")]
        assert len(errors) == 1 and errors[0].startswith("error: ") and words in errors[0], errors
    assert not (tuned / "ensemble.json").exists()


def test_as_a_program_without_torch(made: Path, tmp_path: Path, shell: Door) -> None:
    program = "import sys, training.ensemble as e; code = e.main(); print('torch' in sys.modules); sys.exit(code)"
    result = shell("-c", program, str(made / "tuned"), "--size", "7", "--out", str(tmp_path / "new/one"))
    assert result.code == 0 and result.out.endswith("False\n"), result
    content = json.loads((tmp_path / "new/one/ensemble.json").read_text())
    assert sum(one["count"] for one in content["members"]) <= 7 == len(content["selection"]["path"])
    assert not (made / "tuned/ensemble.json").exists()


def test_folds_are_not_mixed(folded: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The val images of one are among the train images of the other."""
    candidates = ensemble(folded)["selection"]["candidates"]
    assert len(candidates) == 2 and len({name.rpartition("-")[2] for name in candidates}) == 1
    assert "of other images, splits or classes" in capfd.readouterr().err


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems have no such names")
def test_names_of_images_that_are_not_utf8(train: Door, tmp_path: Path) -> None:
    pictures = tree(tmp_path / "pictures", {os.fsdecode(b"caf\xe9"): 12, "tea": 12})
    result = train("-m", *QUICK, TINY, "data=folder", f"data.root={pictures}", "seed=0,1", "sweep.name=odd")
    assert result.code == 0, result.err
    assert ensemble(tmp_path / "outputs" / "odd")["members"]
