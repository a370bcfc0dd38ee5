"""S08: where messages may go."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.addresses import objection, read_networks
from core.errors import UsageError

CONNECT = """
import http.client, socket, sys
from core import addresses
refused = addresses.guard(addresses.read_networks(sys.argv[2]))
try:
    exec(sys.argv[1])
except OSError as error:
    print("refused" if refused() else "tried", end="")
"""


def _try(code: str, networks: str = "") -> str:
    command = [sys.executable, "-c", CONNECT, code, networks]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


class TestObjection:
    """`objection`."""

    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1",
            "0.0.0.0",  # noqa: S104
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.100.100.200",
            "169.254.169.254",
            "168.63.129.16",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1%eth0",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "ff02::1",
            "localhost",
        ],
    )
    def test_there_is_one_against_what_is_not_public(self, address: str):
        """Loopback, private, link-local, metadata, multicast, and IPv4 in IPv6's clothes."""
        assert objection(address)

    @pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8"])
    def test_there_is_none_against_the_internet(self, address: str):
        """Where hooks usually are."""
        assert objection(address) is None

    def test_the_owner_may_allow_a_network(self):
        """And only that one."""
        allowed = read_networks("10.1.0.0/16, fd00::/8")

        assert [
            objection(each, allowed) for each in ("10.1.9.9", "::ffff:10.1.9.9", "fd00::1")
        ] == [None] * 3
        assert objection("10.2.0.1", allowed)

    @given(st.ip_addresses())
    def test_always_answers(self, address: object):
        """For any address there is."""
        assert objection(str(address)) in {None, f"{address} is no public address"}


class TestReadNetworks:
    """The setting."""

    def test_refuses_what_is_none(self):
        """A misspelt network must not silently allow nothing, or everything."""
        with pytest.raises(UsageError, match="networks are written like"):
            read_networks("10.1.0.0/16 everything")


class TestGuard:
    """What a process may connect to, by whatever means."""

    @pytest.mark.parametrize(
        "code",
        [
            "socket.create_connection(('localhost', 9), 1)",
            "socket.create_connection(('2130706433', 9), 1)",
            "socket.create_connection(('127.1', 9), 1)",
            "http.client.HTTPConnection('::1', 9, timeout=1).request('GET', '/')",
            "socket.socket().connect_ex(('127.0.0.1', 9)) and None",
            "socket.socket().connect(('localhost', 9))",
            "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('10.0.0.1', 9))",
            "socket.socket(socket.AF_UNIX).connect('/var/run/docker.sock')",
            "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9/')",
        ],
    )
    def test_refuses_before_a_connection_is_made(self, code: str):
        """The check hangs on the connection itself: no spelling and no library gets round it."""
        assert _try(code) == "refused"

    def test_lets_what_is_allowed_be_tried(self):
        """Nobody listens there, which is another matter."""
        assert _try("socket.create_connection(('127.0.0.1', 9), 1)", "127.0.0.0/8") == "tried"
