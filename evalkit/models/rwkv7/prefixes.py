"""What an RWKV-7 model reads before a document, as far as that is known before it is loaded."""

from collections.abc import Mapping
from pathlib import Path

from evalkit.models.catalog import CatalogEntry
from evalkit.models.prefixes import (
    EVERY_CHUNK,
    NO_PREFIX,
    Prefix,
    check_in_vocabulary,
    explicit_prefixes,
    prefix_of_rule,
)
from evalkit.models.protocol import LoadOptions

DEFAULT_RULE = "default"
"""What an identity has for the vocabulary's own start: which that is may not be known before loading."""


def planned_prefixes(
    entry: CatalogEntry, options: LoadOptions, special_ids: Mapping[str, int], vocab_size: int | None
) -> dict[str, Prefix]:
    """What is read under published protocols, when the rule for the prefix has been checked.

    Args:
        entry: with the catalog's rule.
        options: with the user's rule, which holds under every policy.
        special_ids: what ``bos`` and ``eos`` mean.
        vocab_size: None where it is not known before loading.

    Raises:
        ModelError: the vocabulary has no such token.
    """
    rule = options.prefix or entry.prefix
    prefix = NO_PREFIX if rule is None else prefix_of_rule(rule, special_ids, entry.name)
    if vocab_size is not None:
        check_in_vocabulary([prefix.ids], vocab_size, entry.name)
    return explicit_prefixes(prefix) if options.prefix else {EVERY_CHUNK: NO_PREFIX}


def special_ids_of_files(folder: Path, name: str) -> dict[str, int]:
    """What ``bos`` and ``eos`` mean to the tokenizer of a folder.

    Raises:
        ModelError: it cannot be read; the message starts with ``name``.
    """
    from evalkit.models.hf.tokenizer_files import read_tokenizer

    tokenizer = read_tokenizer(folder, name, trust_remote_code=False)
    ids = {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id}
    return {rule: int(token) for rule, token in ids.items() if token is not None}
