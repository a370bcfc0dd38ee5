"""The daily draws of labelled images, and how the version answered each of them.

An image and a version meet once: showing it to the same model again tells nothing new. So the
pair is the primary key, and a repeated day goes on with the draw that is recorded.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlmodel import Field, SQLModel, col

from core.store.images import Sample

Status = Literal["drawn", "done", "invalid"]

_TIMESTAMP: Any = sa.DateTime(timezone=True)


class ValidationRow(SQLModel, table=True):
    """One day's exam of one version."""

    __tablename__ = "validations"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (sa.UniqueConstraint("day", "version", name="validations_day_unique"),)

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, primary_key=True))
    day: date
    version: str = Field(foreign_key="versions.version")
    per_class: int
    late: bool
    status: str
    unreadable: int
    drawn_at: datetime = Field(sa_type=_TIMESTAMP)
    finished_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)


class ValidationResultRow(SQLModel, table=True):
    """One image of a draw; `predicted` stays NULL until it is judged, or if it is unreadable."""

    __tablename__ = "validation_results"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (sa.Index("validation_results_by_validation", "validation", "label"),)

    validation: int = Field(
        sa_column=sa.Column(
            sa.BigInteger, sa.ForeignKey("validations.id", ondelete="CASCADE"), nullable=False
        )
    )
    version: str = Field(primary_key=True)
    image: int = Field(
        sa_column=sa.Column(sa.BigInteger, sa.ForeignKey("images.id"), primary_key=True)
    )
    label: str
    predicted: str | None = None
    confidence: float | None = Field(default=None, sa_type=sa.REAL)


@dataclass(frozen=True, slots=True)
class Draw:
    """What is decided when the images of a day are drawn."""

    day: date
    version: str
    per_class: int
    late: bool
    drawn_at: datetime


@dataclass(frozen=True, slots=True)
class Validation:
    """One day's exam of one version.

    Attributes:
        id: Its number.
        day: The day examined.
        version: The version examined.
        per_class: Images asked for per class; a class may have had fewer.
        late: Whether it was drawn later than on the day after.
        status: `drawn` until judged; `invalid` when too few images could be read to judge.
        unreadable: Images that could not be read or decoded.
        drawn_at: When the images were drawn.
        finished_at: When they were judged.
    """

    id: int
    day: date
    version: str
    per_class: int
    late: bool
    status: Status
    unreadable: int
    drawn_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the version said of one image."""

    image: int
    predicted: str
    confidence: float


@dataclass(frozen=True, slots=True)
class WrongImage:
    """One labelled image that was mistaken."""

    image: int
    uri: str
    label: str
    predicted: str
    confidence: float
    day: date
    version: str


@dataclass(frozen=True, slots=True)
class Correction:
    """A result whose image has been given another label since it was drawn."""

    day: date
    version: str
    image: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Answers:
    """How one class of a draw was answered.

    Attributes:
        label: The class.
        n: Images judged.
        correct: How many were answered right.
        confused: The wrong answers: `{predicted label: images}`.
        shared: `[images, right]` of each group of two or more that belong together.
    """

    label: str
    n: int
    correct: int
    confused: dict[str, int]
    shared: list[list[int]] = field(default_factory=list[list[int]])


_INSERT_RESULT = sa.text("""
    INSERT INTO validation_results (validation, version, image, label)
    VALUES (:validation, :version, :image, :label)
""")

_DRAWN = sa.text("""
    SELECT i.id, i.uri, i.sha256, r.label, i.split
      FROM validation_results r
      JOIN images i ON i.id = r.image
     WHERE r.validation = :validation
     ORDER BY r.label, i.sha256
""")

_JUDGE = sa.text("""
    UPDATE validation_results
       SET predicted = :predicted, confidence = :confidence
     WHERE version = :version AND image = :image
""")

# One row per class and answer; what was unreadable has no answer and is not counted, nor is what
# somebody has since called unusable.
_ANSWERS = sa.text("""
    SELECT r.label, r.predicted, count(*) AS n
      FROM validation_results r
      JOIN images i ON i.id = r.image
     WHERE r.validation = :validation AND r.predicted IS NOT NULL AND i.purpose <> 'nothing'
     GROUP BY r.label, r.predicted
     ORDER BY r.label, r.predicted
""")

# Images of one session belong together; without a session, near-duplicates do. Sorted by what they
# are, not by who they are: the same answers give the same row in whatever order they arrived.
_SHARED = sa.text("""
    SELECT label, count(*) AS n, count(*) FILTER (WHERE predicted = label) AS correct
      FROM (SELECT r.label, r.predicted,
                   COALESCE('session ' || i.session, 'cluster ' || i.cluster) AS belongs_to
              FROM validation_results r
              JOIN images i ON i.id = r.image
             WHERE r.validation = :validation AND r.predicted IS NOT NULL
               AND i.purpose <> 'nothing') AS answered
     GROUP BY label, belongs_to
    HAVING count(*) > 1
     ORDER BY label, n, correct
""")

# The row as it was is read beside the one that is written, for RETURNING knows only the new label.
_FOLLOW_LABELS = sa.text("""
    UPDATE validation_results r
       SET label = i.label
      FROM validation_results old
      JOIN images i ON i.id = old.image
      JOIN validations v ON v.id = old.validation
     WHERE r.version = old.version
       AND r.image = old.image
       AND old.label <> i.label
       AND v.day BETWEEN :first AND :last
 RETURNING v.day, v.version, r.image, old.label, r.label
""")

_WRONG = sa.text("""
    SELECT r.image, i.uri, r.label, r.predicted, r.confidence, v.day, v.version
      FROM validation_results r
      JOIN validations v ON v.id = r.validation
      JOIN images i ON i.id = r.image
     WHERE r.label = :label
       AND r.predicted <> r.label
       AND v.status = 'done'
       AND i.purpose <> 'nothing'
       AND v.day BETWEEN :first AND :last
       AND (CAST(:version AS text) IS NULL OR v.version = :version)
     ORDER BY r.confidence DESC, v.day DESC, r.image
     LIMIT :limit
""")


def get(connection: Connection, day: date, version: str) -> Validation | None:
    """Return a day's exam of a version; None when nothing has been drawn yet."""
    statement = _VALIDATIONS.where(
        col(ValidationRow.day) == day, col(ValidationRow.version) == version
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else Validation(*row)


def record_draw(connection: Connection, draw: Draw, samples: Sequence[Sample]) -> Validation:
    """Write down which images will judge a version on a day, before any is looked at."""
    values = asdict(draw) | {"status": "drawn", "unreadable": 0}
    statement = sa.insert(ValidationRow).values(values).returning(*_VALIDATIONS.selected_columns)
    validation = Validation(*connection.execute(statement).one())
    if samples:
        rows = [
            {
                "validation": validation.id,
                "version": draw.version,
                "image": sample.id,
                "label": sample.label,
            }
            for sample in samples
        ]
        connection.execute(_INSERT_RESULT, rows)
    return validation


def drawn(connection: Connection, validation: Validation) -> list[Sample]:
    """Return the images of a draw, by label and digest."""
    rows = connection.execute(_DRAWN, {"validation": validation.id})
    return [Sample(row.id, row.uri, row.sha256, row.label, row.split) for row in rows]


def record_judgements(
    connection: Connection, validation: Validation, judgements: Sequence[Judgement]
) -> None:
    """Write down what the version said of the images that could be read."""
    if judgements:
        rows = [asdict(judgement) | {"version": validation.version} for judgement in judgements]
        connection.execute(_JUDGE, rows)


def finish(
    connection: Connection,
    validation: Validation,
    *,
    status: Literal["done", "invalid"],
    unreadable: int,
    now: datetime,
) -> Validation:
    """End an exam, and return it as it now stands."""
    statement = (
        sa.update(ValidationRow)
        .where(col(ValidationRow.id) == validation.id)
        .values(status=status, unreadable=unreadable, finished_at=now)
        .returning(*_VALIDATIONS.selected_columns)
    )
    return Validation(*connection.execute(statement).one())


def answers(connection: Connection, validation: Validation) -> dict[str, Answers]:
    """Return how each class of a draw was answered; a class without judged images is absent."""
    counts: dict[str, dict[str, int]] = {}
    for label, predicted, n in connection.execute(_ANSWERS, {"validation": validation.id}):
        counts.setdefault(label, {})[predicted] = n
    shared: dict[str, list[list[int]]] = {}
    for label, n, correct in connection.execute(_SHARED, {"validation": validation.id}):
        shared.setdefault(label, []).append([n, correct])
    return {
        label: Answers(
            label,
            n=sum(said.values()),
            correct=said.get(label, 0),
            confused={predicted: n for predicted, n in said.items() if predicted != label},
            shared=shared.get(label, []),
        )
        for label, said in counts.items()
    }


def wrong_images(
    connection: Connection,
    label: str,
    first: date,
    last: date,
    *,
    version: str | None = None,
    limit: int = 60,
) -> list[WrongImage]:
    """Return the images of a class that were mistaken, those with the surest answers first.

    Args:
        connection: Where to ask.
        label: The class.
        first: First day examined.
        last: Last day examined.
        version: Only what this version mistook; None for all.
        limit: At most so many.
    """
    values = {"label": label, "first": first, "last": last, "version": version, "limit": limit}
    return [WrongImage(*row) for row in connection.execute(_WRONG, values)]


def done_from(connection: Connection, first: date) -> list[Validation]:
    """Return the finished exams from `first` on, the oldest day first."""
    statement = _VALIDATIONS.where(
        col(ValidationRow.day) >= first, col(ValidationRow.status) == "done"
    ).order_by(col(ValidationRow.day), col(ValidationRow.id))
    return [Validation(*row) for row in connection.execute(statement)]


def days_of_images(connection: Connection, images: Collection[int]) -> list[date]:
    """Return the days on which any of these images was drawn for an exam, in order."""
    statement = (
        sa.select(col(ValidationRow.day))
        .join(ValidationResultRow, col(ValidationResultRow.validation) == col(ValidationRow.id))
        .where(col(ValidationResultRow.image).in_(images))
    )
    return sorted(set(connection.execute(statement).scalars()))


def follow_labels(connection: Connection, first: date, last: date) -> list[Correction]:
    """Take over the labels that images have by now into the exams of a stretch of days.

    A result keeps the label its image had when it was drawn until this is called; counts and
    pictures shown are read off results, so all of them change together.

    Returns:
        What was corrected, by day and image.
    """
    rows = connection.execute(_FOLLOW_LABELS, {"first": first, "last": last})
    return sorted((Correction(*row) for row in rows), key=lambda each: (each.day, each.image))


def last_day_of_others(connection: Connection, version: str) -> date | None:
    """Return the last day on which another version was examined; None when none ever was."""
    statement = sa.select(sa.func.max(col(ValidationRow.day))).where(
        col(ValidationRow.version) != version, col(ValidationRow.status) == "done"
    )
    return connection.execute(statement).scalar_one()


def latest(connection: Connection, limit: int = 100) -> list[Validation]:
    """Return the latest exams, the newest day first."""
    order = (col(ValidationRow.day).desc(), col(ValidationRow.id).desc())
    rows = connection.execute(_VALIDATIONS.order_by(*order).limit(limit))
    return [Validation(*row) for row in rows]


def last_done(connection: Connection, until: date | None = None) -> Validation | None:
    """Return the finished exam of the latest day (not after `until`); None when there is none."""
    statement = _VALIDATIONS.where(col(ValidationRow.status) == "done")
    if until is not None:
        statement = statement.where(col(ValidationRow.day) <= until)
    order = (col(ValidationRow.day).desc(), col(ValidationRow.id).desc())
    row = connection.execute(statement.order_by(*order).limit(1)).one_or_none()
    return None if row is None else Validation(*row)


_VALIDATIONS = sa.select(
    *[getattr(ValidationRow, name) for name in Validation.__dataclass_fields__]
)
