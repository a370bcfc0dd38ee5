"""Listening and stopping."""

import resource
import socket

import pytest

from core.errors import UsageError
from service.server import bind, make_room_for, url_of


class TestBind:
    """Taking an address."""

    def test_finds_a_free_port(self):
        """Two services on one machine never meet."""
        with bind("127.0.0.1", 0) as first, bind("127.0.0.1", 0) as second:
            assert first.getsockname()[1] != second.getsockname()[1]
            assert url_of(first) == f"http://127.0.0.1:{first.getsockname()[1]}"

    def test_names_a_taken_port_and_the_way_out(self):
        """A person who starts a second service must learn why it does not."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(UsageError, match=f"port {port}.*WEAKSPOT_SERVICE_PORT"):
                bind("127.0.0.1", port)

    def test_refuses_a_foreign_address(self):
        """192.0.2.0/24 is nobody's."""
        with pytest.raises(UsageError, match=r"192\.0\.2\.1"):
            bind("192.0.2.1", 0)

    def test_gives_an_address_that_can_be_opened(self):
        """0.0.0.0 is listened on, not visited."""
        with bind("0.0.0.0", 0) as listener:  # noqa: S104
            assert url_of(listener).startswith("http://127.0.0.1:")


class TestMakeRoomFor:
    """Open files, of which every connection is one."""

    def test_gives_what_was_asked_for(self):
        """S11: the usual soft limit of 1024 is raised."""
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
            assert make_room_for(1000) == 1000
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 1200
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)

    def test_gives_less_where_there_is_less(self):
        """Better to refuse a connection than to fail at opening a file."""
        assert make_room_for(10**12) < 10**12
