"""The report as a page: what is in it, and how it behaves in a real browser (marker `browser`)."""

import html
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import browser, visit
from conftest import QUICK, Door, run_folders
from outcome import TINY
from pictures import tree
from PIL import Image
from report_runs import LAB, report_here, write_run
from sweeping import small

__all__ = ["browser"]

EVIL = "<img src=x onerror=alert(1)>&amp;"  # a class that somebody may have


def history(folder: Path, epochs: int) -> None:
    """A plausible history.csv."""
    generator = np.random.default_rng(0)
    lines = ["epoch,lr,train_loss,train_acc,val_loss,val_acc,grad_norm,seconds,images_per_s"]
    for epoch in range(1, epochs + 1):
        numbers = ",".join(str(number) for number in generator.random(8))
        lines.append(f"{epoch},{numbers}")
    (folder / "history.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def sweep(train: Door, tmp_path: Path) -> Path:
    """A real sweep on images of which one class has a name that is HTML, and a search on digits beside it."""
    pictures = tree(tmp_path / "pictures", {EVIL: 20, "plain": 20, "third": 20})
    command = ["-m", *QUICK, TINY, "data=folder", f'data.root="{pictures}"', "optimizer.lr=1e-2,1e-3"]
    command += ["trainer.epochs=4", "sweep.name=pictures"]
    assert train(*command, "trainer.label_smoothing=0,0.1,0.2").code == 0  # three pairs of learning rates
    assert train(*command, "seed=1").code == 0
    search = [*small(tmp_path, 2), "hydra/sweeper=optuna_async", "hydra/sweeper/sampler=random", "sweep.name=search"]
    search += ["optimizer.lr=tag(log,interval(1e-4,1e-1))", "optimizer.weight_decay=interval(0,1)"]
    assert train(*search, "hydra.sweeper.n_trials=8").code == 0
    return tmp_path / "outputs" / "pictures"


def page(*arguments: str | Path, file: Path) -> str:
    result = report_here(*arguments, "--html", file)
    assert result.returncode == 0 and f"wrote {file}" in result.stderr
    return file.read_text()


def own(text: str) -> str:
    """The page without Plotly's own code."""
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    return text.replace(max(scripts, key=len), "")


@pytest.mark.slow
def test_names_are_escaped_and_nothing_is_fetched(sweep: Path, tmp_path: Path) -> None:
    text = own(page(sweep, file=tmp_path / "page.html"))
    assert EVIL not in text and "onerror=alert(1)>" not in text
    assert html.escape(EVIL) in text, "among the mistakes, as text"
    assert not re.search(r"""(src|href)=["']?(https?:|//)""", text) and not re.search(r"url\((?!data:)", text)
    headings = ["What it means", "Table", "All rows", "What matters", "Val and test", "Curves", "Settings", "Mistakes"]
    for heading in [*headings, "Where this comes from"]:
        assert f"<h2>{heading}</h2>" in text
    assert re.search(r"<li>lr: 0.01 against 0.001 \S+ \[.*\(3 matched pairs\)", text)
    assert len(re.findall("data-config=", text)) == 6, "one legend entry a configuration, whatever its seeds"
    provenance = text.partition("Where this comes from")[2]
    assert "42 train (drawn), 9 val (drawn), 9 test (drawn)" in provenance and "python train.py -m " in provenance
    assert text.count("url(data:image/webp;base64,") == 1 and "<h2>Data</h2>" in text, "one contact sheet"
    assert "Weights and gradients over the epochs" in text and "data:image/jpeg;base64," in text


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems have no such names")
def test_names_that_are_not_utf8(train: Door, tmp_path: Path) -> None:
    pictures = tree(tmp_path / "pictures", {os.fsdecode(b"caf\xe9"): 12, "tea": 12})
    for file in sorted(pictures.rglob("*.*")):
        file.rename(file.with_name(os.fsdecode(b"na\xefve-") + file.name))
    result = train(*QUICK, TINY, "data=folder", f"data.root={pictures}", "sweep.name=odd", "tracking=none")
    assert result.code == 0, result.err
    text = own(page(tmp_path / "outputs" / "odd", file=tmp_path / "page.html"))
    assert "caf\\\\udce9" in text, "a class, in the confusion matrix: a backslash in JSON"
    assert "Most confidently wrong" in text and "na\\udcefve-" in text


def test_a_hundred_runs_in_six_megabytes(tmp_path: Path) -> None:
    for number in range(100):
        lr, model = 10 ** -(1 + number / 40), f"resnet{18 + number % 5}"
        history(write_run(tmp_path / "sweep", f"{number:010x}", lr=lr, model=model, val=90 + number / 20), 100)
    text = page(tmp_path / "sweep", file=tmp_path / "new" / "page.html")
    assert len(text.encode()) <= 6e6
    assert len(re.findall("<tr class", text)) == 100


def test_published_numbers_have_a_page_too(tmp_path: Path) -> None:
    text = own(page(*LAB, file=tmp_path / "page.html"))
    assert "1.96 points" in text and "Curves" not in text and len(re.findall("<tr class", text)) == 11


def test_what_is_said_of_the_data(tmp_path: Path) -> None:
    """Counts, what was left out, files under two labels; thumbnails of images below data.root, and of no others."""
    seen = {"fingerprint": "f00d", "n": {"train": 12, "val": 3, "test": 4}, "drawn": ["val"], "classes": ["a", EVIL]}
    seen |= {"skipped": ["x.png"], "two_labels": {"train": 2}, "two_labels_first": ["a/1.png (a), b/1.png (b)"]}
    folder = write_run(tmp_path / "sweep", "aaaaaaaaaa", data=seen)
    record = json.loads((folder / "record.json").read_text())
    record["config"]["data"]["root"] = str(tmp_path / "root")
    (folder / "record.json").write_text(json.dumps(record))
    (tmp_path / "root" / "a").mkdir(parents=True)
    for file in ("root/a/1.png", "secret.png"):
        Image.new("RGB", (20, 20)).save(tmp_path / file)
    names = np.array(["a/1.png", "../secret.png", "a/missing.png"])
    np.savez(folder / "predictions_val.npz", id=names, label=np.array([0, 1, 1]), logits=np.eye(3, 2, dtype=np.float32))
    text = own(page(tmp_path / "sweep", file=tmp_path / "page.html")).partition("Where this comes from")[2]
    assert text.count("data:image/jpeg;base64,") == 1 and "<figcaption>a</figcaption>" in text
    assert "12 train, 3 val (drawn), 4 test" in text and "1 unreadable (x.png)" in text and EVIL not in text
    assert "<dt>files under two labels</dt><dd>2 train, such as a/1.png (a), b/1.png (b)</dd>" in text


def test_a_place_that_can_not_be_written_is_one_line(tmp_path: Path) -> None:
    write_run(tmp_path / "sweep", "aaaaaaaaaa")
    (tmp_path / "file").touch()
    result = report_here(tmp_path / "sweep", "--html", tmp_path / "file" / "page.html")
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1 and "page.html" in result.stderr


@pytest.mark.browser
def test_in_a_browser(sweep: Path, tmp_path: Path, browser: Any) -> None:
    """A page for each of two test sets: the search's table, the sweep's pictures."""
    page(sweep, sweep.parent / "search", file=tmp_path / "page.html")
    assert len(run_folders(sweep.parent)) == 16
    opened, errors = visit(browser, tmp_path / "page-2.html")
    assert opened.locator("[data-plot] .main-svg").count() >= 10
    cells = opened.locator("#table tbody tr")
    assert cells.count() == 8

    column = opened.locator("#table th", has_text="lr").first
    heads = opened.locator("#table th").all_inner_texts()
    place = heads.index("lr")
    column.locator("button").click()
    rates = [float(row.locator("td").nth(place).inner_text()) for row in cells.all()]
    assert rates == sorted(rates, reverse=True) and column.get_attribute("aria-sort") == "descending"
    column.locator("button").click()
    assert [float(row.locator("td").nth(place).inner_text()) for row in cells.all()] == rates[::-1]

    wanted = cells.first.locator("td").nth(heads.index("id")).inner_text()
    opened.fill("#filter", wanted)
    visible = [row for row in cells.all() if row.is_visible()]
    assert 0 < len(visible) < 8 and all(wanted in row.inner_text() for row in visible)
    assert opened.inner_text("#count") == f"{len(visible)} of 8 rows"
    assert errors == []

    opened, errors = visit(browser, tmp_path / "page.html")
    assert opened.locator("#table tbody tr").count() == 6, "two of them have two seeds"
    assert opened.locator("h2", has_text="What matters").count() == 1

    def drawn() -> list[int]:  # curves, of all panels
        return [panel.locator(".scatterlayer .trace").count() for panel in opened.locator(".panels .plot").all()]

    before_all = drawn()
    opened.locator("[data-config='0']").uncheck()
    assert len(before_all) == 3 and all(now < before for now, before in zip(drawn(), before_all, strict=True))
    opened.locator("[data-all='0']").click()
    assert drawn() == [0, 0, 0], "one legend for all curves"
    left = opened.locator("#table td").first.bounding_box()["x"]
    opened.locator("#table .scroll").evaluate("frame => frame.scrollLeft = 300")
    assert opened.locator("#table td").first.bounding_box()["x"] == left, "the first column stays"
    assert opened.locator("#table td").nth(1).bounding_box()["x"] < left, "and the others move"

    before = opened.locator("#left-plot .main-svg").first.inner_html()
    opened.select_option("#layer", index=1)
    assert opened.locator("#left-plot .main-svg").first.inner_html() != before
    assert EVIL in opened.locator(".images").inner_text() or EVIL in opened.inner_text("body")
    assert errors == []


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (400, "dark"), (1200, "dark")])
def test_small_and_dark(tmp_path: Path, browser: Any, width: int, scheme: str) -> None:
    for number in range(6):
        history(write_run(tmp_path / "sweep", f"{number:010x}", lr=10.0**-number, val=90 + number), 20)
    page(tmp_path / "sweep", file=tmp_path / "page.html")
    opened, errors = visit(browser, tmp_path / "page.html", width, scheme)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"
    shade = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (shade == "rgb(255, 255, 255)") == (scheme == "light")
    ink = opened.evaluate("getComputedStyle(document.querySelector('[data-plot] .xtitle')).fill")
    assert (ink == "rgb(26, 26, 26)") == (scheme == "light"), "the pictures follow"
    assert errors == []
