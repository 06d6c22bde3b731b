"""How two records differ, of whatever version they are."""

from typing import Any

from training.provenance.differences import Difference, differences, not_recorded
from training.record import Record


def record(**changes: Any) -> Record:
    content = {"config": {"optimizer": {"lr": 0.1}, "sweep": {"name": "a"}}, "threads": 2, "code_version": "c0de"}
    return Record.from_json(content | changes)


def test_a_key_that_a_version_lacks_is_at_its_default() -> None:
    later = record(config={"optimizer": {"lr": 0.1}, "trainer": {"on_oom": "fail"}, "sweep": {"name": "b"}})
    assert differences(record(), later) == []
    later = record(config={"optimizer": {"lr": 0.1, "kwargs": {"eps": 1e-6}}, "trainer": {"on_oom": "accumulate"}})
    assert differences(record(), later) == [
        Difference("config", "trainer.on_oom", "fail", "accumulate"),
        Difference("config", "optimizer.kwargs.eps", "not there", "1e-06"),
    ]


def test_what_is_not_recorded_is_said_and_packages_only_where_both_know_them() -> None:
    new = record(versions={"packages": "numpy==2.1 torch==2.9"}, machine={"cores": 4})
    assert differences(record(), new) == [Difference("machine", "cores", "not recorded", "4")]
    assert "packages" in not_recorded(record()) and "packages" not in not_recorded(new)
    newer = record(versions={"packages": "numpy==2.2 timm==1.0"}, machine={"cores": 4})
    assert differences(new, newer) == [
        Difference("packages", "numpy", "2.1", "2.2"),
        Difference("packages", "torch", "2.9", "not installed"),
        Difference("packages", "timm", "not installed", "1.0"),
    ]


def test_nonsense_in_a_record_raises_nothing() -> None:
    odd = record(config=[1], versions={"packages": 5}, machine="x", data=3, resolved={"lr": {}}, threads="many")
    assert differences(record(), odd) and differences(odd, odd) == []
