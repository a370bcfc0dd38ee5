"""The images a class was mistaken on, each beside the most alike one that was answered right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dash import html

from dashboard.address import image_address
from dashboard.parts import components as parts
from dashboard.parts.wording import day_text, percent

if TYPE_CHECKING:
    from core.store.traces import Neighbour
    from core.store.validations import WrongImage
    from dashboard.pages.health.facts import OneClass
    from dashboard.parts.components import Component


def gallery(facts: OneClass) -> Component:
    """Return the wrong images, the surest wrong answers first."""
    if not facts.wrong:
        return parts.empty("No image of this class was answered wrong in this range.")
    return html.Ul(
        [_item(image, facts) for image in facts.wrong], className="gallery gallery-pairs"
    )


def picture(image: int, words: str) -> Component:
    """Return a picture of the pool, which opens by itself on a click."""
    address = image_address(image)
    return html.A(
        html.Img(src=address, alt=words, className="picture"),
        href=address,
        target="_blank",
        rel="noopener",
    )


def _item(image: WrongImage, facts: OneClass) -> Component:
    when = day_text(image.day, today=facts.now.date())
    near = facts.neighbours.get(image.image)
    shown = html.Div(
        [
            html.Figure(
                [
                    picture(image.image, f"Image {image.image}, answered {image.predicted}"),
                    html.Figcaption("wrong"),
                ]
            ),
            _neighbour(near),
        ],
        className="pair-of-pictures",
    )
    return html.Li(
        [
            shown,
            html.Div(
                [html.Bdi(image.label), " called ", html.Bdi(image.predicted)], className="said"
            ),
            html.Div(
                f"{percent(image.confidence)} sure, {when}, {image.version}", className="interval"
            ),
        ]
    )


def _neighbour(near: Neighbour | None) -> Component:
    if near is None:
        return html.Figure([html.Div(className="picture"), html.Figcaption("none alike is kept")])
    words = f"Image {near.image}, answered right, looks most like it"
    told = f"right, {percent(near.confidence)} sure"
    return html.Figure([picture(near.image, words), html.Figcaption(told)])
