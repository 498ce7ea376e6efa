"""The picture of the imports in CONTRIBUTING.md, which GitHub draws from Mermaid, as SVG."""

from __future__ import annotations

import html
import re

LETTER, HEIGHT, STEP, GAP, WIDTH = 7.3, 24, 62, 12, 860


def svg(mermaid: str) -> str:
    """Layers above each other, the last one on top, with a line from each module to what it imports.

    Args:
        mermaid: a flowchart of `subgraph ... end` with a name in each line, and of `a --> b`.
    """
    rows = [block.split() for block in re.findall(r"subgraph \S+\[ \]\n(.*?)\n  end", mermaid, re.S)]
    arrows = re.findall(r"^  (\w+) --> (\w+)$", mermaid, re.M)
    where, boxes = {}, []
    for number, row in enumerate(reversed(rows)):
        wide = [len(name) * LETTER + 14 for name in row]
        # Layers of few modules stand in the middle, those of many fill the width.
        gap = max(GAP, min(40, (WIDTH - sum(wide)) / len(row)))
        x, y = (WIDTH - sum(wide) - gap * (len(row) - 1)) / 2, 4 + STEP * number
        for name, width in zip(row, wide, strict=True):
            where[name] = (x + width / 2, y)
            boxes.append(
                f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{HEIGHT}" rx="5" fill="var(--pst-color-surface, #fff)" '
                f'stroke="currentColor"/><text x="{x + width / 2:.0f}" y="{y + 16}" text-anchor="middle">{html.escape(name)}</text>'
            )
            x += width + gap
    lines = []
    for above, below in arrows:
        (x, y), (to_x, to_y) = where[above], where[below]
        if y == to_y:  # neighbours of one layer: an arc below them
            path = f"M{x:.0f} {y + HEIGHT}Q{(x + to_x) / 2:.0f} {y + HEIGHT + 22} {to_x:.0f} {y + HEIGHT}"
        else:
            path = f"M{x:.0f} {y + HEIGHT}L{to_x:.0f} {to_y}"
        lines.append(f'<path d="{path}"><title>{above} imports {below}</title></path>')
    words = "; ".join(", ".join(row) for row in reversed(rows))
    alt = f"Modules of course_utils in {len(rows)} layers, from the top: {words}. Lines lead down to what a module imports."
    return (
        f'<div class="imports"><svg role="img" aria-label="{html.escape(alt)}" viewBox="0 0 {WIDTH} {STEP * len(rows) - 30}">'
        f'<g fill="none" stroke="currentColor" opacity="0.4">{"".join(lines)}</g>'
        f'<g font-family="monospace" font-size="12" fill="currentColor">{"".join(boxes)}</g></svg></div>'
    )
