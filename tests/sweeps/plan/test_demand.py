"""What a run asks of a GPU, from records and by the rule. (No GPU is needed to ask.)"""

import json
from dataclasses import asdict

from sweeps.plan.demand import MARGIN, kind_of, network_cost, recorded_mb, rule_mb, seconds_of
from training.config import ModelConfig
from training.record import Record
from training.schema.record_parts import Resolved


def config(name: str = "resnet18", batch: int = 16, size: int = 224, **trainer: object) -> dict[str, object]:
    return {"model": {"name": name}, "data": {"size": size}, "trainer": {"batch_size": batch, **trainer}}


def done(mb: float | None, precision: str = "bf16", **given: object) -> Record:
    return Record(config=config(**given), resolved=Resolved(precision=precision), gpu_memory_mb=mb)  # type: ignore[arg-type]


def test_records_of_the_same_kind_count() -> None:
    records = [done(3000), done(3200), done(9000, batch=64), done(8000, size=384), done(7000, name="resnet50")]
    records += [done(None), Record(), done(6000, precision="fp32"), done(5000, compile=True)]
    assert recorded_mb(kind_of(config(), "bf16"), records) == MARGIN * 3200
    assert recorded_mb(kind_of(config(batch=32), "bf16"), records) is None, "nobody has seen such a run"


def test_what_can_not_change_memory_is_no_other_kind() -> None:
    assert kind_of(config(epochs=3) | {"seed": 1, "optimizer": {"lr": 1}}, "bf16") == kind_of(
        config(epochs=9) | {"seed": 2, "optimizer": {"lr": 2}}, "bf16"
    )


def model(name: str) -> str:
    return json.dumps(asdict(ModelConfig(name=name)))


def test_the_rule_knows_networks_apart() -> None:
    costs = {name: network_cost(model(name), 6, 64) for name in ("resnet18", "resnet50", "swin_v2_t")}
    found = {name: cost for name, cost in costs.items() if cost is not None}
    assert len(found) == 3
    mb = {name: rule_mb(cost, 256, True, 100) for name, cost in found.items()}
    assert mb["resnet18"] < mb["resnet50"] < mb["swin_v2_t"]
    assert found["resnet18"].flops < found["resnet50"].flops
    small = found["resnet18"]
    assert rule_mb(small, 16, True, 100) < rule_mb(small, 256, True, 100) < rule_mb(small, 256, False, 100)
    torchvisions = 1.8e9  # multiply-adds an image at 224 px, as torchvision's page has it
    whole = network_cost(model("resnet18"), 1000, 224)
    assert whole is not None and 0.95 < whole.flops / (2 * torchvisions) < 1.05 and whole.parameters == 11_689_512


def test_a_network_that_needs_numbers_has_no_rule() -> None:
    own = json.dumps(asdict(ModelConfig(_target_="sweep_parts.no_such", name="")))
    assert network_cost(own, 6, 64) is None


def test_seconds() -> None:
    assert seconds_of([1.0, 2.0, 4.0], [None, None, None]) == [1.0, 2.0, 4.0], "in some unit: it is for the order"
    assert seconds_of([1.0, 2.0, None], [10.0, None, None]) == [10.0, 20.0, 15.0]
    assert seconds_of([None, None], [None, None]) == [0.0, 0.0]
