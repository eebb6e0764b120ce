"""Which tokens are paid for: properties that must hold for every text, and the published windows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from evalkit.errors import ScoringError, UsageError
from evalkit.scoring.policy import check_policy, check_prefix_fits, num_paid_tokens, windows

PREFIXES = st.sampled_from([(), (7,), (7, 8)])


@given(num_tokens=st.integers(0, 400), prefix=PREFIXES, limit=st.none() | st.integers(6, 200))
def test_document_pays_for_every_token_once_within_the_limit(
    num_tokens: int, prefix: tuple[int, ...], limit: int | None
) -> None:
    ids = list(range(100, 100 + num_tokens))
    cut = windows("document", ids, prefix=prefix, context_limit=limit)
    assert [token for window in cut for token in window.targets] == ids
    for window in cut:
        first = window.first
        assert window.targets.tolist() == ids[first : first + len(window.targets)]
        assert limit is None or window.num_positions <= limit
        # What is read is the prefix and then the text right before the targets.
        context = window.context.tolist()
        assert context[: len(prefix)] == list(prefix)
        seen = context[len(prefix) :]
        assert seen == ids[first - len(seen) : first]
        # Every later window sees at least half of the limit.
        assert first == 0 or limit is None or len(context) >= limit // 2


def test_document_without_a_limit_is_one_window() -> None:
    [window] = windows("document", range(100_000), prefix=(1,), context_limit=None)
    assert window.context.tolist() == [1]
    assert len(window.targets) == 100_000


def test_document_slides_by_half_a_window() -> None:
    cut = windows("document", range(20), prefix=(99,), context_limit=8)
    assert [(w.first, len(w.context), len(w.targets)) for w in cut] == [
        (0, 1, 8),  # 8 positions: the prefix and 7 tokens predict 8
        (8, 5, 4),
        (12, 5, 4),
        (16, 5, 4),
    ]
    assert cut[1].context.tolist() == [99, 4, 5, 6, 7]


@given(num_tokens=st.integers(1, 500), limit=st.integers(2, 64))
def test_lm_eval_windows_are_those_of_lm_eval(num_tokens: int, limit: int) -> None:
    ids = list(range(100, 100 + num_tokens))
    theirs = [
        make_disjoint_window(pair)
        for pair in get_rolling_token_windows(ids, prefix_token=7, max_seq_len=limit, context_len=1)
    ]
    ours = windows("lm-eval", ids, prefix=(7,), context_limit=limit)
    assert [(window.context.tolist(), window.targets.tolist()) for window in ours] == theirs


def test_lm_eval_takes_2048_where_a_model_states_no_limit() -> None:
    cut = windows("lm-eval", range(5000), prefix=(7,), context_limit=None)
    assert [len(window.targets) for window in cut] == [2048, 2048, 904]
    with pytest.raises(ScoringError, match="needs a BOS or end-of-text token"):
        windows("lm-eval", range(10), prefix=(), context_limit=None)


@given(num_tokens=st.integers(0, 5000), prefix=PREFIXES)
def test_uncheatable_leaves_the_first_id_of_each_chunk_unpaid(
    num_tokens: int, prefix: tuple[int, ...]
) -> None:
    ids = list(range(100, 100 + num_tokens))
    cut = windows("uncheatable", ids, prefix=prefix, context_limit=None)
    whole = [*prefix, *ids]
    chunks = [whole[first : first + 1024] for first in range(0, len(whole), 1024)]
    paid = [token for chunk in chunks for token in chunk[1:]]
    if len(prefix) > 1:
        paid = paid[len(prefix) - 1 :]  # of several start tokens none stands for a byte
    assert [token for window in cut for token in window.targets] == paid
    for window in cut:
        assert window.targets.tolist() == ids[window.first : window.first + len(window.targets)]
        assert len(window.context) + len(window.targets) <= 1024


@given(num_tokens=st.integers(1, 9000), limit=st.sampled_from([None, 2, 1024, 4000, 8192]))
def test_uncheatable_2025_12_pays_for_all_of_each_chunk_after_the_prefix(
    num_tokens: int, limit: int | None
) -> None:
    ids = list(range(100, 100 + num_tokens))
    cut = windows("uncheatable-2025-12", ids, prefix=(7,), context_limit=limit)
    size = min(4000, limit or 4000)
    assert [(window.context.tolist(), window.first, window.targets.tolist()) for window in cut] == [
        ([7], first, ids[first : first + size]) for first in range(0, num_tokens, size)
    ]
    assert all(limit is None or window.num_positions <= limit for window in cut)


def test_uncheatable_2025_12_needs_a_prefix() -> None:
    with pytest.raises(ScoringError, match="reads a token before every chunk, and this model has none"):
        windows("uncheatable-2025-12", range(10), prefix=(), context_limit=None)
    with pytest.raises(ScoringError, match="a context limit of 2 tokens leaves a chunk nothing to pay for"):
        windows("uncheatable-2025-12", range(10), prefix=(1, 2, 3), context_limit=2)
    with pytest.raises(UsageError, match="reads a token before a document; give --prefix bos, eos or token"):
        check_prefix_fits("uncheatable-2025-12", "none")
    check_prefix_fits("uncheatable-2025-12", "token:1,2")


@pytest.mark.parametrize(
    ("policy", "num_tokens", "prefix", "chunk_prefix", "num_paid"),
    [
        ("uncheatable-2025-12", 9000, (1,), (), 9000),
        ("document", 3000, (1, 2), (), 3000),
        ("lm-eval", 3000, (1,), (), 3000),
        ("uncheatable", 1, (), (), 0),
        ("uncheatable", 1025, (), (), 1023),  # the second chunk is its unpaid token
        (
            "uncheatable",
            1025,
            (9,),
            (),
            1024,
        ),  # the first chunk begins with the prefix, of which none is paid
        ("uncheatable", 2046, (9,), (9,), 2044),  # chunks of 1 + 1023
        ("document", 0, (1,), (), 0),
    ],
)
def test_tokens_that_are_paid_for_are_counted(
    policy: str, num_tokens: int, prefix: tuple[int, ...], chunk_prefix: tuple[int, ...], num_paid: int
) -> None:
    for limit in (None, 2048):
        counted = num_paid_tokens(
            policy, num_tokens, prefix=prefix, context_limit=limit, chunk_prefix=chunk_prefix
        )
        assert counted == num_paid


def test_a_limit_too_small_to_slide_and_an_unknown_policy_are_refused() -> None:
    with pytest.raises(ScoringError, match="too small to slide"):
        windows("document", range(100), prefix=(1,), context_limit=3)
    with pytest.raises(UsageError, match=r"unknown policy 'documents'. Did you mean document\?"):
        check_policy("documents")


def test_arrays_and_lists_are_the_same() -> None:
    for policy in ("document", "uncheatable", "lm-eval"):
        first = windows(policy, list(range(50)), prefix=(1,), context_limit=16)
        second = windows(policy, np.arange(50), prefix=(1,), context_limit=16)
        assert [w.targets.tolist() for w in first] == [w.targets.tolist() for w in second]
