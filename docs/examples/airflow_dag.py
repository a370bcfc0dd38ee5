"""An Airflow DAG that examines every class every day with `weakspot monitor --once`.

Airflow is only the clock here: which days are due is read off Weakspot's own database, so a run
that Airflow missed, repeated or retried changes nothing, and `catchup` stays off. Copy this file
into the DAGs folder of Airflow 2.4 or later; the worker needs the `weakspot` command and its
settings.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow import DAG

try:
    from airflow.providers.standard.operators.bash import BashOperator
except ImportError:  # Airflow 2 without the provider
    from airflow.operators.bash import BashOperator

HELD = 5  # by another monitor: nothing to do here, and no failure

with DAG(
    dag_id="weakspot_monitor",
    description="Examine every class of the deployed classifier",
    # A day is due at WEAKSPOT_MONITOR_HOUR_UTC (02:00) of the next; hourly looks mend what failed.
    schedule="5 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),  # noqa: UP017 - Airflow runs on older Pythons, too
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(minutes=10),
        "execution_timeout": timedelta(hours=3),
    },
    tags=["weakspot"],
) as dag:
    examine = BashOperator(
        task_id="examine_what_is_due",
        bash_command="weakspot monitor --once --fail-if-held --json",
        skip_on_exit_code=HELD,
    )
    report = BashOperator(
        task_id="say_how_every_class_is",
        bash_command="weakspot health --json",
    )
    examine >> report
