"""Which card has room for a run: plain decisions over what is known of cards and of the runs on them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sweeps.launchers.gpu.cards import Card
from sweeps.plan.demand import Demand

MOST_SLOTS = 4  # runs on one GPU: on an H100 eight trained no more images a second than four
CONTEXT_MB = 600.0  # of a process on a GPU, before torch's allocator: context and kernels
HEADROOM = 0.05  # of a card, which stays free
IDLE_SHARE = 0.05  # of a card, which a desktop or a daemon may use: it still counts as free


@dataclass(frozen=True)
class Resident:
    """A run of ours on a card. `need_mb`: at its peak, with its context, as far as known. `sure`: by records, or since
    it has told. `seen`: it had told when nvidia-smi was asked, so that what it takes is in the card's used memory.
    `alone`: it may have no neighbour. `leaving`: it has ended, but its process may not be gone."""

    need_mb: float | None
    sure: bool = False
    seen: bool = False
    splits: bool = False
    alone: bool = False
    leaving: bool = False


def slots_of(setting: int | str, cards: int, known: bool, cores: int) -> int:
    """Slots a card for hydra.launcher.slots_per_gpu. auto: as many as ever fit, of which each run looks for room; one
    where memory can't be seen (`known`)."""
    if isinstance(setting, int):
        return setting
    return min(MOST_SLOTS, max(1, cores // max(1, cards))) if known else 1


def need_of(demand: Demand | None, told_mb: float | None) -> tuple[float | None, bool]:
    """What a run will take at its peak, in MB with its context, and whether that is sure. `told_mb`: by runs of
    its kind in this sweep."""
    if demand is None:
        return None, False
    known = max((one for one in (demand.recorded_mb, told_mb) if one is not None), default=None)
    if known is not None:
        return known + CONTEXT_MB, True
    return (None if demand.rule_mb is None else demand.rule_mb + CONTEXT_MB), False


def objection(
    demand: Demand | None, told_mb: float | None, card: Card | None, residents: Sequence[Resident], mps: bool = False
) -> str:
    """Why a run can't begin on a card beside these; nothing where it can. `mps`: they share it under MPS.

    An empty card takes any run that fits beside what other programs hold. Others join where their peak fits. Of a kind
    that nobody has seen, the first has to fit by the rule, and until it has told what it takes no other such run comes
    beside it; where there is no rule, it is alone.
    """
    need, sure = need_of(demand, told_mb)
    present = [one for one in residents if not one.leaving]
    if card is None:
        return "its memory can't be seen" if present else ""
    if card.exclusive and residents and not mps:
        return "its compute mode lets one process at a time use it"
    gone = sum(one.need_mb or 0.0 for one in residents if one.leaving)
    used = max(0.0, card.used_mb - gone)
    if not present:
        free = card.total_mb * (1 - HEADROOM) - used
        if need is None or used <= IDLE_SHARE * card.total_mb or need <= free:
            return ""
        return f"other programs hold {_gb(used)} of {_gb(card.total_mb)}, and this run needs about {_gb(need)}"
    if any(one.alone for one in present):
        return "a run that has to be alone is there"
    if need is None or any(one.need_mb is None for one in present):
        return "nothing is known of what it, or a run there, takes"
    splits = (demand is not None and demand.splits) or any(one.splits for one in present)
    unsure = sum(not one.sure for one in present)
    if unsure and (not sure or splits):
        return "a run there has not told yet what it takes"
    if not sure and splits:
        return "nothing is known of what it takes"
    needs = [(one.need_mb or 0.0, one.seen) for one in present]
    taken = max(sum(one for one, _ in needs), used + sum(one for one, seen in needs if not seen))
    return "" if need <= card.total_mb * (1 - HEADROOM) - taken else "there is no room"


def ranked(
    demand: Demand | None,
    told_mb: float | None,
    cards: Mapping[str, Card | None],
    residents: Mapping[str, Sequence[Resident]],
    under_mps: Collection[str] = (),
) -> tuple[list[str], dict[str, str]]:
    """The cards that have room for a run, those with the fewest of ours first; and why the others have none."""
    why = {
        name: objection(demand, told_mb, card, residents.get(name, ()), name in under_mps)
        for name, card in cards.items()
    }
    fit = [name for name, reason in why.items() if not reason]
    fit.sort(key=lambda name: sum(not one.leaving for one in residents.get(name, ())))
    return fit, {name: reason for name, reason in why.items() if reason}


def _gb(mb: float) -> str:
    return f"{mb / 1024:.1f} GB"
