"""Every error this project raises on purpose.

WeakspotError
├── UsageError            the request itself is wrong; another wording helps    HTTP 422, exit 2
│   └── KeyReusedError    an Idempotency-Key came back with another request    HTTP 422
├── NotFoundError         the thing asked for does not exist                    HTTP 404
├── ConflictError         somebody else was faster; look again and retry        HTTP 409
├── InvalidImageError     the bytes sent are no usable image                    HTTP 422
│   └── UnsupportedImageError  not a JPEG, PNG or WebP                          HTTP 415
├── AuthenticationError   no API key, or one that opens nothing                 HTTP 401
├── ForbiddenError        the key does not open this                            HTTP 403
├── RateLimitedError      too many requests; try again later                    HTTP 429
├── OverloadedError       the batch queue is full; try again later              HTTP 503
├── CatalogError          a folder, CSV or URI of images cannot be read
├── BundleError           a model bundle is incomplete or altered               HTTP 503
│   └── ParityError       the ONNX export disagrees with its torch source
├── TrainingError         a training run cannot start or gave nothing usable
├── StoreError            Postgres is away or refused the statement             HTTP 503
│   ├── StoreAwayError    Postgres takes nothing just now; later it may         HTTP 503
│   ├── RefusedRowError   Postgres will never take this row                     HTTP 500
│   ├── SchemaError       the database's migrations are not those of this code
│   └── StaleRunError     another holder has taken this run over; write refused
├── StatisticsError       a statistic was asked of data that cannot give it
├── TrackingError         MLflow is away, or refuses what it is told
└── DeliveryError         an alert could not be handed to its channel
"""


class WeakspotError(Exception):
    """The base of all errors this project raises; caught at the front doors only."""


class UsageError(WeakspotError):
    """The request itself is wrong; another wording helps."""


class KeyReusedError(UsageError):
    """An Idempotency-Key came back with another request."""


class NotFoundError(WeakspotError):
    """The thing asked for does not exist."""


class ConflictError(WeakspotError):
    """Somebody else was faster; look again and retry."""


class InvalidImageError(WeakspotError):
    """The bytes are no usable image."""


class UnsupportedImageError(InvalidImageError):
    """The bytes are no JPEG, PNG or WebP."""


class AuthenticationError(WeakspotError):
    """The caller sent no API key, or one that opens nothing."""


class ForbiddenError(WeakspotError):
    """The caller's key does not open this."""


class RateLimitedError(WeakspotError):
    """The caller has asked too often; try again later."""

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OverloadedError(WeakspotError):
    """The batch queue is full; try again later."""

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class CatalogError(WeakspotError):
    """A folder, CSV or URI of labelled images cannot be read."""


class BundleError(WeakspotError):
    """A model bundle is incomplete or altered."""


class ParityError(BundleError):
    """The ONNX export disagrees with the torch model it came from."""

    def __init__(self, largest: float, allowed: float) -> None:
        super().__init__(f"largest logit difference {largest:.2e} exceeds {allowed:.2e}")
        self.largest = largest
        self.allowed = allowed


class TrainingError(WeakspotError):
    """A training run cannot start or gave nothing usable."""


class StoreError(WeakspotError):
    """Postgres is away or refused the statement."""


class StoreAwayError(StoreError):
    """Postgres takes nothing just now: it is gone, full, locked or starting. Later it may."""


class RefusedRowError(StoreError):
    """Postgres will never take this row: trying again does not help."""


class SchemaError(StoreError):
    """The database's migrations are not those of this code."""


class StaleRunError(StoreError):
    """Another holder has taken this run over; the write is refused."""


class StatisticsError(WeakspotError):
    """A statistic was asked of data that cannot give it."""


class TrackingError(WeakspotError):
    """MLflow is away, or refuses what it is told."""


class DeliveryError(WeakspotError):
    """An alert could not be handed to its channel."""
