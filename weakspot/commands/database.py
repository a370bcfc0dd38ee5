"""`weakspot db`: bring the schema up to this code, or check that it is."""

from typing import Annotated

import typer

from core.store import embedded
from core.store.database import create_engine, require_schema, schema_revisions
from core.store.database import upgrade as run_migrations
from weakspot import front

db_app = typer.Typer(help="The database's schema.")

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@db_app.command()
def upgrade(as_json: Json = False) -> None:
    """Run the migrations that are missing; safe to run again, and from several machines."""
    home = front.settings()
    if home.database_url is not None:
        run_migrations(home.database_url)
        _report(home.database_url, as_json=as_json)
        return
    with embedded.connect(home.postgres) as server:
        run_migrations(server.url)
        _report(server.url, as_json=as_json)


@db_app.command()
def check(as_json: Json = False) -> None:
    """Check that the database answers and has the schema this code needs."""
    home = front.settings()
    if home.database_url is not None:
        _report(home.database_url, as_json=as_json)
        return
    with embedded.connect(home.postgres) as server:
        _report(server.url, as_json=as_json)


def _report(url: str, *, as_json: bool) -> None:
    engine = create_engine(url)
    try:
        require_schema(engine)
        present, needed = schema_revisions(engine)
    finally:
        engine.dispose()
    front.emit(
        {"present": present, "needed": needed, "ok": True},
        as_json=as_json,
        text=f"the database is at migration {present}, as this code needs",
    )
