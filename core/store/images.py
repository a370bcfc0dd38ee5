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

_QUANTILES = sa.text("""
    SELECT percentile_cont(CAST(:at AS float8[])) WITHIN GROUP (ORDER BY width)  AS width,
           percentile_cont(CAST(:at AS float8[])) WITHIN GROUP (ORDER BY height) AS height,
           percentile_cont(CAST(:at AS float8[])) WITHIN GROUP (ORDER BY bytes)  AS bytes
      FROM images
""")

# What this version was trained or tuned on, and what it was already judged on, says nothing new.
# Nor do test images of before its promotion, where the gate chose it by just these. An image that
# was chosen by what a model said of it says how it was chosen.
_MAY_BE_DRAWN = """
          FROM images i
         WHERE i.label = ANY(:labels)
           AND i.purpose = 'all'
           AND (i.captured_at IS NULL OR i.captured_at < :before)
           AND i.added_at > CASE
               WHEN i.split <> 'test' THEN CAST(:snapshot_at AS timestamptz)
               WHEN NOT :chosen THEN '-infinity'
               ELSE (SELECT COALESCE(min(at), :snapshot_at) FROM aliases WHERE version = :version)
               END
           AND NOT EXISTS (SELECT FROM validation_results r
                            WHERE r.version = :version AND r.image = i.id)
"""

# Freshest day first, so that today's pictures judge today; inside a day the order is a hash of
# (salt, digest): random, yet the same whenever the draw is repeated.
_DRAW = sa.text(f"""
    SELECT id, uri, sha256, label, split
      FROM (SELECT i.id, i.uri, i.sha256, i.label, i.split,
                   row_number() OVER (PARTITION BY i.label
                       ORDER BY date_trunc('day', i.captured_at AT TIME ZONE 'UTC')
                                    DESC NULLS LAST,
                                md5(:salt || i.sha256)) AS place
            {_MAY_BE_DRAWN}) AS ordered
      JOIN unnest(CAST(:labels AS text[]), CAST(:quotas AS bigint[])) AS wanted (name, quota)
        ON wanted.name = label
     WHERE place <= quota
     ORDER BY label, place
""")  # noqa: S608 - put together from constants

_FRESH = sa.text(f"""
    SELECT i.label, CASE WHEN CAST(:since AS timestamptz) IS NULL OR count(i.captured_at) = 0
                         THEN count(*)
                         ELSE count(*) FILTER (WHERE i.captured_at >= :since) END AS n
    {_MAY_BE_DRAWN} GROUP BY i.label
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


def labels(connection: Connection) -> list[str]:
    """Return every label of the pool, in alphabetical order."""
    statement = sa.select(col(ImageRow.label)).distinct().order_by(col(ImageRow.label))
    return list(connection.execute(statement).scalars())


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

    Days it was examined on keep counting it as it was drawn until they are replayed
    (`weakspot health --replay`).

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
            connection, now=now, by=by, action="relabel image", subject=str(image), detail=detail
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
            connection, now=now, by=by, action="use image", subject=str(image), detail=detail
        )
    return before


def draw(  # noqa: PLR0913 - for whom, what may be drawn and how much, each by name
    connection: Connection,
    *,
    version: str,
    labels: Sequence[str],
    before: datetime,
    snapshot_at: datetime,
    per_class: int | Sequence[int],
    chosen: bool = False,
) -> list[Sample]:
    """Return up to `per_class` images of each label that this version was not judged on.

    Args:
        connection: Where to ask.
        version: The version to be judged; images judged or learnt from are left out.
        labels: The classes to draw from.
        before: Only images captured earlier: the end of the day examined.
        snapshot_at: When the version's training set was frozen.
        per_class: Images of each class, or one number for each of `labels`.
        chosen: Whether the gate chose it: test images of before its promotion are left out then.
    """
    quotas = [per_class] * len(labels) if isinstance(per_class, int) else list(per_class)
    rows = connection.execute(
        _DRAW,
        {
            "version": version,
            "labels": list(labels),
            "before": before,
            "snapshot_at": snapshot_at,
            "chosen": chosen,
            "quotas": quotas,
            "salt": f"{version}/{before:%Y-%m-%d}/",
        },
    )
    return [Sample(row.id, row.uri, row.sha256, row.label, row.split) for row in rows]


def fresh(  # noqa: PLR0913 - as `draw`
    connection: Connection,
    *,
    version: str,
    labels: Sequence[str],
    before: datetime,
    snapshot_at: datetime,
    since: datetime | None = None,
    chosen: bool = False,
) -> list[int]:
    """Return how many images of each label `draw` could give, in the order of `labels`.

    Arguments are those of `draw`, and `since`: only images taken from then on, except where none
    of a label's is dated; None for all.
    """
    values = {
        "version": version,
        "labels": list(labels),
        "before": before,
        "snapshot_at": snapshot_at,
        "chosen": chosen,
        "since": since,
    }
    counts = {row.label: row.n for row in connection.execute(_FRESH, values)}
    return [counts.get(label, 0) for label in labels]


_SAMPLE = sa.select(
    col(ImageRow.id),
    col(ImageRow.uri),
    col(ImageRow.sha256),
    col(ImageRow.label),
    col(ImageRow.split),
)
