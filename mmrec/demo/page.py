"""The page of a demo: one user's list before and after three clicks, with product pictures.

Plain HTML with everything inside it, so that it opens from disk without a server or a network.
"""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mmrec.reports.page import photograph

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --mark: #1a7f5a; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
p.lead { margin-top: 0; opacity: .8; }
.list { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 12px; }
.item { border: 1px solid var(--line); border-radius: 8px; padding: 8px; font-size: 12.5px; }
.item.new { border: 2px solid var(--mark); }
.item img, .item .blank { width: 100%; aspect-ratio: 1; object-fit: contain; background: #fff; border-radius: 5px; }
.rank { opacity: .6; } .why { color: var(--mark); margin-top: 4px; } .move { float: right; opacity: .7; }
table { border-collapse: collapse; } td, th { padding: 3px 14px 3px 0; border-bottom: 1px solid var(--line);
text-align: left; font-variant-numeric: tabular-nums; }
"""


@dataclass(frozen=True, kw_only=True)
class ShownItem:
    """One item as a page or a terminal shows it."""

    item_id: str
    title: str
    why: str = ""
    """One sentence; empty where nothing is said."""
    attributes: dict[str, str] = field(default_factory=dict)


def _card(item: ShownItem, rank: int, former_rank: int | None, image: bytes | None, *, mark: bool) -> str:
    move = ""
    if mark:
        move = "new" if former_rank is None else {0: ""}.get(former_rank - rank, f"{former_rank - rank:+d}")
    why = f'<div class="why">{html.escape(item.why)}</div>' if item.why else ""
    return (
        f'<div class="item{" new" if mark and former_rank is None else ""}">{photograph(image)}'
        f'<span class="move">{move}</span><span class="rank">{rank}</span> {html.escape(item.title)}{why}</div>'
    )


def _cards(
    items: Sequence[ShownItem],
    former: Sequence[ShownItem],
    image_of: Callable[[str], bytes | None],
    *,
    mark: bool,
) -> str:
    former_ranks = {item.item_id: rank for rank, item in enumerate(former, start=1)}
    cards = [
        _card(item, rank, former_ranks.get(item.item_id), image_of(item.item_id), mark=mark)
        for rank, item in enumerate(items, start=1)
    ]
    return f'<div class="list">{"".join(cards)}</div>'


def render_page(
    *,
    user_id: str,
    before: Sequence[ShownItem],
    clicks: Sequence[ShownItem],
    after: Sequence[ShownItem],
    facts: Sequence[tuple[str, str]],
    image_of: Callable[[str], bytes | None],
) -> str:
    """One self-contained HTML page.

    Args:
        user_id: Whose lists these are.
        before: The list before the clicks, best first.
        clicks: The items that were clicked, in order.
        after: The list after them; items that were not in `before` are marked as new.
        facts: Rows of (name, value) for the table at the end.
        image_of: Encoded picture of an item, or None.
    """
    rows = "".join(f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in facts)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>mmrec demo</title>'
        f"<style>{_STYLE}</style><h1>One user, three clicks</h1>"
        f'<p class="lead">User {html.escape(user_id)}. Items framed in green entered the list after the clicks.</p>'
        f"<h2>Before</h2>{_cards(before, [], image_of, mark=False)}"
        f"<h2>Clicked</h2>{_cards(clicks, [], image_of, mark=False)}"
        f"<h2>After</h2>{_cards(after, before, image_of, mark=True)}"
        f"<h2>The run</h2><table>{rows}</table></html>\n"
    )
