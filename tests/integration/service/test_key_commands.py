"""`weakspot keys`, and the programs that ask for one before they start."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

ANYWHERE = ("--host", "0.0.0.0", "--port", "0")  # noqa: S104
MAKE_ONE = "weakspot keys create NAME --scopes predict,read"


@pytest.fixture
def environment(database_url, tmp_path):
    """The environment of a command that works on this test's database."""
    return os.environ | {"WEAKSPOT_HOME": str(tmp_path), "WEAKSPOT_DATABASE_URL": database_url}


@pytest.fixture
def weakspot(environment):
    """Run the command on this test's database: (exit code, stdout, stderr)."""

    def run(*words: str, **variables: str) -> tuple[int, str, str]:
        outcome = subprocess.run(
            [sys.executable, "-m", "weakspot", *words],
            env=environment | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        return outcome.returncode, outcome.stdout, outcome.stderr

    return run


class TestKeys:
    """`weakspot keys create | list | revoke`."""

    def test_are_made_listed_and_taken_back(self, weakspot):
        """The text of a key is printed once, and by nothing else."""
        words = ("--scopes", "predict, read", "--expires", "90d", "--per-minute", "60", "--json")
        made = json.loads(weakspot("keys", "create", "app", *words)[1])
        listed = weakspot("keys", "list", "--json")[1]
        revoked = json.loads(weakspot("keys", "revoke", "app", "--json")[1])
        again = weakspot("keys", "list")[1]

        assert made["key"].startswith(f"ws_{made['id']}_")
        assert (made["scopes"], made["per_minute"]) == (["predict", "read"], 60)
        (shown,) = json.loads(listed)["keys"]
        assert shown == {name: value for name, value in made.items() if name != "key"}
        assert (revoked["state"], "revoked" in again) == ("revoked", True)
        assert made["key"].split("_", 2)[2] not in listed + again

    @pytest.mark.parametrize(
        "words",
        [
            ("app", "--scopes", "root"),
            ("app", "--scopes", ","),
            ("no name", "--scopes", "read"),
            ("app", "--scopes", "read", "--expires", "soon"),
            ("app", "--scopes", "read", "--expires", "2020-01-01"),
        ],
    )
    def test_are_refused_when_they_make_no_sense(self, weakspot, words):
        """Exit code 2, and a sentence."""
        code, output, complaint = weakspot("keys", "create", *words, "--json")

        assert (code, json.loads(output)["error"]) == (2, "UsageError")
        assert "Traceback" not in complaint


class TestPrograms:
    """What listens where other machines reach it."""

    @pytest.mark.parametrize("verb", ["serve", "up"])
    def test_do_not_start_without_a_key(self, weakspot, verb: str):
        """And say how to make one, instead of being restarted for ever."""
        code, _, complaint = weakspot(verb, *ANYWHERE)

        assert (code, MAKE_ONE in complaint) == (2, True)

    def test_do_not_start_open_to_everybody(self, weakspot):
        """Not even when told to."""
        code, _, complaint = weakspot("serve", *ANYWHERE, WEAKSPOT_SERVICE_REQUIRE_KEYS="false")

        assert (code, "WEAKSPOT_SERVICE_REQUIRE_KEYS" in complaint) == (2, True)

    def test_start_with_one(self, weakspot, environment):
        """Health is open, everything else asks for the key."""
        made = json.loads(weakspot("keys", "create", "app", "--scopes", "read", "--json")[1])
        command = [sys.executable, "-m", "weakspot", "serve", *ANYWHERE, "--json"]

        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None
            url = json.loads(run.stdout.readline())["url"]
            said = [
                _status(f"{url}/healthz"),
                _status(f"{url}/v1/models"),
                _status(f"{url}/v1/models", made["key"]),
            ]
            run.send_signal(signal.SIGTERM)

        assert (said, run.returncode) == ([200, 401, 200], 0)


def _status(url: str, key: str | None = None) -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - a loopback URL
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
