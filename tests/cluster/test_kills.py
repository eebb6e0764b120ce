"""The demonstration of docs/cluster.md, in small."""

import sys

import pytest

from tests.cluster.kills import tries

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")


@pytest.mark.parametrize("victim", ["process", "run"])
def test_nothing_is_lost_and_nothing_done_twice(victim: str) -> None:
    row = tries(victim, 1)
    assert (row.num_struck, row.num_wrong, row.num_left_over) == (1, 0, 0)
    assert row.most_again <= 2  # what was being computed, in each of two processes
