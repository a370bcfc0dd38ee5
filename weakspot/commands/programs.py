"""`weakspot up | serve | worker | dashboard | demo`: the programs themselves."""

from typing import Annotated

import typer

from core.settings import DashboardSettings, ServiceSettings, TrainerSettings
from weakspot import front

Json = Annotated[
    bool, typer.Option("--json", help='Print {"url": ...} on stdout, and nothing else there.')
]
Host = Annotated[str | None, typer.Option(help="Address to listen on; else the setting.")]
Port = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Port; 0 takes a free one; else the setting.")
]


def serve(
    host: Host = None,
    port: Port = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=64,
            help="Processes for HTTP and decoding before one for the model; 0: one for all.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Answer predictions over HTTP, and keep each one."""
    from service import app

    settings = front.read(ServiceSettings, host=host, port=port, workers=workers)
    app.run(front.settings(), settings, on_listening=lambda url: _announce(url, as_json))


def worker() -> None:
    """Carry out the retrainings that are asked for."""
    from trainer.__main__ import run

    run(front.settings(), front.read(TrainerSettings))


def dashboard(host: Host = None, port: Port = None, as_json: Json = False) -> None:
    """Show the health of each class over time."""
    from dashboard import app

    settings = front.read(DashboardSettings, host=host, port=port)
    app.run(front.settings(), settings, on_listening=lambda url: _announce(url, as_json))


def up(
    host: Host = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the service; 0 takes a free one.")
    ] = None,
    dashboard_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the dashboard; 0: a free one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Start service, monitor, worker and dashboard; Ctrl-C stops all of them."""
    from weakspot import up as everything

    service = front.read(ServiceSettings, host=host, port=port)
    board = front.read(DashboardSettings, host=host, port=dashboard_port)

    def on_listening(addresses: everything.Addresses) -> None:
        front.emit(
            {"url": addresses.service, "dashboard": addresses.dashboard},
            as_json=as_json,
            text=f"service    {addresses.service}\ndashboard  {addresses.dashboard}\n"
            "Ctrl-C stops everything.",
        )

    everything.run(
        front.settings(),
        host=service.host,
        service_port=service.port,
        dashboard_port=board.port,
        require_keys=service.require_keys,
        sign_in=board.require_keys,
        on_listening=on_listening,
    )


def demo(
    days: Annotated[int, typer.Option(min=9, max=60, help="Simulated days.")] = 14,
    no_open: Annotated[bool, typer.Option("--no-open", help="Open no browser.")] = False,
    exit_: Annotated[
        bool,
        typer.Option("--exit", help="End when the story is told; 0 only if all of it happened."),
    ] = False,
    host: Annotated[str, typer.Option(help="Address of the dashboard.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the dashboard; 0 takes a free one.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Tell the whole story on sample data: train, serve, examine, flag, retrain, promote."""
    from weakspot import demo as story

    plan = story.Plan(days=days, host=host, port=port, browser=not (no_open or exit_ or as_json))
    passed = story.run(front.settings(), plan, stay=not exit_, as_json=as_json)
    raise typer.Exit(0 if passed else 1)


def _announce(url: str, as_json: bool) -> None:
    front.emit({"url": url}, as_json=as_json, text=f"listening on {url}")
