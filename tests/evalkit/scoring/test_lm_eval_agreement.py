"""The ``lm-eval`` policy against lm-evaluation-harness itself."""

from pathlib import Path
from typing import Any

import pytest

from evalkit.models.hf import model as hf
from evalkit.models.protocol import LoadOptions
from evalkit.scoring import policy
from tests.support.tiny_models import (
    TEXTS,
    as_fast,
    byte_level_tokenizer,
    entry,
    random_model,
    save_checkpoint,
)

TEXT = "".join(TEXTS)
MAX_LENGTH = 64


def documents(fast: Any) -> list[str]:
    """Texts of fewer, exactly as many, one more and many more tokens than a window holds."""
    token_ids = fast.encode(TEXT, add_special_tokens=False)
    texts = [fast.decode(token_ids[:length]) for length in (1, 20, MAX_LENGTH, MAX_LENGTH + 1)]
    return [*texts, TEXT, TEXT * 3]


@pytest.mark.parametrize("adds_bos", [False, True])
def test_rolling_loglikelihoods_agree(adds_bos: bool, tmp_path: Path) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    fast = as_fast(byte_level_tokenizer(adds_bos=adds_bos))
    folder = save_checkpoint(tmp_path / "llama", random_model("llama", len(fast)), fast)
    harness = HFLM(
        pretrained=str(folder),
        add_bos_token=False,  # else the tokenizer's own BOS would be paid for after the harness's
        softmax_dtype="float32",
        max_length=MAX_LENGTH,
        batch_size=1,
        dtype="float32",
        device="cpu",
    )
    texts = documents(fast)
    requests = [Instance("loglikelihood_rolling", {}, (text,), index) for index, text in enumerate(texts)]
    theirs = harness.loglikelihood_rolling(requests, disable_tqdm=True)

    model = hf.load(entry(folder), LoadOptions(max_context=MAX_LENGTH))
    assert model.policy_prefixes["lm-eval"] == (harness.prefix_token_id,)
    for text, loglikelihood in zip(texts, theirs, strict=True):
        ids = model.encode(text).ids.tolist()
        windows = policy.windows(
            "lm-eval", ids, prefix=model.policy_prefixes["lm-eval"], context_limit=model.context_limit
        )
        nats = model.nats(
            [window.targets for window in windows], contexts=[window.context for window in windows]
        )
        total = sum(float(part.astype(float).sum()) for part in nats)
        assert -loglikelihood == pytest.approx(total, rel=1e-6)
