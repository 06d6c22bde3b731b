"""Which card has room for a run: decisions over plain data."""

from dataclasses import replace

import pytest

from sweeps.launchers.gpu.cards import Card
from sweeps.launchers.gpu.placing import CONTEXT_MB, Resident, need_of, objection, ranked, slots_of
from sweeps.plan.demand import Demand

CARD = Card("0", "GPU-a", total_mb=80_000, used_mb=0)
KNOWN, RULE, UNKNOWN = Demand("k", recorded_mb=10_000), Demand("r", rule_mb=10_000), Demand("u")


def there(mb: float | None = 10_000, **given: bool) -> Resident:
    return Resident(mb, **{"sure": True, "seen": True, **given})


def test_slots_a_card() -> None:
    assert [slots_of("auto", cards, True, cores) for cards, cores in ((1, 16), (1, 2), (4, 16), (8, 4))] == [4, 2, 4, 1]
    assert slots_of("auto", 1, False, 16) == 1, "where memory can't be seen"
    assert slots_of(7, 1, False, 2) == 7, "a number is the user's word"


def test_need() -> None:
    assert need_of(KNOWN, None) == (10_000 + CONTEXT_MB, True)
    assert need_of(KNOWN, 12_000) == (12_000 + CONTEXT_MB, True), "what this sweep has seen, where it is more"
    assert need_of(RULE, None) == (10_000 + CONTEXT_MB, False)
    assert need_of(RULE, 3_000) == (3_000 + CONTEXT_MB, True), "a rule gives way to what was seen"
    assert need_of(UNKNOWN, None) == (None, False) == need_of(None, None)


@pytest.mark.parametrize(
    ("demand", "card", "residents", "why"),
    [
        (KNOWN, CARD, [], ""),
        (UNKNOWN, CARD, [], ""),
        (None, None, [], ""),
        (KNOWN, None, [there()], "can't be seen"),
        (KNOWN, CARD, [there()] * 3, ""),
        (KNOWN, CARD, [there(17_000)] * 4, "no room"),
        (KNOWN, CARD, [there(70_000)], "no room"),
        (UNKNOWN, CARD, [there()], "nothing is known"),  # alone
        (KNOWN, CARD, [there(None)], "nothing is known"),  # that one is alone
        (RULE, CARD, [there()], ""),
        (RULE, CARD, [there(sure=False)], "not told yet"),  # one that nobody has seen at a time
        (KNOWN, CARD, [there(sure=False)], ""),
        (KNOWN, CARD, [there(alone=True)], "has to be alone"),
        (KNOWN, CARD, [there(80_000, leaving=True)], ""),
    ],
)
def test_who_may_begin(demand: Demand | None, card: Card | None, residents: list[Resident], why: str) -> None:
    found = objection(demand, None, card, residents)
    assert why in found and bool(why) == bool(found), found


def test_memory_of_other_programs() -> None:
    full = replace(CARD, used_mb=70_000)
    assert (
        objection(KNOWN, None, full, []) == "other programs hold 68.4 GB of 78.1 GB, and this run needs about 10.4 GB"
    )
    assert objection(KNOWN, None, replace(CARD, used_mb=60_000), []) == ""
    assert objection(replace(KNOWN, recorded_mb=99_000), None, replace(CARD, used_mb=900), []) == "", "it has to try"
    # Ours are in what nvidia-smi says, once they have told; before, they will take it
    assert objection(KNOWN, None, replace(CARD, used_mb=60_000), [there(50_000)]) == ""
    assert objection(KNOWN, None, replace(CARD, used_mb=60_000), [there(50_000, seen=False)]) == "there is no room"
    # one that has ended may still be in it
    assert objection(KNOWN, None, replace(CARD, used_mb=75_000), [there(50_000, leaving=True)]) == ""


def test_a_lack_of_memory_may_not_change_results() -> None:
    """Runs with on_oom=accumulate would go on in smaller pieces: no run of which nothing is known comes beside them."""
    splits = replace(KNOWN, splits=True)
    assert objection(splits, None, CARD, [there()]) == ""
    assert objection(splits, None, CARD, [there(sure=False)]) and objection(RULE, None, CARD, [there(splits=True)])
    assert objection(replace(RULE, splits=True), None, CARD, [there()])


def test_a_card_for_one_process_at_a_time() -> None:
    exclusive = replace(CARD, exclusive=True)
    assert objection(KNOWN, None, exclusive, []) == ""
    assert "one process" in objection(KNOWN, None, exclusive, [there()])
    assert "one process" in objection(KNOWN, None, exclusive, [there(leaving=True)])
    assert objection(KNOWN, None, exclusive, [there()], mps=True) == ""


def test_the_emptiest_card_first() -> None:
    cards = {"0": CARD, "1": CARD, "2": replace(CARD, used_mb=79_000)}
    residents = {"0": [there(), there()], "1": [there(), there(leaving=True)]}
    fit, why = ranked(KNOWN, None, cards, residents)
    assert fit == ["1", "0"] and list(why) == ["2"] and why["2"].startswith("other programs")


def test_twelve_mixed_runs_never_take_more_than_there_is() -> None:
    """Four kinds, three runs each, placed and ended by turns on one card: what they take at their peak always fits,
    though nobody knew it, and all of them get their turn."""
    card, takes = Card("0", "GPU-a", 40_000, 2_500), {"a": 3_000.0, "b": 6_000.0, "c": 11_000.0, "d": 16_000.0}
    waiting = [Demand(kind, rule_mb=1.4 * takes[kind]) for kind in "dcba" for _ in range(3)]
    told: dict[str, float] = {}
    running: list[tuple[Demand, bool]] = []  # and whether it has told
    most = ended = 0
    while waiting or running:
        used = 2_500 + sum(takes[one.kind] + CONTEXT_MB for one, seen in running if seen)
        now = replace(card, used_mb=used)
        residents = []
        for one, seen in running:
            need, sure = need_of(one, told.get(one.kind))
            residents.append(Resident(need, sure, seen))
        fits = [one for one in waiting if not objection(one, told.get(one.kind), now, residents)]
        if fits and len(running) < 4:
            waiting.remove(fits[0])
            running.append((fits[0], False))
        elif any(not seen for _, seen in running):
            running = [(one, True) for one, _ in running]
            told |= {one.kind: 1.1 * takes[one.kind] for one, _ in running}
        else:
            running.pop(0)
            ended += 1
        assert 2_500 + sum(takes[one.kind] + CONTEXT_MB for one, _ in running) <= card.total_mb
        most = max(most, len(running))
    assert ended == 12 and most >= 3
