"""How texts are cut before the pairs of a BPE vocabulary are merged, by llama.cpp's names of the ways.

A file says ``tokenizer.ggml.pre``. The patterns are those of the ``tokenizer.json`` that the names stand for,
not llama.cpp's rewritings of them, which in places see letters differently.
"""

from typing import TYPE_CHECKING, NamedTuple

from evalkit.models.hf import cut_patterns

if TYPE_CHECKING:
    from tokenizers.pre_tokenizers import PreTokenizer


class PreTokenizerKind(NamedTuple):
    """A way to cut texts."""

    patterns: tuple[str, ...]
    """Regular expressions, each for the pieces that the one before makes; ``GPT2`` is built in."""
    ignores_merges: bool = False
    """Whether a piece that is a token is that token, whatever the merges give."""
    adds_bos: bool = False
    """Whether a text begins with BOS where the file does not say."""


GPT2 = "GPT-2"

_GPT2_KIND = PreTokenizerKind((GPT2,))
_DIGITS_KIND = PreTokenizerKind((cut_patterns.DIGITS, GPT2))
_LLAMA3_KIND = PreTokenizerKind((cut_patterns.LLAMA3,), ignores_merges=True, adds_bos=True)
_QWEN2_KIND = PreTokenizerKind((cut_patterns.QWEN2,))
_GPT4O_KIND = PreTokenizerKind((cut_patterns.GPT4O,))
_DEEPSEEK3_KIND = PreTokenizerKind(cut_patterns.DEEPSEEK3)
KINDS: dict[str, PreTokenizerKind] = {
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "exaone4"), _GPT2_KIND),
    **dict.fromkeys(
        ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"), _DIGITS_KIND
    ),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "lfm2"), _LLAMA3_KIND),
    **dict.fromkeys(("dbrx", "smaug-bpe"), PreTokenizerKind((cut_patterns.LLAMA3,))),
    **dict.fromkeys(("glm4", "glm5"), PreTokenizerKind((cut_patterns.LLAMA3,), ignores_merges=True)),
    **dict.fromkeys(
        ("qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez", "solar-open"), _QWEN2_KIND
    ),
    "qwen35": PreTokenizerKind((cut_patterns.QWEN35,)),
    "tekken": PreTokenizerKind((cut_patterns.TEKKEN,), ignores_merges=True, adds_bos=True),
    **dict.fromkeys(("gpt-4o", "llama4", "kanana2", "minimax-m2"), _GPT4O_KIND),
    **dict.fromkeys(("deepseek-v3", "hunyuan-dense"), _DEEPSEEK3_KIND),
}
"""By ``tokenizer.ggml.pre``."""


def pre_tokenizer(kind: PreTokenizerKind) -> "PreTokenizer":
    """The way as a part of a tokenizer of the tokenizers library, which writes bytes in GPT-2's alphabet."""
    from tokenizers import Regex, pre_tokenizers

    steps = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in kind.patterns if pattern != GPT2]
    ends_with_gpt2 = kind.patterns[-1] == GPT2
    return pre_tokenizers.Sequence(
        [*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=ends_with_gpt2)]
    )
