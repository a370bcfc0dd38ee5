"""The labelled images: where each lies, what it shows, and on which side of the split it is.

Only addresses are kept here; the pictures stay where they are. An image is known by the SHA-256
of its bytes, and never changes sides once it has one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal, cast

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlmodel import Field, SQLModel, col

from core.errors import NotFoundError
from core.store import audit, label_suspects

SPLITS = ("train", "val", "test")

# Deeds after which exams that had drawn the image count otherwise.
RELABELLED = "relabel image"
PURPOSE_SET = "use image"

Purpose = Literal["all", "learning", "nothing"]

_TIMESTAMP: Any = sa.DateTime(timezone=True)


class ImageRow(SQLModel, table=True):
    """One labelled image."""

    __tablename__ = "images"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        sa.UniqueConstraint("sha256", name="images_sha256_unique"),
        sa.Index("images_by_label", "label", "split", "captured_at"),
        sa.Index("images_by_phash", "phash"),
    )

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, primary_key=True))
    uri: str
    sha256: str = Field(sa_type=sa.CHAR(64))
    phash: int = Field(sa_type=sa.BigInteger)
    cluster: int = Field(sa_type=sa.BigInteger)
    label: str
    split: str
    width: int
    height: int
    bytes: int = Field(sa_type=sa.BigInteger)
    type: str
    source: str
    session: str | None = None
    captured_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    added_at: datetime = Field(sa_type=_TIMESTAMP)
    labelled_by: str
    purpose: str = Field(default="all", sa_column_kwargs={"server_default": "all"})


@dataclass(frozen=True, slots=True)
class Image:
    """A labelled image about to be stored.

    Attributes:
        uri: Where it lies: an absolute path or an fsspec URI.
        sha256: Digest of its bytes, 64 hex digits.
        phash: 64-bit perceptual hash, as Postgres keeps it: signed.
        cluster: A number that near-duplicates share: the `phash` of one of them.
        label: What it shows.
        split: `train`, `val` or `test`.
        width: Pixels across, upright.
        height: Pixels down, upright.
        bytes: Size of the file.
        type: `image/jpeg`, `image/png` or `image/webp`.
        source: What it was imported from.
        session: Images of one session (a burst, a camera visit) are one bet; None when unknown.
        captured_at: When it was taken; None when unknown, and then it may be drawn on any day.
        added_at: When it came into the pool.
        labelled_by: Who or what said what it shows.
        purpose: `all`; `learning` for one that was chosen by what a model said of it, which may
            teach and must not judge; `nothing` for one that is unusable.
    """

    uri: str
    sha256: str
    phash: int
    cluster: int
    label: str
    split: str
    width: int
    height: int
    bytes: int
    type: str
    source: str
    session: str | None
    captured_at: datetime | None
    added_at: datetime
    labelled_by: str
    purpose: Purpose = "all"


@dataclass(frozen=True, slots=True)
class Sample:
    """What reading and judging one labelled image takes."""

    id: int
    uri: str
    sha256: str
    label: str
    split: str


@dataclass(frozen=True, slots=True)
class ClassCount:
    """How many images of a label lie on one side of the split."""

    label: str
    split: str
    n: int


# One statement for many rows: arrays go over the wire once, and the database says how many
# were new, whatever other imports do meanwhile.
_INSERT = sa.text("""
    INSERT INTO images (uri, sha256, phash, cluster, label, split, width, height, bytes, type,
                        source, session, captured_at, added_at, labelled_by, purpose)
    SELECT *
      FROM unnest(CAST(:uri AS text[]), CAST(:sha256 AS text[]), CAST(:phash AS bigint[]),
                  CAST(:cluster AS bigint[]), CAST(:label AS text[]), CAST(:split AS text[]),
                  CAST(:width AS integer[]), CAST(:height AS integer[]),
                  CAST(:bytes AS bigint[]), CAST(:type AS text[]), CAST(:source AS text[]),
                  CAST(:session AS text[]), CAST(:captured_at AS timestamptz[]),
                  CAST(:added_at AS timestamptz[]), CAST(:labelled_by AS text[]),
                  CAST(:purpose AS text[]))
        ON CONFLICT (sha256) DO NOTHING
""")

_RELOCATE = sa.text("""
    UPDATE images i
       SET uri = moved.uri
      FROM unnest(CAST(:digests AS text[]), CAST(:uris AS text[])) AS moved (sha256, uri)
     WHERE i.sha256 = moved.sha256
       AND i.uri <> moved.uri
""")

# Two imports at once would each draw sides without seeing the other's near-duplicates.
_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('weakspot images', 0))")
_HOLD = sa.text("SELECT pg_try_advisory_xact_lock_shared(hashtextextended('weakspot images', 0))")

_QUANTILES = sa.text("""
    SELECT percentile_cont(CAST(:at AS float8[])) WITHIN GROUP (ORDER BY width)  AS width,
           percentile_cont(CAST(:at AS float8[])) WITHIN GROUP (ORDER BY height) AS height,
           percentile_cont(CAST(:at AS float8[])) WITHIN GROUP (ORDER BY bytes)  AS bytes
      FROM images
""")

_KNOWN = sa.text("SELECT id, sha256, label, split, uri FROM images WHERE sha256 = ANY(:digests)")


def insert(connection: Connection, images: Sequence[Image]) -> int:
    """Store the images that are new, and return how many those were."""
    if not images:
        return 0
    columns = {
        field.name: [getattr(image, field.name) for image in images] for field in fields(Image)
    }
    return connection.execute(_INSERT, columns).rowcount


def lock(connection: Connection) -> None:
    """Let nobody else add images until this transaction ends."""
    connection.execute(_LOCK)


def hold(connection: Connection) -> bool:
    """Keep the pool from growing until this transaction ends; False while somebody adds to it."""
    return connection.execute(_HOLD).scalar_one()


def relocate(connection: Connection, addresses: Mapping[str, str]) -> int:
    """Write down where images lie now, by digest; return how many had lain elsewhere."""
    parameters = {"digests": list(addresses), "uris": list(addresses.values())}
    return connection.execute(_RELOCATE, parameters).rowcount


def count(connection: Connection) -> int:
    """Return how many images the pool holds."""
    return connection.execute(sa.select(sa.func.count()).select_from(ImageRow)).scalar_one()


def known(connection: Connection, digests: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return label and split of those digests that the pool already holds."""
    rows = connection.execute(_KNOWN, {"digests": list(digests)})
    return {row.sha256: (row.label, row.split) for row in rows}


def addresses(connection: Connection, digests: Sequence[str]) -> dict[str, str]:
    """Return where those images lie that the pool holds, by digest."""
    rows = connection.execute(_KNOWN, {"digests": list(digests)})
    return {row.sha256: row.uri for row in rows}


def ids(connection: Connection, digests: Sequence[str]) -> dict[str, int]:
    """Return the numbers of those digests that the pool holds."""
    rows = connection.execute(_KNOWN, {"digests": list(digests)})
    return {row.sha256: row.id for row in rows}


def digests(connection: Connection) -> Iterator[str]:
    """Yield the digest of every image."""
    yield from connection.execute(sa.select(col(ImageRow.sha256))).scalars()


def clusters(connection: Connection) -> Iterator[tuple[int, int, str]]:
    """Yield (phash, cluster, split) of every image, to find near-duplicates of new ones."""
    statement = sa.select(col(ImageRow.phash), col(ImageRow.cluster), col(ImageRow.split))
    for phash, cluster, split in connection.execute(statement):
        yield int(phash), int(cluster), str(split)


def counts(connection: Connection) -> list[ClassCount]:
    """Return how many usable images each label has on each side, by label."""
    n = sa.func.count().label("n")
    rows = connection.execute(
        sa.select(col(ImageRow.label), col(ImageRow.split), n)
        .where(col(ImageRow.purpose) != "nothing")
        .group_by(col(ImageRow.label), col(ImageRow.split))
        .order_by(col(ImageRow.label), col(ImageRow.split))
    )
    return [ClassCount(label, split, number) for label, split, number in rows]


def quantiles(connection: Connection, at: Sequence[float]) -> dict[str, list[float]]:
    """Return quantiles of width, height and bytes over the pool; empty for an empty pool."""
    row = connection.execute(_QUANTILES, {"at": list(at)}).mappings().one()
    return {name: values for name, values in row.items() if values is not None}


# From each label to the next, by the index: as many steps as labels, however many images there are.
_LABELS = sa.text("""
    WITH RECURSIVE known AS (
       (SELECT label FROM images ORDER BY label LIMIT 1)
     UNION ALL
        SELECT (SELECT i.label FROM images i WHERE i.label > k.label ORDER BY i.label LIMIT 1)
          FROM known k
         WHERE k.label IS NOT NULL)
    SELECT label FROM known WHERE label IS NOT NULL ORDER BY label
""")


def labels(connection: Connection) -> list[str]:
    """Return every label of the pool, in alphabetical order."""
    return list(connection.execute(_LABELS).scalars())


def samples(  # noqa: PLR0913 - each narrows the choice, all by name
    connection: Connection,
    *,
    split: str | None = None,
    labels: Sequence[str] | None = None,
    added_by: datetime | None = None,
    added_after: datetime | None = None,
    limit: int | None = None,
    trusted: bool = False,
) -> list[Sample]:
    """Return the images that fit, ordered by digest: an order that never depends on the import.

    Unusable ones are left out.

    Args:
        connection: Where to ask.
        split: Only this side; None for all.
        labels: Only these labels; None for all.
        added_by: Only what was in the pool at that moment.
        added_after: Only what came in later.
        limit: Only so many: the first by digest, which is as good as any of them by chance.
        trusted: Only those whose label is not held back as doubtful.
    """
    statement = _SAMPLE.where(col(ImageRow.purpose) != "nothing")
    if split is not None:
        statement = statement.where(col(ImageRow.split) == split)
    if labels is not None:
        statement = statement.where(col(ImageRow.label).in_(list(labels)))
    if added_by is not None:
        statement = statement.where(col(ImageRow.added_at) <= added_by)
    if added_after is not None:
        statement = statement.where(col(ImageRow.added_at) > added_after)
    if trusted:
        pair = sa.tuple_(col(ImageRow.id), col(ImageRow.label))
        statement = statement.where(pair.not_in(label_suspects.is_held()))
    ordered = statement.order_by(col(ImageRow.sha256)).limit(limit)
    return [Sample(*row) for row in connection.execute(ordered)]


def get(connection: Connection, image: int) -> Sample | None:
    """Return one image by its id; None when there is none."""
    row = connection.execute(_SAMPLE.where(col(ImageRow.id) == image)).one_or_none()
    return None if row is None else Sample(*row)


def relabel(connection: Connection, image: int, label: str, *, now: datetime, by: str) -> Sample:
    """Correct an image's label, write down who did it, and return the image as it was.

    Days it was examined on keep counting it as it was drawn until they are replayed: by the
    monitor, before it examines the next day, or by `weakspot health --replay`.

    Raises:
        NotFoundError: There is no such image.
    """
    before = get(connection, image)
    if before is None:
        raise NotFoundError(f"there is no image {image} in the pool")
    if before.label != label:
        connection.execute(
            sa.update(ImageRow).where(col(ImageRow.id) == image).values(label=label, labelled_by=by)
        )
        detail = {"label": label, "before": before.label}
        audit.record(
            connection, now=now, by=by, action=RELABELLED, subject=str(image), detail=detail
        )
    return before


def purpose_of(connection: Connection, image: int) -> Purpose:
    """Return what an image may be used for.

    Raises:
        NotFoundError: There is no such image.
    """
    statement = sa.select(col(ImageRow.purpose)).where(col(ImageRow.id) == image)
    found = connection.execute(statement).scalar_one_or_none()
    if found is None:
        raise NotFoundError(f"there is no image {image} in the pool")
    return cast("Purpose", found)


def set_purpose(
    connection: Connection, image: int, purpose: Purpose, *, now: datetime, by: str
) -> Purpose:
    """Say what an image may be used for, write down who did, and return what it was used for.

    Days it was examined on keep counting it until they are replayed.

    Raises:
        NotFoundError: There is no such image.
    """
    before = purpose_of(connection, image)
    if before != purpose:
        connection.execute(
            sa.update(ImageRow).where(col(ImageRow.id) == image).values(purpose=purpose)
        )
        detail = {"purpose": purpose, "before": before}
        audit.record(
            connection, now=now, by=by, action=PURPOSE_SET, subject=str(image), detail=detail
        )
    return before


_SAMPLE = sa.select(
    col(ImageRow.id),
    col(ImageRow.uri),
    col(ImageRow.sha256),
    col(ImageRow.label),
    col(ImageRow.split),
)
