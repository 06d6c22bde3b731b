"""Where the curves of two runs part."""

import math

from training.provenance.histories import Parting, partings


def rows(*losses: float) -> list[dict[str, float]]:
    return [{"epoch": n, "train_loss": loss, "val_acc": 50.0, "seconds": n * loss} for n, loss in enumerate(losses, 1)]


def test_the_first_epoch_and_the_largest_difference() -> None:
    assert partings(rows(1.0, 0.5, 0.25), rows(1.0, 0.5, 0.25)) == []
    found = partings(rows(1.0, 0.5, 0.25, 0.125), rows(1.0, 0.75, 1.25))
    assert found == [Parting("train_loss", 2, 0.5, 0.75, 1.0, 2)]


def test_the_last_bit_counts_and_no_number_is_no_number() -> None:
    (found,) = partings(rows(1.0), rows(math.nextafter(1.0, 2.0)))
    assert found.epoch == 1 and found.largest == math.ulp(1.0)
    assert partings(rows(math.nan), rows(math.nan)) == []
    (found,) = partings(rows(1.0, math.nan), rows(1.0, 2.0))
    assert (found.epoch, found.largest) == (2, math.inf)


def test_columns_and_epochs_of_one_alone_are_not_compared() -> None:
    longer = [row | {"grad_norm": 1.0} for row in rows(1.0, 0.5)]
    assert partings(rows(1.0), longer) == [] and partings([], longer) == []
