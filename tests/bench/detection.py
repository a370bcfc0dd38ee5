"""Measures docs/detection.md: every table is what `weakspot simulate` says, run by this script.

    python tests/bench/detection.py

takes about twenty minutes on one core, and rewrites the part of docs/detection.md between its
marks, and docs/img/detection.svg. What it found is kept in docs/img/detection.json;
`--draw` only draws and writes from there.
"""

import json
import math
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE, FIGURE = ROOT / "docs/detection.md", ROOT / "docs/img/detection.svg"
FOUND = ROOT / "docs/img/detection.json"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

# More runs where the median lies between two days.
RUNS = {
    "--drop 0.40": {15: 4000, 1000: 300, 2500: 120},
    "--drop 0.60": {15: 4000, 1000: 300, 2500: 120},
    "--drop 0.80": {15: 10_000, 1000: 1500, 2500: 300},
    "--drop 0.80 --adaptive": {15: 10_000, 1000: 300, 2500: 400},
    "--drop 0.90 --adaptive --days 90": {15: 10_000, 1000: 1500, 2500: 150},
    "--drop 0.80 --correlation 0.1": {1000: 500},
}
GOALS = {  # median and 90th percentile in days, from the specification
    "--drop 0.40": {15: (1, 2), 1000: (2, 2), 2500: (2, 3)},
    "--drop 0.60": {15: (2, 3), 1000: (3, 4), 2500: (3, 5)},
    "--drop 0.80": {15: (5, 10), 1000: (8, 14), 2500: (9, 16)},
    "--drop 0.80 --adaptive": {15: (3, 6), 1000: (4, 7), 2500: (4, 6)},
    "--drop 0.90 --adaptive --days 90": {15: (12, 25), 1000: (14, 25), 2500: (16, 31)},
}
ALIKE = "--drop 0.80 --correlation 0.1"
RULES_AT = {15: 4000, 1000: 150}
UNEQUAL = [
    "--reference-images 50",
    "--reference-images 200",
    "--unlikeness 0.05 --reference-images 50",
    "--unlikeness 0.05 --reference-images 200",
]
COLOURS = ("#b3261e", "#5f6368", "#1a73e8", "#e37400", "#188038")


def main() -> None:
    """Measure, unless only drawing is asked for; then write the page and the figure."""
    if "--draw" not in sys.argv:
        FOUND.write_text(json.dumps(measure(), indent=1), encoding="utf-8")
    found = json.loads(FOUND.read_text(encoding="utf-8"))
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    tail = rest.partition(END)[2]
    PAGE.write_text(f"{head}{BEGIN}\n\n{tables(found)}\n{END}{tail}", encoding="utf-8")
    FIGURE.write_text(figure(found), encoding="utf-8")


def measure() -> dict[str, dict]:
    """Run every command of the page, and return what each printed."""
    commands = [_command(k, words) for words, runs in RUNS.items() for k in runs]
    commands += [_unequal(words) for words in UNEQUAL]
    commands += [_rules(k, drop) for k in RULES_AT for drop in ("0.80", "0.60", "0.40")]
    found = {}
    for command in commands:
        print(command, file=sys.stderr, flush=True)  # noqa: T201
        words = [sys.executable, "-m", "weakspot", *command.split()[1:], "--json"]
        done = subprocess.run(words, check=True, capture_output=True, text=True, cwd=ROOT)
        found[command] = json.loads(done.stdout)
    return found


def _command(classes: int, words: str) -> str:
    return f"weakspot simulate --classes {classes} {words} --runs {RUNS[words][classes]} --seed 1"


def _unequal(words: str) -> str:
    return f"weakspot simulate --classes 1000 --heterogeneous {words} --runs 60 --seed 1"


def _rules(classes: int, drop: str) -> str:
    runs = RULES_AT[classes]
    return f"weakspot simulate --classes {classes} --drop {drop} --rules --runs {runs} --seed 2"


def tables(found: dict[str, dict]) -> str:
    """Return the page's tables in Markdown, each row beside the command that gave it."""
    return "\n".join([*_goals(found), *_comparison(found), *_unequal_classes(found)])


def _goals(found: dict[str, dict]) -> list[str]:
    lines = [
        "| command | false alarms in 30 days | median (goal) | 90th percentile (goal) | never |",
        "|---|---|---|---|---|",
    ]
    for words, goals in GOALS.items():
        lines += [_row(_command(k, words), found, goal) for k, goal in goals.items()]
    return [*lines, _row(_command(1000, ALIKE), found, (16, 24)), ""]


def _row(command: str, found: dict[str, dict], goal: tuple[int, int]) -> str:
    got = found[command]
    false = f"{got['false_alarms']:.3f} ± {got['false_alarms_error']:.3f}"
    median = f"{_span(got, 'delay_median')} ({goal[0]})"
    late = f"{_span(got, 'delay_p90')} ({goal[1]})"
    never = f"{got['never']} of {got['plan']['runs']}"
    return f"| `{command}` | {false} | {median} | {late} | {never} |"


def _span(got: dict, name: str) -> str:
    """Return a delay, with its 95 % interval where that is more than one day."""
    low, high = got[f"{name}_interval"]
    return f"{got[name]}" if low == high else f"{got[name]} [{low} to {high}]"


def _comparison(found: dict[str, dict]) -> list[str]:
    lines = [
        "## Beside the rules that others use",
        "",
        "Delays are the median and, after the stroke, the 90th percentile, in days, on the",
        "same answers; FA are false class-alarms in 30 days.",
        "",
    ]
    for classes in RULES_AT:
        commands = [_rules(classes, drop) for drop in ("0.80", "0.60", "0.40")]
        lines += [f"K = {classes}: `{commands[0]}`, and likewise for 0.60 and 0.40.", ""]
        lines += ["| rule | FA | to 0.80 | to 0.60 | to 0.40 |", "|---|---|---|---|---|"]
        for rows in zip(*(_ways(found[command]) for command in commands), strict=True):
            delays = [f"{_past(row, 'delay_median')} / {_past(row, 'delay_p90')}" for row in rows]
            false = f"{rows[0]['false_alarms']:.3f}"
            lines.append(f"| {rows[0]['name']} | {false} | {' | '.join(delays)} |")
        lines.append("")
    return [*lines, "![Delay against false alarms](img/detection.svg)", ""]


def _ways(got: dict) -> list[dict]:
    return [got, *got["rules"]]


def _past(row: dict, name: str) -> str:
    return "> 30" if row[name] is None else str(row[name])


def _unequal_classes(found: dict[str, dict]) -> list[str]:
    lines = [
        "## Unequal classes, held to estimated levels",
        "",
        "| command | false alarms in 30 days | median | never |",
        "|---|---|---|---|",
    ]
    for words in UNEQUAL:
        got = found[_unequal(words)]
        never = f"{got['never']} of {got['plan']['runs']}"
        false = f"{got['false_alarms']:.2f} ± {got['false_alarms_error']:.2f}"
        lines.append(f"| `{_unequal(words)}` | {false} | {_past(got, 'delay_median')} | {never} |")
    return [*lines, ""]


def figure(found: dict[str, dict]) -> str:
    """Return delay against false alarms as SVG: lower and further left is better."""
    body = [_text(310, 24, "Median days to notice a drop from 0.95 to 0.80", 15, "middle")]
    for panel, classes in enumerate(RULES_AT):
        body += _panel(60 + 290 * panel, classes, _ways(found[_rules(classes, "0.80")]))
    names = [row["name"] for row in _ways(found[_rules(15, "0.80")])]
    for i, name in enumerate(names):
        x, y = 60 + 190 * (i % 3), 352 + 22 * (i // 3)
        body += [_dot(x, y - 4, i), _text(x + 12, y, name, 12)]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 620 390" role="img"'
        ' font-family="sans-serif"><rect width="620" height="390" fill="#fff"/>'
        f"{''.join(body)}</svg>\n"
    )


def _panel(left: int, classes: int, rows: list[dict]) -> list[str]:
    width, top, height = 240, 60, 220
    body = [_text(left + width / 2, 48, f"{classes:,} classes", 13, "middle")]
    for power in range(-3, 4):
        x = left + width * (power + 3) / 6
        body += [_line(x, top, x, top + height), _text(x, 296, f"{10.0**power:g}", 11, "middle")]
    for days in (0, 2, 4, 6, 8, 10):
        y = top + height * (1 - days / 10)
        body += [_line(left, y, left + width, y), _text(left - 8, y + 4, str(days), 11, "end")]
    body.append(_text(left + width / 2, 318, "false alarms in 30 days", 12, "middle"))
    for i, row in enumerate(rows):
        power = math.log10(max(row["false_alarms"], 1e-3))
        y = top + height * (1 - row["delay_median"] / 10)
        body.append(_dot(left + width * (power + 3) / 6, y, i))
    return body


def _dot(x: float, y: float, way: int) -> str:
    size = 8 if way == 0 else 6
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" fill="{COLOURS[way]}"/>'


def _line(x: float, y: float, to_x: float, to_y: float) -> str:
    ends = f'x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"'
    return f'<line {ends} stroke="#ddd"/>'


def _text(x: float, y: float, words: str, size: int, anchor: str = "start") -> str:
    safe = words.replace("<", "&lt;")
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"'
    return f'<text {place} fill="#222">{safe}</text>'


if __name__ == "__main__":
    main()
