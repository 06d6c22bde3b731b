"""The data cards that runs left in their sweeps' folders, for the page; nothing where older runs left none."""

import base64
import io
import os
from pathlib import Path
from typing import Any

from PIL import Image

from analysis.model.model import ReportModel
from analysis.model.table import distinct
from training.run_folder import contact_sheet_file, data_card_file, read_json
from training.schema.data_card import DataCard, counts_of, facts
from training.schema.json_parts import as_whole, from_keys

MOST_ROWS = 24  # classes
MOST_BYTES, MOST_PIXELS = 3_000_000, 10_000_000  # of a contact sheet


def data_cards(model: ReportModel) -> list[dict[str, Any]]:
    """A card for each set of images, where there is one."""
    runs = distinct(model.runs)
    known = runs[runs["data_fingerprint"].notna()] if "data_fingerprint" in runs else runs.iloc[:0]
    found: dict[str, dict[str, Any]] = {}
    for run, fingerprint in zip(known["folder"], known["data_fingerprint"], strict=True):
        sweep = Path(os.path.dirname(os.path.dirname(str(run))))  # noqa: PTH120
        if str(fingerprint) not in found and (content := read_json(sweep / data_card_file(str(fingerprint)))):
            card = from_keys(DataCard, content)
            found[str(fingerprint)] = shown(card, sweep / contact_sheet_file(str(fingerprint)))
    return list(found.values())


def shown(card: DataCard, sheet: Path) -> dict[str, Any]:
    """What page.html shows of a card."""
    counts = dict(counts_of(card))
    strips = {str(name): number for number, name in enumerate(card.shown or [])}
    chosen = [name for name in strips if name in counts] or list(counts)[:MOST_ROWS]
    chosen = chosen[:MOST_ROWS] if len(counts) > MOST_ROWS else list(counts)
    rows = [{"name": name, "counts": counts[name], "strip": strips.get(name)} for name in chosen]
    rest = [row for name, row in counts.items() if name not in set(chosen)]
    total = [sum(row[split] for row in counts.values()) for split in range(3)]
    return {
        "heading": card.data or "",
        "split": card.split or "",
        "rows": rows,
        "more": [_range([row[split] for row in rest]) for split in range(3)] if rest else [],
        "n_more": len(rest),
        "total": total if len(counts) > 1 else [],
        "facts": list(facts(card)),
        "sheet": picture(card, sheet, len(strips)),
    }


def _range(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def picture(card: DataCard, file: Path, rows: int) -> dict[str, Any]:
    """The contact sheet in base64 and its measures in px; {} where it isn't there or isn't one."""
    side, label, columns = (as_whole((card.sheet or {}).get(key)) for key in ("side", "label", "columns"))
    if not side or label is None or not columns:
        return {}
    try:
        if not file.is_file() or file.stat().st_size > MOST_BYTES:
            return {}
        content = file.read_bytes()
        with Image.open(io.BytesIO(content), formats=("WEBP",)) as image:
            if image.size != (label + columns * side, rows * side) or image.width * image.height > MOST_PIXELS:
                return {}
    except Exception:  # whatever a file can be
        return {}
    return {"webp": base64.b64encode(content).decode(), "side": side, "label": label, "width": columns * side}
