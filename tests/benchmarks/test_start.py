"""The daemon is ready soon after what it stands on is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.bench_start import measure

LIMIT = 2.0


@pytest.mark.serial
def test_a_cold_start_costs_at_most_twice_its_imports(tmp_path: Path) -> None:
    """Configuration, rules, state, listener and the first answer of `/readyz`, in the same run."""
    ratio, _, _ = measure(tmp_path, rounds=5)
    assert ratio <= LIMIT


@pytest.mark.bench
def test_print_the_cold_start(tmp_path: Path) -> None:
    """The figures of the README."""
    ratio, start, imports = measure(tmp_path, rounds=9)
    print(f"\ncold start to ready: {ratio:.2f} x its imports (limit {LIMIT}); {start:.2f} s against {imports:.2f} s")
    assert ratio <= LIMIT
