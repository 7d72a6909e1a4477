"""One page with everything inside it, so that it opens from disk without a server or a network.

page("Content of a catalogue", [section("Missing values", chart, table(...), text="Of 44,446 items.")])
"""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

from PIL import Image

from mmrec.catalog.pictures import BrokenPictureError, read_picture

MAX_RAW_BYTES: Final = 12_000
"""Larger pictures are shown smaller."""
THUMBNAIL: Final = 160
_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
h3 { font-size: 1rem; margin: 1rem 0 .2rem; } .part { max-width: 100%; }
p { opacity: .85; } .row { display: flex; flex-wrap: wrap; gap: 12px; } svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; } td, th { padding: 3px 16px 3px 0; border-bottom: 1px solid #8884; text-align: left;
font-variant-numeric: tabular-nums; vertical-align: top; } svg text { fill: currentColor; }
.strip { display: flex; flex-wrap: wrap; gap: 8px; margin: .4rem 0 .9rem; align-items: flex-start; }
.card { width: 112px; font-size: 11.5px; line-height: 1.3; overflow-wrap: anywhere; }
.card img, .card .blank { width: 112px; height: 112px; object-fit: contain; background: #fff; border-radius: 5px; }
.card.asked { border-right: 2px solid #8888; padding-right: 8px; } .caption { opacity: .65; }
"""


def page(title: str, sections: Sequence[str], *, lead: str = "") -> str:
    """The whole file."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1><p>{html.escape(lead)}</p>"
        f"{''.join(sections)}</body></html>\n"
    )


def section(title: str, *parts: str, text: str = "") -> str:
    """A heading and parts that stand beside each other where there is room; nothing where all parts are empty."""
    body = "".join(part for part in parts if part)
    if not body:
        return ""
    return f'<h2>{html.escape(title)}</h2>{f"<p>{html.escape(text)}</p>" if text else ""}<div class="row">{body}</div>'


def table(rows: Sequence[Sequence[Any]], columns: Sequence[str] = ()) -> str:
    """Rows of texts and numbers under the names of their columns."""
    if not rows:
        return ""
    head = f"<tr>{''.join(f'<th>{html.escape(name)}</th>' for name in columns)}</tr>" if columns else ""
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(_cell(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{head}{body}</table>"


def named_values(values: Mapping[str, Any], title: str = "") -> str:
    """A table of two columns; "_" in names become spaces."""
    columns = (title, "") if title else ()
    return table([(name.replace("_", " "), value) for name, value in values.items()], columns)


def card(text: str, image: bytes | None, *, caption: str = "", asked: bool = False) -> str:
    """A photograph with a text under it."""
    below = f'<div class="caption">{html.escape(caption)}</div>' if caption else ""
    return (
        f'<div class="card{" asked" if asked else ""}">{photograph(image)}<div>{html.escape(text)}</div>{below}</div>'
    )


def photograph(image: bytes | None) -> str:
    """An <img> that holds its picture; a blank place where there is none or it is broken."""
    found = _data_uri(image) if image else ""
    return f'<img alt="" src="{found}">' if found else '<div class="blank"></div>'


def _data_uri(image: bytes) -> str:
    media_type = "image/png" if image.startswith(b"\x89PNG") else "image/jpeg" if image.startswith(b"\xff\xd8") else ""
    if not media_type or len(image) > MAX_RAW_BYTES:
        try:
            pixels = read_picture(image, size=THUMBNAIL)
        except BrokenPictureError:
            return ""
        smaller = io.BytesIO()
        Image.fromarray(pixels).save(smaller, format="JPEG", quality=80)
        image, media_type = smaller.getvalue(), "image/jpeg"
    return f"data:{media_type};base64,{base64.b64encode(image).decode('ascii')}"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
