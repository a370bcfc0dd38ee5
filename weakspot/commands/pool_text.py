"""What `weakspot data` tells a person in a terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.catalog import ClassSize, DaySample, ImportReport, Profile, Verification
from weakspot.front import visible

COLOURS = {"train": "blue", "val": "yellow", "test": "green"}

_BAR = 40  # columns that the largest class takes
_ROWS = 60  # classes listed; of more, the largest and the smallest
_EXAMPLES = 3

_REASONS = {
    "corrupt": "are no image that can be decoded",
    "unreadable": "cannot be read",
    "duplicate": "repeat the bytes of another image",
    "two_labels": "carry two labels",
    "label": "stand in a class whose name is refused",
    "misplaced": "stand in no class folder",
    "row": "are rows without sense",
}


def import_report(report: ImportReport) -> RenderableType:
    """Say what came into the pool, class by class, and what did not and why."""
    lines = [
        f"{report.added} images added, {report.known} known already, "
        f"{report.set_aside.count()} set aside ({report.seconds:.1f} s)"
    ]
    if report.moved:
        lines.append(f"{report.moved} of the known ones had moved; their addresses are corrected")
    if report.ignored:
        lines.append(f"{report.ignored} other files were passed over")
    if report.near_duplicates:
        lines.append(
            f"{report.near_duplicates} nearly repeat another image; such images share a side"
        )
    if report.leaks:
        lines.append(
            f"{report.leaks} have a near-duplicate on the other side of the split that was given"
        )
    for reason, left in report.set_aside.to_dict().items():
        lines.append(f"{left['count']} {_REASONS[reason]}:")
        lines += [f"  {case['what']}: {case['why']}" for case in left["first"][:_EXAMPLES]]
        if left["count"] > _EXAMPLES:
            lines.append(f"  and {left['count'] - _EXAMPLES} more")
    sizes = [ClassSize(label, **sides) for label, sides in report.classes.items()]
    return Group(Text(visible("\n".join(lines))), _classes(sizes, minimum=0))


def profile(found: Profile, minimum: int) -> RenderableType:
    """Draw the images per class as bars, the largest on top, then sizes and colours."""
    few = found.below(minimum)
    lines = [
        f"{found.total} images in {len(found.classes)} classes; "
        f"the largest has {found.imbalance:.1f} times the images of the smallest"
    ]
    if few:
        lines.append(f"{len(few)} classes have fewer than {minimum} images: {', '.join(few)}")
    return Group(
        Text(visible("\n".join(lines))),
        _classes(found.classes, minimum),
        _sizes(found),
        Text(colours(found)),
    )


def colours(found: Profile) -> str:
    """Say in a sentence what the channels' means and standard deviations are."""
    if found.mean is None or found.std is None:
        return "no picture of the sample could be read: see weakspot data verify"
    mean = " ".join(f"{value:.3f}" for value in found.mean)
    std = " ".join(f"{value:.3f}" for value in found.std)
    unreadable = f", {found.unreadable} unreadable" if found.unreadable else ""
    return (
        f"red, green, blue: mean {mean}, standard deviation {std} "
        f"(0 to 1, {found.sampled} pictures{unreadable})"
    )


def day_sample(drawn: DaySample, out: Path | None) -> str:
    """Say what was drawn, for whom, and which classes fall short."""
    judged = "no champion yet" if drawn.version is None else f"not judged by {drawn.version}"
    where = "" if out is None else f" -> {out}"
    lines = [f"{len(drawn.images)} images for {drawn.day} ({judged}){where}"]
    lines += [f"  {label} lacks {missing}" for label, missing in drawn.shortfalls.items()]
    return "\n".join(lines)


def verification(found: Verification) -> str:
    """Say whether the pool is sound, and what is wrong where it is not."""
    if found.is_sound:
        return f"{found.checked} images checked: all there, all unchanged"
    lines = [f"{found.checked} images checked"]
    for fault, count in found.faults.items():
        if count:
            lines.append(f"{count} {fault}:")
            lines += [f"  {left.what}: {left.why}" for left in found.first[fault]]
    return "\n".join(lines)


def _classes(sizes: tuple[ClassSize, ...] | list[ClassSize], minimum: int) -> RenderableType:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("class", overflow="ellipsis", max_width=30)
    for column in ("images", *COLOURS):
        table.add_column(column, justify="right", style=COLOURS.get(column))
    table.add_column("", no_wrap=True, min_width=_BAR)
    ordered = sorted(sizes, key=lambda size: (-size.total, size.label))
    largest = max((size.total for size in ordered), default=1)
    half = _ROWS // 2
    shown = ordered if len(ordered) <= _ROWS else ordered[:half] + ordered[-half:]
    for place, size in enumerate(shown):
        if place == half and len(shown) < len(ordered):
            table.add_row(Text(f"... {len(ordered) - len(shown)} more"))
        counts = [str(count) for count in (size.total, size.train, size.val, size.test)]
        bar = _bar(size, largest)
        if size.total < minimum:
            bar.append(f" fewer than {minimum}", "red")
        table.add_row(Text(visible(size.label)), *counts, bar)
    return table


def _bar(size: ClassSize, largest: int) -> Text:
    """Return a bar whose parts end where the running sums do, so that rounding never adds up."""
    bar = Text()
    total = drawn = 0
    for side, colour in COLOURS.items():
        total += getattr(size, side)
        end = round(_BAR * total / largest)
        bar.append("█" * (end - drawn), colour)
        drawn = end
    return bar if drawn else Text("▏", "red")


def _sizes(found: Profile) -> RenderableType:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("")
    for name in next(iter(found.sizes.values()), {}):
        table.add_column(name, justify="right")
    for name, values in found.sizes.items():
        table.add_row(name, *(f"{value:,.0f}" for value in values.values()))
    return table
