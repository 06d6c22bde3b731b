"""A run that breaks in the middle and goes on, beside the same one unbroken."""

from pathlib import Path

from conftest import QUICK, Door
from outcome import TINY, outcome

MOVING = [*QUICK, TINY, "optimizer=sgd", "optimizer.lr=0.05", "optimizer.weight_decay=0.01", "scheduler=onecycle"]
MOVING += ["trainer.epochs=4", "data.size=16", "data.stored_size=20", "augment=standard"]  # 2 batches an epoch


def unbroken_and_mended(train: Door, tmp_path: Path, *arguments: str) -> tuple[Path, Path]:
    """Two run folders of MOVING with `arguments`: the second broke in its third epoch, and the same command went on.
    Asserts that they came to the same, to the bit."""
    stopping = [f"+model.kwargs.stop={tmp_path / 'stop'}", "+model.kwargs.at=5"]
    for name in ("unbroken", "mended"):
        if name == "mended":
            (tmp_path / "stop").write_text("break")
            assert train(*MOVING, *arguments, *stopping, f"sweep.name={name}").code == 1
            (tmp_path / "stop").unlink()
        done = train(*MOVING, *arguments, *stopping, f"sweep.name={name}")
        assert done.code == 0, done.err
    assert "going on after epoch 2 of 4" in done.out
    (unbroken,), (mended,) = ((tmp_path / "outputs" / name).glob("*/*") for name in ("unbroken", "mended"))
    assert outcome(unbroken) == outcome(mended)
    return unbroken, mended
