"""A run folder from elsewhere can't make finegrid call code that is neither known nor trusted by the user."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUICK, ROOT, Door
from outcome import TINY, only_run
from own_parts import tiny
from PIL import Image
from safetensors.torch import save_file

from finegrid import load_model
from training import ensemble, export, predict, screen, soup
from training.errors import ConfigError
from training.models.weights import read_checkpoint

EVIL = "import pathlib\npathlib.Path(__file__).with_name('acted').touch()\ndef net(**kwargs): pass\nload = net\n"
ABOUT = {
    "classes": ["a", "b"],
    "preprocessing": {"size": 8, "stored_size": 8, "resize": "stretch", "mean": [0, 0, 0], "std": [1, 1, 1]},
}
Made = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """A run folder whose weights name any network."""

    def write(target: str, weights: dict[str, Any] | None = None, **kwargs: Any) -> Path:
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        about = ABOUT | {"model": {"_target_": target, "kwargs": kwargs}}
        save_file(weights or {"weight": torch.zeros(2)}, folder / "best.safetensors", {"finegrid": json.dumps(about)})
        return folder

    return write


@pytest.fixture(autouse=True)
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that acts as soon as it is imported, and nothing trusted."""
    (tmp_path / "evil").mkdir()
    for name in ("evil_parts.py", "hubconf.py"):
        (tmp_path / "evil" / name).write_text(EVIL)
    monkeypatch.syspath_prepend(str(tmp_path / "evil"))
    monkeypatch.delenv("FINEGRID_TRUST")
    sys.modules.pop("evil_parts", None)
    return tmp_path / "evil"


HUB = "torch.hub.load"
REFUSED = ["evil_parts.net", HUB, "os.system", "builtins.exec", "torch.nn.modules.module.torch.hub.load", "net", ""]
REFUSED += ["torchvision.models.get_model", "torch.load", "own_parts.tiny", "training.models.build.locate"]


@pytest.mark.parametrize("target", REFUSED)
def test_unknown_code_is_refused(
    made: Made, evil: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], target: str
) -> None:
    kwargs = {"repo_or_dir": str(evil), "model": "net", "source": "local"} if target == HUB else {}
    folder, images = made(target, **kwargs), tmp_path / "images"
    images.mkdir()
    Image.new("RGB", (8, 8)).save(images / "a.png")
    for main, arguments in ((predict.main, [str(images), "--device", "cpu"]), (export.main, ["--to", "torch"])):
        assert main([str(folder), *arguments]) == 2
        err = capfd.readouterr().err
        assert err.startswith("error: ") and err.count("\n") == 1 and "--trust" in err and "FINEGRID_TRUST" in err, err
    with pytest.raises(ConfigError, match="--trust"):
        load_model(folder)
    assert not (evil / "acted").exists()


@pytest.mark.parametrize("target", ["own_parts.time.sleep", "own_parts.torch.hub.load", "own_parts.np.load"])
def test_trust_in_a_module_is_none_in_what_it_imports(made: Made, target: str) -> None:
    with pytest.raises(ConfigError, match="refused"):
        load_model(made(target), trust=["own_parts"])


def test_trusted_modules(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made("own_parts.tiny", tiny(2).state_dict())
    assert load_model(folder, trust=["own_parts"])[2] == ["a", "b"]
    monkeypatch.setenv("FINEGRID_TRUST", "others, own_parts")
    assert load_model(folder)[2] == ["a", "b"]
    monkeypatch.setenv("FINEGRID_TRUST", "own")
    with pytest.raises(ConfigError, match="--trust own_parts or FINEGRID_TRUST=own_parts"):
        load_model(folder)


def test_known_networks_need_no_trust(made: Made) -> None:
    from torchvision.models import squeezenet1_1

    weights = squeezenet1_1(num_classes=2).state_dict()
    for target in ("torchvision.models.squeezenet1_1", "torchvision.models.SqueezeNet"):
        version = {"version": "1_1"} if target.endswith("Net") else {}
        assert load_model(made(target, weights, **version))[2] == ["a", "b"]


def test_a_run_of_ones_own(
    train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Trained, and trained on, without a word of trust; loaded with one. Its data may be anybody's, too."""
    assert train(*QUICK, TINY, "tracking=none", "trainer.precision=fp32").code == 0
    again = train(*QUICK, TINY, "tracking=none", "tracking.latency=true", "trainer.precision=fp32")
    assert again.code == 0 and "can't be measured" not in again.out + again.err
    folder = only_run(tmp_path / "outputs")
    checkpoint = train(*QUICK, TINY, "weights=checkpoint", f"weights.path={folder}", "sweep.name=more", "tracking=none")
    assert checkpoint.code == 0, checkpoint.err
    assert export.main([str(folder), "--to", "torch"]) == 2
    assert "--trust own_parts" in capfd.readouterr().err

    record = json.loads((folder / "record.json").read_text())
    record["config"]["data"]["_target_"] = "evil_parts.net"
    (folder / "record.json").write_text(json.dumps(record))
    assert export.main([str(folder), "--to", "torch", "--trust", "own_parts"]) == 2
    assert "data._target_=evil_parts.net" in capfd.readouterr().err
    assert "evil_parts" not in sys.modules


@pytest.mark.parametrize("program", [predict, export, soup, ensemble, screen])
def test_programs_take_it(program: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["--help"])
    assert "--trust MODULE" in capfd.readouterr().out


def test_what_the_script_of_an_attacker_makes(made: Made, evil: Path) -> None:
    """Metadata are data: reading them alone imports nothing."""
    _, about = read_checkpoint(made("evil_parts.net") / "best.safetensors")
    assert about["model"]["_target_"] == "evil_parts.net" and not (evil / "acted").exists()
    assert str(ROOT) not in about
