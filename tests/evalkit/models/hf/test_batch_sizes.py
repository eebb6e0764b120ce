"""How many tokens of a batch memory holds."""

import pytest
import torch
import transformers

from evalkit.models.hf import batch_sizes

GIB = 1 << 30


@pytest.fixture
def model() -> transformers.PreTrainedModel:
    """4,096 channels: 24 * 4,096 * 4 bytes a token; two heads."""
    config = transformers.LlamaConfig(
        vocab_size=16,
        hidden_size=4096,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
    )
    with torch.device("meta"):
        return transformers.LlamaForCausalLM(config)


@pytest.mark.parametrize(
    ("free_bytes", "num_tokens"),
    # 4 GiB for each of two threads: 5,461 tokens; half a GiB: 682; a 16th: 85; a 64th: 21
    [(8 * GIB, 1024), (GIB, 512), (GIB // 8, 64), (GIB // 32, 64), (None, 1024)],
)
def test_a_cpu_s_free_memory_bounds_batches(
    model: transformers.PreTrainedModel,
    free_bytes: int | None,
    num_tokens: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_sizes, "free_memory_bytes", lambda: free_bytes)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    device = torch.device("cpu")
    assert batch_sizes.tokens_per_batch(model, device, has_bounded_attention=True) == num_tokens


def test_scores_of_all_by_all_count_where_attention_writes_them_out(
    model: transformers.PreTrainedModel,
) -> None:
    # 3 * 4 * 2 bytes for each of num_tokens**2, in a quarter
    assert batch_sizes.num_tokens_fitting(model, 96 * 300**2, has_bounded_attention=True) == 10
    assert batch_sizes.num_tokens_fitting(model, GIB, has_bounded_attention=True) == 1365
    assert batch_sizes.num_tokens_fitting(model, GIB, has_bounded_attention=False) == 1365
    assert batch_sizes.num_tokens_fitting(model, 16 * GIB, has_bounded_attention=False) == 13377
