"""The findings as one HTML file that opens without network: the pictures of each side by side."""

import base64
import io
from importlib.resources import files
from itertools import groupby
from typing import Any

from training.auditing.findings import KINDS, Audit
from training.data.files.decoding import BadImage

SIDE, MOST_PICTURES, MOST_FINDINGS = 160, 8, 200  # px; pictures a finding, findings a kind


def page(audit: Audit, named: str) -> str:
    """The whole file. `named`: what to call the data."""
    from jinja2 import Environment, StrictUndefined

    sections = []
    for kind, some in groupby(audit.findings, key=lambda one: one.kind):
        found = list(some)
        shown = [
            {
                "what": one.what,
                "score": "" if one.score is None else f"{one.score:.3f}",
                "pictures": [_picture(audit, index) for index in one.images[:MOST_PICTURES]],
                "more": max(0, len(one.images) - MOST_PICTURES),
            }
            for one in found[:MOST_FINDINGS]
        ]
        sections.append({"kind": kind, "why": KINDS[kind], "count": len(found), "findings": shown})
    template = (files("training.auditing") / "page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text: str = environment.from_string(template).render(
        named=named, summary=audit.dataset.summary(), sections=sections, leaks=audit.leaks
    )
    return text.encode("utf-8", "backslashreplace").decode()


def _picture(audit: Audit, index: int) -> dict[str, Any]:
    about = {"name": audit.dataset.names[index], "split": audit.split_of[index], "label": audit.label(index)}
    try:
        image = audit.dataset.load(index)
    except BadImage:  # gone since it was looked at
        return about | {"jpeg": ""}
    image = image.copy()
    image.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    image.convert("RGB").save(stream, "JPEG", quality=80)
    return about | {"jpeg": base64.b64encode(stream.getvalue()).decode()}
