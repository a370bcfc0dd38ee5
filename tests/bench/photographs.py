"""What the benches on real photographs share: the pictures, a trained version, a database each."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import psycopg
from psycopg import sql
from sqlalchemy import Engine, make_url

from core import catalog
from core.clock import FixedClock
from core.store import database
from trainer import pipeline

Pictures = Mapping[str, list[Path]]


@dataclass(frozen=True)
class Base:
    """What a version learns before anything happens, of each class.

    Attributes:
        learnt: Pictures it learns from.
        validated: Pictures that set its reference.
        tested: Pictures of the gate.
        at: When.
    """

    learnt: int
    validated: int
    tested: int
    at: datetime

    @property
    def pictures(self) -> int:
        """How many those are; what comes later begins behind them."""
        return self.learnt + self.validated + self.tested


def pictures_of(folder: Path, needed: int, seed: int) -> dict[str, list[Path]]:
    """Return so many files of each class, in an order that the seed alone decides."""
    by_label: dict[str, list[Path]] = {}
    for path in sorted(folder.resolve().rglob("*")):
        if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"}:
            by_label.setdefault(path.parent.name, []).append(path)
    rng = np.random.default_rng(seed)
    for label, paths in by_label.items():
        if len(paths) < needed:
            sys.exit(f"{label} has {len(paths)} pictures, and {needed} are needed")
        by_label[label] = [paths[i] for i in rng.permutation(len(paths))[:needed]]
    return by_label


def train(
    engine: Engine, home: Path, pictures: Pictures, base: Base, backbone: str
) -> pipeline.TrainResult:
    """Train a version with a frozen backbone on the first pictures of each class."""
    lines = ["path,label,split"]
    for label, paths in pictures.items():
        sides = ["train"] * base.learnt + ["val"] * base.validated + ["test"] * base.tested
        lines += [f"{path},{label},{side}" for path, side in zip(paths, sides, strict=False)]
    listing = home / "base.csv"
    listing.write_text("\n".join(lines), encoding="utf-8")
    catalog.import_images(engine, str(listing), added_at=base.at)
    return pipeline.train(
        engine,
        pipeline.RunConfig(backbone=backbone, freeze="backbone", variants=""),
        bundles=home / "bundles",
        runs=home / "runs",
        clock=FixedClock(base.at),
    )


@contextmanager
def own_database(url: str, name: str, template: str | None = None) -> Iterator[Engine]:
    """Make a database on a server, new or copied from another one there."""
    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    copied = sql.SQL(" TEMPLATE {}").format(sql.Identifier(template)) if template else sql.SQL("")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)) + copied)
    address = make_url(url).set(database=name).render_as_string(hide_password=False)
    if template is None:
        database.upgrade(address)
    engine = database.create_engine(address)
    yield engine
    engine.dispose()


def write_table(page: Path, name: str, lines: list[str]) -> None:
    """Put a table between its marks on a page of the docs."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = page.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        sys.exit(f"{page} has no place for the table: {begin} and {end}")
    head, _, rest = text.partition(begin)
    tail = rest.partition(end)[2]
    table = "\n".join(lines)
    page.write_text(f"{head}{begin}\n\n{table}\n\n{end}{tail}", encoding="utf-8")
