"""What the inbox's browser side asks for and says: JSON under `/inbox/api`, and the pictures.

Whoever labels needs the scope `label`; a window of the browser is a desk, named by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request

from core.catalog import answering
from core.catalog.answering import Desktop
from core.errors import NotFoundError, UsageError
from core.images.archive import Archive
from core.images.decode import decode
from core.images.source import read_bytes
from core.store import images, inbox, inbox_queue
from core.store.database import transaction
from core.store.inbox_queue import Desk, Taken
from dashboard.door.caller import current
from dashboard.pages.inbox import facts
from dashboard.pages.inbox.view import API, LATELY_CSV, PICTURE
from dashboard.parts.exports import serve
from dashboard.parts.pictures import as_jpeg

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from dashboard.page import House

LONGEST_SIDE = 1024

_MOST_AT_ONCE = 5
_MOST_HELD = 50
_LONGEST_WORD = 200
_LARGEST = 2**63 - 1

Answer = Response


@dataclass(frozen=True, slots=True)
class _Said:
    """The body of a request, read with suspicion."""

    body: dict[str, Any]

    def word(self, name: str) -> str:
        found = self.body.get(name)
        if not isinstance(found, str) or not 0 < len(found) <= _LONGEST_WORD:
            raise UsageError(f"{name} must be a text of 1 to {_LONGEST_WORD} characters")
        return found

    def number(self, name: str) -> int:
        return _number(self.body.get(name), name)

    def numbers(self, name: str) -> list[int]:
        found = self.body.get(name, [])
        if not isinstance(found, list) or len(found) > _MOST_HELD:
            raise UsageError(f"{name} must be a list of at most {_MOST_HELD} numbers")
        return [_number(each, name) for each in found]


def blueprint(house: House) -> Blueprint:
    """Return the routes of the inbox."""
    routes = Blueprint("inbox", __name__)
    archive = Archive(house.home / "archive")

    @routes.get(f"{PICTURE}/<int:item>")
    def picture(item: int) -> Answer:
        current().require("read")
        return as_jpeg(decode(_bytes_of(house, archive, item)), LONGEST_SIDE)

    @routes.get(f"{API}/labels")
    def labels() -> Answer:
        current().require("read")
        with transaction(house.engine) as connection:
            return jsonify({"labels": facts.labels(connection)})

    @routes.get(f"{API}/lately")
    def lately() -> Answer:
        current().require("read")
        with transaction(house.engine) as connection:
            return jsonify({"lately": facts.lately(connection, current().name)})

    serve(routes, house.engine, LATELY_CSV, lambda connection, _: facts.lately_sheet(connection))
    _let_take(routes, house)
    _let_go(routes, house)
    _let_answer(routes, house, archive)
    return routes


def _let_take(routes: Blueprint, house: House) -> None:
    """Add the routes that give a desk an image."""

    @routes.post(f"{API}/next")
    def take() -> Answer:
        said, desk = _labeller()
        now, have = house.clock.now(), said.numbers("have")
        label = said.word("class") if said.body.get("class") else None
        taken: list[Taken] = []
        with transaction(house.engine) as connection:
            inbox_queue.bring_suspects(connection, now=now)
        with transaction(house.engine) as connection:
            for _ in range(min(max(said.number("n"), 0), _MOST_AT_ONCE)):
                held = [*have, *(each.item.id for each in taken)]
                found = inbox_queue.take(connection, desk, now=now, label=label, have=held)
                if found is None:
                    break
                taken.append(found)
            progress = facts.progress(connection, desk, now=now, a_day=house.labels_a_day)
            return jsonify({"items": facts.asked(connection, taken), "progress": progress})

    @routes.post(f"{API}/open")
    def open_again() -> Answer:
        said, _ = _labeller()
        with transaction(house.engine) as connection:
            found = Taken(inbox.get(connection, said.number("item")), None)
            return jsonify({"items": facts.asked(connection, [found])})


def _let_go(routes: Blueprint, house: House) -> None:
    """Add the routes by which a desk holds on to images, or lets go of them."""

    @routes.post(f"{API}/keep")
    def keep() -> Answer:
        said, desk = _labeller()
        with transaction(house.engine) as connection:
            held = inbox_queue.renew(connection, desk, said.numbers("items"), now=house.clock.now())
        return jsonify({"held": sorted(held)})

    @routes.post(f"{API}/leave")
    def leave() -> Answer:
        said, desk = _labeller()
        with transaction(house.engine) as connection:
            inbox_queue.release(connection, desk, said.numbers("items"))
        return jsonify({})

    @routes.post(f"{API}/skip")
    def skip() -> Answer:
        said, desk = _labeller()
        with transaction(house.engine) as connection:
            inbox_queue.skip(connection, desk, said.number("item"), now=house.clock.now())
        return jsonify({})


def _let_answer(routes: Blueprint, house: House, archive: Archive) -> None:
    """Add the routes that say something of an image, or take it back."""

    def saying(deed: Callable[[Connection, _Said, Desktop], inbox.Item]) -> Answer:
        said, desk = _labeller()
        now = house.clock.now()
        with transaction(house.engine) as connection:
            item = deed(connection, said, Desktop(desk, archive, now))
            progress = facts.progress(connection, desk, now=now, a_day=house.labels_a_day)
            return jsonify({"said": facts.as_said(connection, item, desk.by), "progress": progress})

    @routes.post(f"{API}/label")
    def label() -> Answer:
        return saying(
            lambda connection, said, at: answering.answer(
                connection, said.number("item"), said.word("label"), at
            )
        )

    @routes.post(f"{API}/correct")
    def correct() -> Answer:
        return saying(
            lambda connection, said, at: answering.correct(
                connection, said.number("item"), said.word("label"), at
            )
        )

    @routes.post(f"{API}/unusable")
    def unusable() -> Answer:
        return saying(
            lambda connection, said, at: answering.unusable(connection, said.number("item"), at)
        )

    @routes.post(f"{API}/undo")
    def undo() -> Answer:
        return saying(
            lambda connection, said, at: answering.undo(connection, said.number("item"), at)
        )


def _labeller() -> tuple[_Said, Desk]:
    """Return what is said, and at which desk.

    Raises:
        ForbiddenError: The caller may not label.
        UsageError: The body is no JSON object, or names no window.
    """
    caller = current()
    caller.require("label")
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise UsageError("the body must be a JSON object, sent as application/json")
    said = _Said(body)
    return said, Desk(caller.name, said.word("window"))


def _bytes_of(house: House, archive: Archive, item: int) -> bytes:
    if item > _LARGEST:
        raise NotFoundError(f"the inbox has no image {item}")
    with transaction(house.engine) as connection:
        found = inbox.get(connection, item)
        sample = images.get(connection, found.image) if found.image is not None else None
    return read_bytes(sample.uri) if sample else archive.get(found.sha256)


def _number(found: object, name: str) -> int:
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= _LARGEST:
        raise UsageError(f"{name} must be a whole number")
    return found
