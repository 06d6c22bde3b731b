"""Settings of a wrong type, out of their range, misspelt, or impossible together."""

from pathlib import Path

import pytest
from doors import Case, Place, each, place

__all__ = ["place"]

# For some of each kind: all of them compose and prepare a run alike, and a sweep takes twice the time of a run.
ALL = "train grid plan search lr_find screen"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("config")
    (root / "file").touch()
    return root


def key(kind: str, line: str, words: str | list[str], doors: str = "train") -> Case:
    return Case(kind, doors, f"debug.max_steps=1 {line}", words)


TYPES = [
    key("text as a whole number", "trainer.epochs=ten", "trainer.epochs=ten: expected a whole number", ALL),
    key("fraction as a whole number", "trainer.epochs=1.5", "trainer.epochs=1.5: expected a whole number"),
    key("list as a whole number", "trainer.epochs=[1]", "trainer.epochs=[1]: expected a whole number"),
    key("dict as a whole number", "trainer.epochs={a:1}", "trainer.epochs={a:1}: expected a whole number"),
    key("null as a whole number", "seed=null", "seed=null: expected a whole number"),
    key("text as a number", "optimizer.lr=fast", "optimizer.lr=fast: expected a number", ALL),
    key("list as a number", "optimizer.lr=[1]", "optimizer.lr=[1]: expected"),
    key("text as true or false", "trainer.compile=maybe", "trainer.compile=maybe: expected true or false"),
    key("number as a list", "augment.own=5", "augment.own=5: expected a list"),
    key("number in a list of settings", "augment.own=[5]", "augment.own"),
    key("number as settings", "optimizer.kwargs=5", "optimizer.kwargs=5: expected settings"),
    key("list as settings", "model.kwargs=[1]", "model.kwargs=[1]: expected settings"),
    key(
        "one of a few", "trainer.precision=fp64", "trainer.precision=fp64: expected one of auto, fp32, bf16, fp16", ALL
    ),
    key("one of a few", "data.sampling=even", "data.sampling=even: expected one of natural, balanced"),
    key("number as a target", "model._target_=5", "model._target_=5"),
    key("empty text as a number", "optimizer.lr=", "optimizer.lr="),
]
RANGES = [
    key("zero", "trainer.epochs=0", "trainer.epochs=0: expected 1", ALL),
    key("zero", "optimizer.lr=0", "optimizer.lr=0.0: expected a number above 0"),
    key("negative", "trainer.batch_size=-5", "trainer.batch_size=-5: expected 1 or more", ALL),
    key("negative", "data.split_seed=-1", "data.split_seed=-1: expected 0 or more"),
    key("not a number", "optimizer.lr=nan", "optimizer.lr=nan: expected a number above 0", ALL),
    key("not a number", "trainer.ema=nan", "trainer.ema=nan: expected a decay"),
    key("not a number", "model.drop_path=nan", "model.drop_path=nan: expected 0 <= drop_path < 1"),
    key("not a number", "augment.flip=nan", "augment.flip=nan: expected a probability"),
    key("not a number", "augment.crop_scale=[nan,1]", "augment.crop_scale=[nan, 1.0]: expected [least, largest]"),
    key("not a number", "trainer.save_every_s=nan", "trainer.save_every_s=nan: expected 0 or more"),
    key("not a number", "scheduler.warmup_epochs=nan", "scheduler.warmup_epochs=nan: expected 0 or more"),
    key("not a number", "data.memory_gb=nan", "data.memory_gb=nan: expected 0 or more"),
    key("not a number", "sweep.max_hours=nan", "sweep.max_hours=nan: expected above 0"),
    key("not a number", "trainer.clip_norm=nan", "trainer.clip_norm=nan: expected above 0"),
    key("infinite", "optimizer.weight_decay=inf", "optimizer.weight_decay=inf: expected 0 or more"),
    key("infinite", "augment.mixup=inf", "augment.mixup=inf: expected an alpha"),
    key("infinite", "augment.crop_ratio=[1,inf]", "augment.crop_ratio=[1.0, inf]: expected [least, largest]"),
    key("number too large", "optimizer.lr=1e400", "optimizer.lr=inf: expected a number above 0"),
    key("number too small", "optimizer.lr=1e-400", "optimizer.lr=0.0: expected a number above 0"),
    key(
        "whole number too large",
        "trainer.epochs=99999999999999999999999",
        "trainer.epochs=99999999999999999999999: expected 1 to",
    ),
    key("whole number too large", "trainer.threads=99999999999", "trainer.threads=99999999999: expected auto or 1 to"),
    key("whole number too large", "seed=99999999999", "seed=99999999999: expected 0 to 4294967295"),
    key("whole number too large", "data.size=99999", "data.size=99999: expected 8 to 4096 px"),
    key(
        "too many values",
        "augment.crop_scale=[0.1,0.2,0.3]",
        "augment.crop_scale=[0.1, 0.2, 0.3]: expected [least, largest]",
    ),
]
NAMES = [
    key("misspelt key", "trainer.epoch=3", "trainer.epoch: no such key; did you mean trainer.epochs?", ALL),
    key("misspelt group", "modle=resnet18", "modle: no such key; did you mean model?", ALL),
    key("misspelt choice", "model=resnet81", "model=resnet81: no such choice; did you mean resnet18?", ALL),
    key("misspelt choice", "loss=hinge", "loss=hinge: no such choice; choose from bce, cross_entropy, focal"),
    key("misspelt class", "optimizer._target_=torch.optim.AdamV", "did you mean torch.optim.Ad"),
    key("misspelt metric", "trainer.monitor=val_accuracy", "trainer.monitor=val_accuracy", ALL),
    key("metric of the test set", "trainer.monitor=test_acc", "trainer.monitor=test_acc"),
    key(
        "module that is not there",
        "model._target_=nowhere.net",
        "model._target_=nowhere.net: No module named 'nowhere'",
    ),
    key("key of another group", "lr=0.1", "lr: no such key; did you mean optimizer.lr?"),
    key("group added", "+model=resnet50", "+model=resnet50: write it without the +"),
    key("no value", "trainer.epochs", "trainer.epochs: expected KEY=VALUE"),
    key("no key", "=3", "=3: expected KEY=VALUE"),
    key("quote that stays open", "sweep.name='a", "sweep.name='a"),
]
PAIRS = [
    key("impossible pair", "weights=imagenet1k_v2", "resnet18 has no such weights; choose from none, default", ALL),
    key(
        "impossible pair",
        "trainer.capture=true trainer.device=cpu",
        "trainer.capture=true needs a CUDA device, not cpu",
    ),
    key(
        "impossible pair", "scheduler.warmup_epochs=6", "scheduler.warmup_epochs=6.0 leaves nothing of trainer.epochs=6"
    ),
    key("impossible pair", "trainer.precision=fp16 trainer.device=cpu", "trainer.precision=fp16 needs a CUDA device"),
    key("impossible pair", "data.val_fraction=0.5 data.test_fraction=0.5", "leave no train set"),
    key("half of a pair", "data.folds=3", "data.folds=3 needs data.fold=0 to 2"),
    key("half of a pair", "data.fold=1", "data.fold=1 needs data.folds=K"),
    key("fold beyond the last", "data.folds=3 data.fold=3", "data.fold=3: expected 0 to 2"),
    key("half of a pair", "weights=checkpoint", "weights=checkpoint needs weights.path=FILE"),
    key(
        "setting that the class doesn't have",
        "optimizer.kwargs.momentumm=0.9",
        "unexpected keyword argument 'momentumm'",
    ),
    key("device that is not there", "trainer.device=cuda:99", "trainer.device=cuda:99: this machine has"),
    key("device that is none", "trainer.device=gpu", "trainer.device=gpu: expected auto, cpu, mps, cuda or cuda:N"),
]
PLACES = [
    key("name with a slash", "sweep.name=a/b", "sweep.name='a/b': expected a plain folder name"),
    key("name of dots", "sweep.name=..", "sweep.name='..': expected a plain folder name"),
    key("empty name", "sweep.name=", "sweep.name='': expected a plain folder name"),
    key("name longer than any", f"sweep.name={'x' * 300}", "300 bytes long; a folder's name may have 200 here"),
    key("empty path", "sweep.root=", "sweep.root"),
    key("file instead of a folder", "sweep.root={}/file", "sweep.root={}/file"),
    key("file instead of a folder", "sweep.root={}/file/below", "{}/file is a file, expected a folder"),
    key("device instead of a folder", "sweep.root=/dev/null", "sweep.root=/dev/null"),
    key("folder where none can be made", "sweep.root=/proc/below", "sweep.root=/proc/below"),
    key("variable that is not set", "sweep.root=${oc.env:NO_SUCH_VARIABLE}", "NO_SUCH_VARIABLE"),
]


@pytest.mark.parametrize("door, case", each(*TYPES, *RANGES, *NAMES, *PAIRS, *PLACES))
def test_config_values(place: Place, door: str, case: Case) -> None:
    if "/proc" in case.arguments and not Path("/proc").is_dir():
        pytest.skip("no /proc here")
    place.refused(door, case.arguments, case.words)
