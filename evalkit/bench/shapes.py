"""Checkpoints of the shape of well-known models, with random weights: time does not depend on them.

Their tokenizers are trained on the text that is scored and filled up to the vocabulary, so that nothing
is fetched.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from evalkit.bench.whole_model import write_random_checkpoint
from evalkit.errors import UsageError
from evalkit.models.catalog import load_catalog
from evalkit.models.devices import resolve_dtype
from evalkit.models.loading import locate_models
from evalkit.models.name_patterns import specs_of
from evalkit.models.protocol import LoadOptions

_NUM_TRAINED = 8192
"""Entries of a vocabulary that are trained; the others are pairs of them, which no text is cut into."""


@dataclasses.dataclass(frozen=True)
class _TransformersShape:
    """A network of transformers."""

    model_type: str
    vocab_size: int
    settings: Mapping[str, Any]


_SHAPES = {
    "qwen2.5-0.5b-shape": _TransformersShape(
        "qwen2",
        151_936,
        {
            "hidden_size": 896,
            "intermediate_size": 4864,
            "num_hidden_layers": 24,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "max_position_embeddings": 32768,
            "tie_word_embeddings": True,
        },
    ),
    "gemma-3-270m-shape": _TransformersShape(
        "gemma3_text",
        262_144,
        {
            "hidden_size": 640,
            "intermediate_size": 2048,
            "num_hidden_layers": 18,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 256,
            "sliding_window": 512,
            "max_position_embeddings": 32768,
            "tie_word_embeddings": True,
        },
    ),
}
"""After the models' ``config.json``."""
RWKV7_SHAPE = "rwkv7-0.1b-shape"
SHAPE_NAMES = (RWKV7_SHAPE, *_SHAPES)


def checked_specs(names: Sequence[str], options: LoadOptions, *, compressors: bool) -> list[str]:
    """What is to be timed, patterns of paths written out; all of it is looked at before any is timed.

    Args:
        names: models as `evalkit run` takes them, or `SHAPE_NAMES`.
        options: how they will be loaded.
        compressors: whether these are taken.

    Raises:
        UsageError: no name, an unknown one, a compressor where none is taken, another device or precision.
        ModelError: a model cannot be reached or read.
    """
    if not names:
        raise UsageError("nothing to time: name at least one model")
    resolve_dtype(options)
    catalog = load_catalog()
    specs = [spec for name in names for spec in ([name] if name in SHAPE_NAMES else specs_of(name, catalog))]
    for located in locate_models([spec for spec in specs if spec not in SHAPE_NAMES], options):
        if located.problem is not None:
            raise located.problem
        if located.identity.loader == "codec" and not compressors:
            raise UsageError(f"{located.identity.name} is a compressor, which has no tokens to count")
    return specs


def write_shape(name: str, folder: Path, texts: Sequence[str]) -> str:
    """Write a checkpoint of one of `SHAPE_NAMES`, and give what `evalkit run` would be given for it.

    Args:
        name: of the shape.
        folder: a new folder for it.
        texts: what will be scored, to train a tokenizer on.
    """
    folder.mkdir(parents=True)
    if name == RWKV7_SHAPE:
        write_random_checkpoint(folder / f"{name}.pth")
        return f"rwkv7:{folder / name}.pth"
    import torch
    import transformers

    shape = _SHAPES[name]
    config = transformers.AutoConfig.for_model(
        shape.model_type, vocab_size=shape.vocab_size, **shape.settings
    )
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    _write_tokenizer(folder, shape.vocab_size, texts)
    return f"hf:{folder}"


def _write_tokenizer(folder: Path, vocab_size: int, texts: Sequence[str]) -> None:
    """A byte-level BPE as GPT-2's, with as many entries as the model has."""
    import json

    import tokenizers
    import transformers

    start = "<|endoftext|>"
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=_NUM_TRAINED,
        show_progress=False,
        special_tokens=[start],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )
    backend.train_from_iterator(texts, trainer)
    state = json.loads(backend.to_str())
    vocabulary: dict[str, int] = state["model"]["vocab"]
    _fill(vocabulary, state["model"]["merges"], vocab_size)
    filled = tokenizers.Tokenizer.from_str(json.dumps(state))
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=filled, bos_token=start, eos_token=start
    ).save_pretrained(folder)


def _fill(vocabulary: dict[str, int], merges: list[list[str]], vocab_size: int) -> None:
    """Add pairs of trained entries, as merges that come after all others."""
    trained = [token for token in vocabulary if token != "<|endoftext|>"]
    for first, second in product(trained, trained):
        if len(vocabulary) == vocab_size:
            return
        if first + second not in vocabulary:
            vocabulary[first + second] = len(vocabulary)
            merges.append([first, second])
