"""Draws how the costs grow with the number of agents: `python -m tests.bench.curve PICTURE.svg FIGURES.json ...`.

One file for each size, of `python -m tests.bench FIGURES.json --only mass --agents N`.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 300, 220
LEFT, TOP, INNER_W, INNER_H = 50, 34, 220, 140
COLOURS = ("#1f6feb", "#d29922", "#8250df")


@dataclass(frozen=True, slots=True)
class Curve:
    """A line of a diagram: its name and its points."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Panel:
    """A diagram with several curves. `limit`: what must not be passed, drawn as a dashed line."""

    title: str
    curves: Sequence[Curve]
    limit: float | None = None

    @property
    def highest(self) -> float:
        values = [y for curve in self.curves for _, y in curve.points]
        return max([*values, self.limit or 0.0]) * 1.1 or 1.0

    @property
    def widest(self) -> float:
        return max(x for curve in self.curves for x, _ in curve.points)


def panels(days: Sequence[Mapping[str, Any]]) -> list[Panel]:
    """Makes the diagrams from the figures of the days."""

    def curve(name: str, *path: str) -> Curve:
        return Curve(name, [(day["agents"], _at(day, path)) for day in days])

    return [
        Panel(
            "until all is in Asterisk (s)",
            [curve("cold start", "cold_start", "settled_s"), curve("a fifth logs in", "shift_start", "settled_s")],
        ),
        Panel(
            "deepest task processor",
            [curve("cold start", "cold_start", "deepest"), curve("a fifth logs in", "shift_start", "deepest")],
            limit=450,
        ),
        Panel("a resync without a difference (s)", [curve("resync", "resync", "seconds")]),
        Panel("memory of the daemon (MB)", [curve("RSS", "rss_mb")], limit=100),
    ]


def _at(day: Mapping[str, Any], path: Sequence[str]) -> float:
    value: Any = day
    for name in path:
        value = value[name]
    return float(value)


def svg(drawn: Sequence[Panel]) -> str:
    """Returns the diagrams as an SVG picture."""
    size = f"0 0 {2 * WIDTH} {HEIGHT * ((len(drawn) + 1) // 2)}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}" font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for number, panel in enumerate(drawn):
        parts.append(f'<g transform="translate({number % 2 * WIDTH},{number // 2 * HEIGHT})">')
        parts += [*_axes(panel), *_lines(panel), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _axes(panel: Panel) -> list[str]:
    bottom, right = TOP + INNER_H, LEFT + INNER_W
    ticks = sorted({x for curve in panel.curves for x, _ in curve.points})
    return [
        f'<text x="{LEFT}" y="16" font-weight="bold">{panel.title}</text>',
        f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="#57606a"/>',
        *(f'<text x="{_x(panel, x):.0f}" y="{bottom + 15}" text-anchor="middle">{x:,.0f}</text>' for x in ticks),
        *(
            f'<text x="{LEFT - 4}" y="{_y(panel, y) + 4:.0f}" text-anchor="end">{y:.3g}</text>'
            for y in (0.0, panel.highest / 2, panel.highest)
        ),
        *_limit(panel, right),
    ]


def _limit(panel: Panel, right: int) -> list[str]:
    if panel.limit is None:
        return []
    y = f"{_y(panel, panel.limit):.1f}"
    return [
        f'<path d="M{LEFT} {y}H{right}" stroke="#cf222e" stroke-dasharray="5 3"/>',
        f'<text x="{right}" y="{float(y) - 4:.1f}" fill="#cf222e" text-anchor="end">at most {panel.limit:g}</text>',
    ]


def _lines(panel: Panel) -> list[str]:
    parts = []
    for number, curve in enumerate(panel.curves):
        colour = COLOURS[number]
        places = [(_x(panel, x), _y(panel, y)) for x, y in curve.points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        parts.append(f'<text x="{LEFT + 8 + 90 * number}" y="{TOP + INNER_H + 32}" fill="{colour}">{curve.name}</text>')
    return parts


def _x(panel: Panel, x: float) -> float:
    return LEFT + INNER_W * x / panel.widest


def _y(panel: Panel, y: float) -> float:
    return TOP + INNER_H * (1 - y / panel.highest)


def main(picture: Path, *figures: Path) -> None:
    days = sorted((json.loads(path.read_text())["mass"] for path in figures), key=lambda day: day["agents"])
    picture.write_text(svg(panels(days)))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
