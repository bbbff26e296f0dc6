"""Bar charts as SVG, readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT, ROW, GAP, TOP = 760, 130, 110, 20, 14, 8

STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.number { font-size: 11px }
.spread { stroke: #57606a; stroke-width: 1.5 }
.ours { fill: #1a7f37 }
.floor { fill: none; stroke: #57606a; stroke-dasharray: 3 2 }
.rival { fill: #8c959f }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .spread { stroke: #c9d1d9 }
  .ours { fill: #3fb950 }
  .floor { stroke: #c9d1d9 }
  .rival { fill: #6e7681 }
}"""


@dataclass(frozen=True, slots=True)
class Bar:
    """`kind`: ours, floor or rival, which is its colour; `low` and `high` are its spread."""

    name: str
    kind: str
    number: float
    low: float
    high: float
    text: str


@dataclass(frozen=True, slots=True)
class Group:
    """Bars of one scale below a title."""

    title: str
    bars: Sequence[Bar]


def chart(title: str, groups: Sequence[Group]) -> str:
    """All groups, one below the other; each has a scale of its own."""
    height = TOP + sum(ROW * (len(group.bars) + 1) + GAP for group in groups)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' role="img"><title>{escape(title)}</title><style>{STYLE}</style>'
    )
    lines = [head]
    top = TOP
    for group in groups:
        lines += drawn(group, top)
        top += ROW * (len(group.bars) + 1) + GAP
    return "\n".join([*lines, "</svg>", ""])


def drawn(group: Group, top: int) -> Iterator[str]:
    """One group, from this height on."""
    yield f'<text class="title" x="0" y="{top + 13}">{escape(group.title)}</text>'
    scale = (WIDTH - LEFT - RIGHT) / (max(bar.high for bar in group.bars) or 1)
    for number, bar in enumerate(group.bars, 1):
        y = top + number * ROW
        middle, end = y + ROW // 2 - 1, LEFT + bar.high * scale
        yield f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(bar.name)}</text>'
        size = f'x="{LEFT}" y="{y + 3}" width="{max(1.0, bar.number * scale):.1f}" height="{ROW - 7}"'
        yield f'<rect class="{bar.kind}" {size}/>'
        yield f'<path class="spread" d="M{LEFT + bar.low * scale:.1f} {middle}H{end:.1f}"/>'
        yield f'<text class="number" x="{end + 6:.1f}" y="{y + 13}">{escape(bar.text)}</text>'
