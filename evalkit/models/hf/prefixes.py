"""What a Hugging Face tokenizer says of the tokens before a document."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.models.document_start import ModelStart, TokenizerStart

if TYPE_CHECKING:
    import transformers

_PROBES = ("the text", "Two\nlines.", "1")


def tokenizer_start(
    tokenizer: "transformers.PreTrainedTokenizerBase", folder: Path | None = None
) -> TokenizerStart:
    """What a tokenizer puts before a text, and which of its tokens are special.

    Args:
        tokenizer: as `evalkit.models.hf.tokenizer_files.read_tokenizer` reads it.
        folder: where its files are; None: it has none.
    """
    bos_id, eos_id = tokenizer.bos_token_id, tokenizer.eos_token_id
    template = _template(tokenizer)
    if template == () and bos_id is not None and folder is not None and _says_add_bos(folder):
        template = (int(bos_id),)
    # Ordinary entries are no separators: ``</s>`` is a tag of HTML as well.
    names = {int(token): entry.content for token, entry in tokenizer.added_tokens_decoder.items()}
    return TokenizerStart(
        template,
        {"bos": bos_id, "eos": eos_id},
        {**names, **_decoded(tokenizer, set(template or ()).difference(names))},
        json.dumps(tokenizer.chat_template or "", ensure_ascii=False),
        next(iter((*(template or ()), *tokenizer("\n", add_special_tokens=False)["input_ids"])), None),
    )


def start_names(
    tokenizer: "transformers.PreTrainedTokenizerBase", tokenizer_says: TokenizerStart, start: ModelStart
) -> dict[int, str]:
    """Text of the tokens that are, or may be, read before a document."""
    names = tokenizer_says.candidates(*start.named_ids)
    return names | _decoded(tokenizer, {token for ids in start.named_ids for token in ids}.difference(names))


def _decoded(tokenizer: "transformers.PreTrainedTokenizerBase", ids: Iterable[int]) -> dict[int, str]:
    in_vocabulary = sorted(token for token in ids if token < len(tokenizer))
    return {token: str(tokenizer.decode([token], skip_special_tokens=False)) for token in in_vocabulary}


def _template(tokenizer: "transformers.PreTrainedTokenizerBase") -> tuple[int, ...] | None:
    """The ids before a text, as encoding with and without special tokens differ; None: no such ids."""
    templates = set()
    for probe in _PROBES:
        bare = tokenizer(probe, add_special_tokens=False)["input_ids"]
        full = tokenizer(probe)["input_ids"]
        starts = [start for start in range(len(full)) if full[start : start + len(bare)] == bare]
        if bare:  # what a vocabulary cannot spell tells nothing
            templates.add(tuple(map(int, full[: starts[0]])) if starts else None)
    return templates.pop() if len(templates) == 1 else None


def _says_add_bos(folder: Path) -> bool:
    """Whether tokenizer_config.json wants a BOS before a text.

    Version 5 of transformers does not look at it beside a tokenizer.json. The tokenizers of DeepSeek have a
    BOS from nowhere else: until version 4, their class put it there.
    """
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return False
    settings = json.loads(path.read_text(encoding="utf-8"))
    return isinstance(settings, dict) and settings.get("add_bos_token") is True
