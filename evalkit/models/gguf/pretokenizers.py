"""How texts are cut before the pairs of a BPE vocabulary are merged, by llama.cpp's names of the ways.

A file says ``tokenizer.ggml.pre``. The patterns are those of the ``tokenizer.json`` that the names stand for,
not llama.cpp's rewritings of them, which in places see letters differently.
"""

from typing import TYPE_CHECKING, NamedTuple

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
_DIGITS = r"\p{N}"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_REST}"
_QWEN2 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_REST}"
_QWEN35 = (
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SLASHED_REST = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_BEFORE = r"[^\r\n\p{L}\p{N}]?"
_TEKKEN = rf"{_BEFORE}{_UPPER}*{_LOWER}+|{_BEFORE}{_UPPER}+{_LOWER}*|\p{{N}}|{_SLASHED_REST}"
_GPT4O = (
    rf"{_BEFORE}{_UPPER}*{_LOWER}+{_CONTRACTIONS}?|{_BEFORE}{_UPPER}+{_LOWER}*{_CONTRACTIONS}?"
    rf"|\p{{N}}{{1,3}}|{_SLASHED_REST}"
)
_DEEPSEEK3 = (
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
)

_GPT2_KIND = PreTokenizerKind((GPT2,))
_DIGITS_KIND = PreTokenizerKind((_DIGITS, GPT2))
_LLAMA3_KIND = PreTokenizerKind((_LLAMA3,), ignores_merges=True, adds_bos=True)
_QWEN2_KIND = PreTokenizerKind((_QWEN2,))
_GPT4O_KIND = PreTokenizerKind((_GPT4O,))
_DEEPSEEK3_KIND = PreTokenizerKind(_DEEPSEEK3)
KINDS: dict[str, PreTokenizerKind] = {
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "exaone4"), _GPT2_KIND),
    **dict.fromkeys(
        ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"), _DIGITS_KIND
    ),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "lfm2"), _LLAMA3_KIND),
    **dict.fromkeys(("dbrx", "smaug-bpe"), PreTokenizerKind((_LLAMA3,))),
    **dict.fromkeys(("glm4", "glm5"), PreTokenizerKind((_LLAMA3,), ignores_merges=True)),
    **dict.fromkeys(
        ("qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez", "solar-open"), _QWEN2_KIND
    ),
    "qwen35": PreTokenizerKind((_QWEN35,)),
    "tekken": PreTokenizerKind((_TEKKEN,), ignores_merges=True, adds_bos=True),
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
