"""Every knob of every program, on one page.

Settings are read from the environment (or a `.env` file) at a program's front
door and handed down as arguments. The unit ends the name; the bounds stand
beside the default; docs/settings.md and .env.example list all of them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from dotenv import dotenv_values
from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class HomeSettings(BaseSettings):
    """What every program needs to know: where things are, and how to log."""

    model_config = SettingsConfigDict(
        env_prefix="WEAKSPOT_", env_file=".env", extra="ignore", frozen=True
    )

    home: Path = Field(
        Path("var"), description="Folder of everything that is not in Postgres; made when missing."
    )
    database_url: str | None = Field(
        None,
        description="Postgres 15 or later with pgvector; without it the embedded one is started.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe record that is written."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="Lines for people, or one JSON object a line."
    )
    clock_file: Path | None = Field(
        None,
        description="For demonstrations: a file whose whole seconds are added to the clock.",
    )
    mlflow_uri: str = Field(
        "",
        description="MLflow server that versions and the champion are mirrored to; empty for none.",
    )

    @property
    def bundles(self) -> Path:
        """Folder of the model bundles, one sub-folder a version."""
        return self.home / "bundles"

    @property
    def reports(self) -> Path:
        """Folder of the drift reports, one sub-folder a day."""
        return self.home / "reports"

    @property
    def archive(self) -> Path:
        """Folder of archived image bytes, by SHA-256."""
        return self.home / "archive"

    @property
    def postgres(self) -> Path:
        """Data folder of the embedded Postgres."""
        return self.home / "postgres"

    @property
    def runs(self) -> Path:
        """Folder of training runs: checkpoints and cached features."""
        return self.home / "runs"

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard logs, one sub-folder a run."""
        return self.home / "tensorboard"


class ServiceSettings(BaseSettings):
    """The service's knobs."""

    model_config = SettingsConfigDict(
        env_prefix="WEAKSPOT_SERVICE_",
        env_file=".env",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(
        0,
        ge=0,
        le=64,
        description="Processes for HTTP and decoding before one for the model; 0: one for all.",
    )
    require_keys: bool | None = Field(
        None,
        description="Whether callers need an API key; unset: on every address but a loopback one.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where the model runs; `cuda` without a GPU is an error."
    )
    engine: Literal[
        "auto",
        "onnxruntime-fp32",
        "onnxruntime-int8",
        "openvino-fp32",
        "openvino-bf16",
        "openvino-f16",
        "onnxruntime-cuda-fp16",
        "onnxruntime-cuda-fp32",
    ] = Field("auto", description="What computes the model; `auto` measures and takes the fastest.")
    trial_s: float = Field(
        1.0, gt=0, le=60, description="How long each engine is timed when a version is loaded."
    )
    max_batch_size: int | None = Field(
        None, ge=1, le=256, description="Images per model call; unset: 4 on a CPU, 64 on a GPU."
    )
    max_wait_ms: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="Longest wait of an image for others to fill its call; worth it on a GPU only.",
    )
    max_queue: int = Field(256, ge=1, description="Images waiting; beyond it HTTP 503.")
    threads: int = Field(
        0,
        ge=0,
        le=256,
        description="Inference threads; 0 takes one per available core, and two on a GPU.",
    )
    max_image_bytes: int = Field(10_000_000, ge=1, description="Larger uploads get HTTP 413.")
    max_image_pixels: int = Field(
        25_000_000,
        ge=2,
        description="Pictures of more pixels, or WebP of more than half, are refused undecoded.",
    )
    max_images: int = Field(64, ge=1, le=1024, description="Images in one batch request.")
    max_request_bytes: int = Field(
        100_000_000, ge=1, description="Larger batch requests get HTTP 413, whatever they hold."
    )
    max_inflight_bytes: int = Field(
        256_000_000, ge=1, description="Bytes of all requests held at once; beyond it HTTP 503."
    )
    max_connections: int = Field(
        10_000, ge=1, description="Connections open at once; beyond it HTTP 503."
    )
    timeout_s: float = Field(10.0, gt=0, description="Longest wait for one answer.")
    drain_s: float = Field(20.0, ge=0, description="Time for requests in flight at SIGTERM.")
    reload_s: float = Field(
        2.0, gt=0, description="How often the champion is looked up when no notice arrives."
    )
    retention_days: int = Field(
        90, ge=1, description="Days of predictions kept; older partitions are dropped."
    )
    spool_bytes: int = Field(
        256_000_000,
        ge=0,
        description="Room on the disk for predictions while Postgres is away; 0 for none.",
    )
    shadow_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of predictions that a challenger waiting for gate images answers, too.",
    )
    keep_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of pictures kept on the disk for people to label; 0 keeps none.",
    )
    keep_bytes: int = Field(
        1_000_000_000,
        ge=0,
        description="Room on the disk for kept pictures that nobody has labelled; the oldest go.",
    )
    monitor_hour_utc: int = Field(
        2,
        ge=0,
        le=23,
        validation_alias=AliasChoices(
            "WEAKSPOT_SERVICE_MONITOR_HOUR_UTC", "WEAKSPOT_MONITOR_HOUR_UTC"
        ),
        description="Hour of the monitor, to notice when it is late; unset: the monitor's own.",
    )


class MonitorSettings(BaseSettings):
    """The monitor's knobs."""

    model_config = SettingsConfigDict(
        env_prefix="WEAKSPOT_MONITOR_", env_file=".env", extra="ignore", frozen=True
    )

    hour_utc: int = Field(2, ge=0, le=23, description="Hour at which the day before is examined.")
    per_class: int = Field(10, ge=1, description="Labelled images drawn per class and day.")
    adaptive: bool = Field(
        True, description="Half of them evenly, half to the classes with the most evidence."
    )
    alarm_budget: float = Field(
        0.3, gt=0, description="False class-alarms allowed per 30 days, whole model."
    )
    floor: float = Field(0.80, gt=0, lt=1, description="Accuracy below which a class is weak.")
    drift_rows: int = Field(
        5_000, ge=50, le=10_000, description="Predictions sampled for the drift check of a day."
    )
    report_days: int = Field(
        30, ge=0, le=3650, description="Days that drift reports are kept, 4 MB each; 0 for none."
    )
    catch_up_days: int = Field(
        30, ge=0, description="Missed days that are caught up, oldest first."
    )
    lease_s: int = Field(300, ge=10, description="A run whose holder is silent so long is free.")
    retrain: bool = Field(True, description="Whether a flag requests a retraining.")
    cool_down_days: int = Field(
        3, ge=0, description="Days after a retraining of a class before the next."
    )
    retrainings_a_day: int = Field(
        3, ge=1, description="Retrainings that flags may ask for within 24 hours."
    )
    probation_days: int = Field(
        14,
        ge=0,
        le=365,
        description="Days after a promotion by the loop on which it may be rolled back; 0: none.",
    )
    rollback_alpha: float = Field(
        0.01,
        gt=0,
        lt=1,
        description="Probability that a version that is nowhere worse is ever rolled back.",
    )


class AlertSettings(BaseSettings):
    """How messages about alerts are sent; whom to is in the alert rules, and begins with these."""

    model_config = SettingsConfigDict(
        env_prefix="WEAKSPOT_ALERTS_", env_file=".env", extra="ignore", frozen=True
    )

    urls: SecretStr = Field(
        SecretStr(""),
        description="Who hears of alerts: addresses with blanks between, until the rules are set.",
    )
    secret: SecretStr = Field(
        SecretStr(""),
        description="What webhooks among them are signed with; 16 characters or more.",
    )
    quiet_hours: str = Field(
        "",
        description="When messages wait, like 22:00-07:00 Europe/Berlin, until the rules are set.",
    )
    networks: str = Field(
        "", description="Networks that messages may go to though not public, like 10.1.0.0/16."
    )
    timeout_s: float = Field(15.0, gt=0, le=300, description="Longest time of one attempt.")
    max_attempts: int = Field(
        20, ge=1, le=1000, description="Attempts at a message before it is given up: half a day."
    )
    poll_s: float = Field(5.0, gt=0, description="How often the outbox is looked at.")


def alert_variables() -> dict[str, str]:
    """Return the variables that addresses in the alert rules may name: `.env`, then ours."""
    named = {name: value or "" for name, value in dotenv_values(".env").items()} | os.environ
    return {name: value for name, value in named.items() if name.startswith("WEAKSPOT_")}


class TrainerSettings(BaseSettings):
    """The worker's knobs; a run's own configuration is in `trainer.pipeline`."""

    model_config = SettingsConfigDict(
        env_prefix="WEAKSPOT_TRAINER_", env_file=".env", extra="ignore", frozen=True
    )

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where training runs.")
    poll_s: float = Field(2.0, gt=0, description="How often the worker looks for a job.")
    lease_s: int = Field(120, ge=10, description="A job whose worker is silent so long is free.")
    max_attempts: int = Field(3, ge=1, description="Tries of one job before it has failed.")
    jobs: Literal["all", "retrain", "train"] = Field(
        "all", description="Which jobs this worker takes."
    )
    weak_weight: float = Field(
        3.0, ge=1, description="How much oftener new images of a weak class are drawn."
    )
    min_new_images: int = Field(
        5,
        ge=0,
        description="New training images of a weak class without which nothing is trained.",
    )
    max_held_back: float = Field(
        0.2,
        ge=0,
        le=0.5,
        description="Most of a class's new images that may be held back for a doubtful label.",
    )
    learning_rate: float = Field(1e-4, gt=0, description="Learning rate of a retraining.")
    epochs: int = Field(1, ge=1, description="Passes of a retraining over old and new images.")
    gate_margin: float = Field(
        0.05, gt=0, lt=1, description="Drop per class that the gate must rule out."
    )
    gate_overall_margin: float = Field(
        0.01, gt=0, lt=1, description="Drop over all images that the gate must rule out."
    )
    max_ece: float = Field(
        0.10, gt=0, le=1, description="Largest expected calibration error that passes the gate."
    )
    max_latency_ratio: float = Field(
        1.5, ge=1, description="Largest latency, in multiples of the champion's, that passes."
    )
    tensorboard: bool = Field(
        False, description="Whether each run writes TensorBoard logs to `tensorboard` in the home."
    )
    variants: str = Field(
        "int8,fp16",
        pattern=r"^ *((int8|fp16) *(, *(int8|fp16) *)*)?$",
        description="Coarser, faster graphs made beside each version's own; empty for none.",
    )
    also: str = Field(
        "",
        pattern=r"^ *((torchscript|safetensors) *(, *(torchscript|safetensors) *)*)?$",
        description="Forms each version is handed out in besides, in `bundles/exports`.",
    )


class DashboardSettings(BaseSettings):
    """The dashboard's knobs."""

    model_config = SettingsConfigDict(
        env_prefix="WEAKSPOT_DASHBOARD_", env_file=".env", extra="ignore", frozen=True
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8050, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    require_keys: bool | None = Field(
        None,
        description="Whether callers sign in with an API key; unset: but on a loopback address.",
    )
    hosts: str = Field(
        "",
        description="Further host names it answers to, blanks between; with keys, empty means any.",
    )
    https: bool = Field(
        False,
        description="Whether browsers reach it by https, through a proxy: cookies then need https.",
    )
    refresh_s: int = Field(15, ge=1, description="How often an open page asks for news.")
    days: int = Field(30, ge=1, le=400, description="Days shown when the address names none.")
    labels_a_day: int = Field(
        20, ge=1, le=10_000, description="Labels that the inbox asks for in a day, of all together."
    )
