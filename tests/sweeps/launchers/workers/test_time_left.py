"""Which runs a worker takes whose time is short."""

from sweeps.launchers.workers.serving import can_end


def test_no_run_is_taken_whose_first_epoch_can_not_end() -> None:
    assert can_end(100.0, left_s=200.0, lived_s=1000.0) and can_end(None, left_s=1.0, lived_s=1000.0)
    assert not can_end(100.0, left_s=90.0, lived_s=1000.0)
    assert can_end(100.0, left_s=90.0, lived_s=1.0), "nobody will have more time"
