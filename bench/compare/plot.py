"""Throughput as bars, written as SVG by hand."""
from xml.sax.saxutils import escape

from compare.stats import Sample

COLOURS = {"klamm": "#1f6f8b", "kafka": "#c9a227"}
BAR, GAP, LEFT, WIDTH, TOP = 18, 14, 190, 860, 46


def panel(title, cells, top):
    """(elements, height) of one direction: a group a client, a bar a broker, whiskers from least to greatest."""
    samples = [(cell["client"], cell["broker"], Sample([run["records"] / run["seconds"] / 1e6 for run in cell["runs"]])) for cell in cells if cell["runs"]]
    if not samples:
        return [], 0
    most = max(sample.high for _, _, sample in samples)
    scale = (WIDTH - LEFT - 120) / most
    out = [f'<text x="12" y="{top + 18}" font-size="16" font-weight="bold">{escape(title)}</text>']
    y, last = top + 34, None
    for client, broker, sample in sorted(samples, key=lambda one: (one[0] != "klamm", one[0], one[1] != "klamm")):
        if last not in (None, client):
            y += GAP
        if client != last:
            out.append(f'<text x="{LEFT - 10}" y="{y + BAR + 2}" text-anchor="end">{escape(client)}</text>')
        last = client
        length, low, high = (value * scale for value in (sample.median, sample.low, sample.high))
        middle = y + BAR / 2 - 1
        out += [f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 2}" fill="{COLOURS[broker]}"/>',
                f'<line x1="{LEFT + low:.1f}" y1="{middle}" x2="{LEFT + high:.1f}" y2="{middle}" stroke="#222" stroke-width="1.5"/>',
                f'<text x="{LEFT + high + 8:.1f}" y="{y + BAR - 5}" font-size="12">{sample.median:.2f}</text>']
        y += BAR
    return out, y - top + 24


def svg(results):
    section = results["sections"].get("throughput", {"cells": []})
    out, top = [], TOP
    for direction in ("produce", "consume"):
        elements, height = panel(f"{direction}, million records a second", [cell for cell in section["cells"] if cell["direction"] == direction], top)
        out += elements
        top += height
    legend = [f'<rect x="{LEFT + index * 170}" y="14" width="14" height="14" fill="{colour}"/><text x="{LEFT + 20 + index * 170}" y="26">broker: '
              f'{"Apache Kafka" if name == "kafka" else name}</text>' for index, (name, colour) in enumerate(COLOURS.items())]
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" font-family="sans-serif" font-size="14">',
                      f'<rect width="{WIDTH}" height="{top}" fill="white"/>', *legend, *out, "</svg>"]) + "\n"
