"""What the inbox's browser side asks for and says, and who may."""

import io
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, g
from flask.testing import FlaskClient
from PIL import Image
from sqlalchemy import Engine

from core.clock import FixedClock
from core.images.archive import Archive
from core.store import inbox
from core.store.database import transaction
from core.store.inbox import Arrival
from dashboard import problems
from dashboard.door.caller import Caller
from dashboard.page import House
from dashboard.pages.inbox import routes
from tests.inbox import SENT_AT, fill
from tests.pool import register

_POSTS = ("next", "open", "keep", "leave", "skip", "label", "correct", "unusable", "undo")


class Visitor:
    """Somebody with a key."""

    def __init__(self, client: FlaskClient, who: dict[str, Any]) -> None:
        self._client = client
        self._who = who

    def post(self, what: str, scopes: str = "read label", by: str = "key:anna", **said: Any) -> Any:
        """Say something, and return the status and the answer."""
        self._who["caller"] = Caller(by, frozenset(scopes.split()))
        answer = self._client.post(f"/inbox/api/{what}", json={"window": "1"} | said)
        return answer.status_code, answer.get_json()

    def get(self, path: str, scopes: str = "read") -> Any:
        """Ask for something."""
        self._who["caller"] = Caller("key:anna", frozenset(scopes.split()))
        return self._client.get(path)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the archive lies."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def items(module_engine: Engine, home: Path) -> list[int]:
    """Pictures that wait."""
    version = register(module_engine, home / "bundles")
    return fill(module_engine, home, version, ["Cat", "Spider"] * 4)


@pytest.fixture(scope="module")
def visitor(module_engine: Engine, home: Path, items: list[int]) -> Iterator[Visitor]:
    """A browser before the routes alone."""
    house = House(module_engine, FixedClock(SENT_AT + timedelta(hours=1)), home, labels_a_day=7)
    server, who = Flask("test"), dict[str, Any]()
    server.register_blueprint(routes.blueprint(house))
    problems.install(server)

    @server.before_request
    def enter() -> None:
        g.caller = who["caller"]

    with server.test_client() as client:
        yield Visitor(client, who)


class TestInboxRoutes:
    """JSON under /inbox/api, and the pictures."""

    def test_need_the_scope_label_for_whatever_changes_something(self, visitor: Visitor):
        """Reading is not labelling."""
        asked = [visitor.post(each, scopes="read", item=1, items=[1], n=1) for each in _POSTS]

        assert {status for status, _ in asked} == {403}
        assert "scope label" in asked[0][1]["detail"]
        for path in ("labels", "lately"):
            assert visitor.get(f"/inbox/api/{path}", scopes="label").status_code == 403
            assert visitor.get(f"/inbox/api/{path}").status_code == 200

    def test_lead_from_an_image_to_its_label_and_back(self, visitor: Visitor, items: list[int]):
        """Asked, said, listed, undone, skipped."""
        _, asked = visitor.post("next", n=2, have=[])
        first, second = asked["items"]
        _, said = visitor.post("label", item=first["id"], label="Dog")
        listed = visitor.get("/inbox/api/lately").get_json()["lately"]
        _, undone = visitor.post("undo", item=first["id"])
        _, held = visitor.post("keep", items=[first["id"], second["id"]])
        visitor.post("skip", item=second["id"])
        _, others = visitor.post("next", n=5, have=[])

        assert {first["id"], second["id"]} <= set(items)
        assert first["choices"][0] in {"Cat", "Spider"}
        assert "Nearly a tie" in first["why"]
        assert said["progress"] | {"streams": 0} == {
            "today": 1, "own": 1, "a_day": 7, "waiting": 7, "streams": 0,
        }  # fmt: skip
        assert [(each["id"], each["answer"], each["by"]) for each in listed] == [
            (first["id"], "Dog", "anna")
        ]
        assert undone["progress"]["today"] == 0
        assert held["held"] == sorted([first["id"], second["id"]])
        assert second["id"] not in {each["id"] for each in others["items"]}
        visitor.post("leave", items=[each["id"] for each in others["items"]])

    def test_say_why_they_refuse(self, visitor: Visitor, items: list[int]):
        """Bodies from outside are read with suspicion."""
        spelt = visitor.post("label", item=items[0], label="Spidre")
        odd = [
            visitor.post("label", item="1; DROP TABLE inbox", label="Dog"),
            visitor.post("label", item=items[0], label="x" * 201),
            visitor.post("next", n=1, have=list(range(51))),
            visitor.post("label", item=True, label="Dog"),
            visitor.post("next", n=1, window=""),
        ]

        assert (spelt[0], "did you mean: Spider" in spelt[1]["detail"]) == (422, True)
        assert [status for status, _ in odd] == [422] * 5
        assert visitor.post("label", item=10**9, label="Dog")[0] == 404

    def test_tell_who_was_first(self, visitor: Visitor, items: list[int]):
        """Somebody else's answer stands, until it is corrected."""
        visitor.post("label", item=items[-1], label="Dog", by="key:ben")
        late = visitor.post("label", item=items[-1], label="Cat")
        better = visitor.post("correct", item=items[-1], label="Cat")

        assert (late[0], late[1]["detail"]) == (409, "key:ben has said already: Dog")
        assert (better[0], better[1]["said"]["answer"]) == (200, "Cat")

    def test_show_pictures_small_and_without_what_was_written_into_the_file(
        self, visitor: Visitor, module_engine: Engine, home: Path
    ):
        """Where somebody stood when they took a picture is nobody's business."""
        exif = Image.Exif()
        exif[0x010E] = "at home"
        file = io.BytesIO()
        Image.new("RGB", (2000, 500), "red").save(file, "JPEG", exif=exif)
        sha256 = Archive(home / "archive").put(file.getvalue())
        arrival = Arrival("aimed", sha256, SENT_AT, 0, None, "v1", "Cat", [], 0.9, 1)
        with transaction(module_engine) as connection:
            inbox.add(connection, arrival, now=SENT_AT)
        _, asked = visitor.post("next", n=5, **{"class": "Cat"})
        shown = [each["picture"] for each in asked["items"]]
        pictures = [visitor.get(each) for each in shown]
        sizes = {Image.open(io.BytesIO(each.data)).size for each in pictures}

        assert all(each.mimetype == "image/jpeg" for each in pictures)
        assert all(b"at home" not in each.data for each in pictures)
        assert (1024, 256) in sizes
        assert visitor.get(shown[0], scopes="").status_code == 403
        assert visitor.get("/inbox/picture/999999").status_code == 404
