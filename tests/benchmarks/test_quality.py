"""benchmarks.quality: a recipe that has become worse is seen, and named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import quality


def figures(share: float, seed: int, seeds: int = 5, n_test: int = 150) -> dict[str, Any]:
    """Of runs that are right on about this share of the images; some images are harder than others."""
    draws = np.random.default_rng(seed)
    ease = np.random.default_rng(0).normal(0, 0.15, n_test)
    correct = draws.random((seeds, n_test)) < np.clip(share + ease, 0, 1)
    percent = (100 * correct.mean(1)).tolist()
    bits = [np.packbits(row).tobytes().hex() for row in correct]
    return {"val": percent, "test": percent, "n_val": 150, "n_test": n_test, "images": "same", "correct": bits}


KEPT = {
    key: figures(0.8, number) for number, key in enumerate(("digits/defaults", "digits/finetune", "photos/scratch"))
}


def test_a_recipe_that_became_worse_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    now = KEPT | {"digits/finetune": figures(0.68, 11)}
    assert quality.report(quality.compare(KEPT, now)) == 1
    assert "worse beyond the noise: digits/finetune\n" in capsys.readouterr().out


def test_neither_noise_nor_progress_is_an_alarm(capsys: pytest.CaptureFixture[str]) -> None:
    """The same figures; those of other seeds, in all of forty trials but one or two; and better ones."""
    assert quality.report(quality.compare(KEPT, KEPT)) == 0
    alarms = 0
    for trial in range(40):
        now = {key: figures(0.8, 100 + 3 * trial + number) for number, key in enumerate(KEPT)}
        alarms += any(one.worse for one in quality.compare(KEPT, now))
    assert alarms <= 3
    assert quality.report(quality.compare(KEPT, KEPT | {"digits/finetune": figures(0.93, 11)})) == 0
    assert "better" in capsys.readouterr().out


def test_what_can_not_be_compared_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no figures of digits/scratch to compare with: none are kept"):
        quality.compare(KEPT, {"digits/scratch": figures(0.8, 1)})
    with pytest.raises(ValueError, match="other test images"):
        quality.compare(KEPT, {"digits/finetune": figures(0.8, 1) | {"images": "others"}})
    with pytest.raises(SystemExit):
        quality.main(["--figures", str(tmp_path / "none.json")])
    assert "no such file; --write makes it" in capsys.readouterr().err


@pytest.mark.slow
def test_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are kept; the same recipes equal them without training anew; with a bad learning rate they are worse."""
    monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path))  # which main sets, and the next test must not find
    always = ["--out", str(tmp_path / "runs"), "--figures", str(tmp_path / "kept.json"), "--sets", "digits"]
    always += ["--recipes", "scratch", "--seeds", "3"]
    small = ["--with", "data.size=8", "trainer.epochs=3", "trainer.threads=1"]
    assert quality.main([*always, "--write", *small]) == 0
    kept = json.loads((tmp_path / "kept.json").read_text())["figures"]
    assert list(kept) == ["digits/scratch"] and len(kept["digits/scratch"]["test"]) == 3
    times = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("record.json")}
    assert quality.main([*always, *small]) == 0
    assert times == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("record.json")}
    capsys.readouterr()
    assert quality.main([*always, *small, "optimizer.lr=1e-6"]) == 1
    assert "worse beyond the noise: digits/scratch\n" in capsys.readouterr().out
