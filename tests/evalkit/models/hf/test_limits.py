"""What a Hugging Face checkpoint cannot do: positions that it has not learned, text that it cannot spell."""

from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from evalkit.errors import LossyTextError, ModelError
from evalkit.models.hf import model as hf
from evalkit.models.protocol import LoadOptions
from tests.support.tiny_models import as_fast, byte_level_tokenizer, entry, random_model, save_checkpoint


def load(folder: Path, **fields: Any) -> hf.HfModel:
    return hf.load(entry(folder, **fields), LoadOptions())


def test_a_context_beyond_learned_positions_is_refused(tmp_path: Path) -> None:
    stated, tokenizer = 48, as_fast(byte_level_tokenizer())
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_positions=stated, n_embd=16, n_layer=1, n_head=2
    )
    folder = save_checkpoint(tmp_path / "gpt2", transformers.GPT2LMHeadModel(config).eval(), tokenizer)
    assert load(folder).context_limit == stated
    with pytest.raises(
        ModelError, match=f"is more than the {stated} positions that GPT2LMHeadModel has learned"
    ):
        load(folder, context_limit=stated + 1)
    rotary = save_checkpoint(tmp_path / "llama", random_model("llama", len(tokenizer)), tokenizer)
    assert load(rotary, context_limit=100_000).context_limit == 100_000


def test_a_vocabulary_that_cannot_spell_english_sentences(tmp_path: Path) -> None:
    """Letters and blanks only, as for text8."""
    letters = "abcdefghijklmnopqrstuvwxyz "
    vocabulary = {letter: number for number, letter in enumerate(letters)} | {"[UNK]": len(letters)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    backend.decoder = decoders.Fuse()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    model = load(save_checkpoint(tmp_path / "letters", random_model("llama", len(letters) + 1), fast))
    assert model.encode("a bet").ids.tolist() == [0, 26, 1, 4, 19]
    with pytest.raises(
        LossyTextError, match="the tokenizer of hf:letters cannot represent the text"
    ) as caught:
        model.encode("A bet")
    assert str(tmp_path) not in str(caught.value)  # results quote it, and should not tell of folders
