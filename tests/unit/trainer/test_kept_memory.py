"""Tests of the memory that a training keeps from step to step."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from trainer.fitting.kept_memory import memory_kept

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
MEGABYTES = 96  # more than the heap of any thread but the first


def _faults_of_a_step(megabytes: int = MEGABYTES) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.empty(megabytes * 2**20, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def in_a_fresh_process() -> None:
    """What the tests below look at, as numbers on stdout."""
    _faults_of_a_step()
    anew, before = _faults_of_a_step(), _resident_bytes()
    with memory_kept():
        _faults_of_a_step(MEGABYTES + 1)  # glibc wants a little room around what it places
        kept, during = _faults_of_a_step(), _resident_bytes()
    sys.stdout.write(f"{anew} {kept} {during - before} {_resident_bytes() - before}")


@pytest.fixture(scope="module")
def seen() -> tuple[int, int, int, int]:
    """Page faults anew and kept, bytes held during and after."""
    script = "from tests.unit.trainer import test_kept_memory as t; t.in_a_fresh_process()"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    anew, kept, during, after = map(int, run.stdout.split())
    return anew, kept, during, after


class TestMemoryKept:
    """`memory_kept`."""

    def test_a_second_step_costs_no_page_faults(self, seen: tuple[int, int, int, int]):
        """They were half of a training step's time."""
        anew, kept, _, _ = seen
        assert kept < 0.05 * anew

    def test_is_given_back(self, seen: tuple[int, int, int, int]):
        """A worker waits for days between two trainings."""
        _, _, during, after = seen
        assert during > 0.9 * MEGABYTES * 2**20
        assert after < 0.1 * MEGABYTES * 2**20
