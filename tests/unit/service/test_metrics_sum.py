"""One page of metrics for several processes."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.workers.metrics_sum import Numbers, Sum, numbers_of, render


def counted(requests: int, seconds: float, waiting: int, *, spool: int = 0) -> Numbers:
    """Return the numbers of a process."""
    registry = CollectorRegistry()
    counter = Counter("weakspot_requests", "Requests.", ["route"], registry=registry)
    counter.labels("/v1/predict").inc(requests)
    Histogram("weakspot_seconds", "Time.", buckets=(1, 2), registry=registry).observe(seconds)
    Gauge("weakspot_waiting", "Waiting.", registry=registry).set(waiting)
    Gauge("weakspot_spool_bytes", "Size.", registry=registry).set(spool)
    return numbers_of(registry)


def lines(page: bytes) -> set[str]:
    """Return what a page says, but for comments and moments."""
    found = page.decode().splitlines()
    return {line for line in found if not line.startswith("#") and "_created" not in line}


class TestRender:
    """The page that Prometheus reads."""

    def test_adds_up_what_processes_counted(self):
        """Counters, gauges, and each bucket of a histogram."""
        page = render([counted(3, 0.5, 2), counted(4, 1.5, 1)], gone=[])

        assert lines(page) == {
            'weakspot_requests_total{route="/v1/predict"} 7.0',
            'weakspot_seconds_bucket{le="1.0"} 1.0',
            'weakspot_seconds_bucket{le="2.0"} 2.0',
            'weakspot_seconds_bucket{le="+Inf"} 2.0',
            "weakspot_seconds_count 2.0",
            "weakspot_seconds_sum 2.0",
            "weakspot_waiting 3.0",
            "weakspot_spool_bytes 0.0",
        }

    def test_says_once_what_all_processes_see(self):
        """The spool is one folder, however many look into it."""
        page = render([counted(0, 0, 0, spool=9), counted(0, 0, 0, spool=8)], gone=[])

        assert "weakspot_spool_bytes 9.0" in lines(page)

    def test_keeps_what_the_dead_have_counted(self):
        """A counter that goes down looks like a restart of everything; a queue is gone."""
        gone = Sum()
        gone.add(counted(5, 0.5, 9), gone=True)

        page = lines(render([counted(3, 0.5, 2)], gone=gone.numbers()))

        assert 'weakspot_requests_total{route="/v1/predict"} 8.0' in page
        assert "weakspot_waiting 2.0" in page

    def test_is_one_that_says_what_everything_is(self):
        """Prometheus shows the meaning and needs the type."""
        page = render([counted(1, 1, 1)], gone=[]).decode()

        assert "# HELP weakspot_requests_total Requests." in page
        assert "# TYPE weakspot_seconds histogram" in page
