"""Which tokens are read before a document, from what a tokenizer says of itself.

By default a model reads what its tokenizer puts before a text by itself, any number of tokens. Where it puts
nothing, it reads the token that separated documents in pretraining: tokenizers that add no BOS belong to
models trained on documents with an end-of-text token between them, whether or not they define a BOS
(``</s>`` of BLOOM, ``<|endoftext|>`` of Pythia and Qwen). That is the EOS token, but for instruct models
whose EOS ends a turn of a conversation (``<|im_end|>``).
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from evalkit.errors import ModelError
from evalkit.models.catalog import CatalogEntry
from evalkit.models.prefixes import (
    CHEAPEST,
    EVERY_CHUNK,
    NO_PREFIX,
    WITH_CONTEXT,
    Prefix,
    explicit_prefixes,
    prefix_of_ids,
    prefix_of_rule,
)
from evalkit.models.protocol import LoadOptions

SEPARATORS = (
    "<|endoftext|>",
    "<|end_of_text|>",
    "<｜end▁of▁sentence｜>",
    "<|EOS|>",
    "[EOS]",
    "<eos>",
    "</s>",
)
"""Names of tokens that end a document in pretraining, the surest first."""
_TURN_END = re.compile(
    r"im_end|im_sep|\beot|eom_|end_?of_?(turn|message|role|utterance)|(turn|role)_?end"
    r"|\|(end|return|call|user|assistant|observation)\|",
    re.IGNORECASE,
)
_TURN_START = re.compile(r"im_start|start_?of_?(turn|role)|start_header|(turn|role)_?start", re.IGNORECASE)


class TokenizerStart(NamedTuple):
    """What a tokenizer says of the tokens before a document."""

    template: tuple[int, ...] | None
    """Ids that it puts before a text by itself; None where they depend on the text."""
    special_ids: Mapping[str, int | None]
    """Its ``bos`` and ``eos``."""
    names: Mapping[int, str]
    """Text of every special token, and of every other that `template` has."""
    chat_template: str = ""
    """How a conversation is written, if it says so."""
    line_break: int | None = None
    """The first id of an encoded line break, what is put before a text included; None: not known."""

    @property
    def separators(self) -> dict[str, int]:
        """The special tokens that are known to end documents, in the order of `SEPARATORS`."""
        ids = {name: token for token, name in self.names.items()}
        return {name: ids[name] for name in SEPARATORS if name in ids}

    @property
    def separator(self) -> int | None:
        """The token between documents of pretraining, as far as names tell."""
        bos_id, eos_id = self.special_ids["bos"], self.special_ids["eos"]
        if eos_id is not None and not self._ends_turns(self.names.get(eos_id, "")):
            return eos_id
        starts_documents = bos_id is not None and not _TURN_START.search(self.names.get(bos_id, ""))
        if starts_documents and (eos_id is None or not self.separators):
            return bos_id
        return next(iter(self.separators.values()), eos_id)

    def candidates(self, *read_ids: Sequence[int]) -> dict[int, str]:
        """The tokens that may stand before a document, and those that do, with their text."""
        tokens = {*(self.template or ()), *self.special_ids.values(), *self.separators.values()}
        tokens.update(*read_ids)
        return {token: name for token, name in self.names.items() if token in tokens}

    def _ends_turns(self, name: str) -> bool:
        if not name or name in SEPARATORS:
            return False
        return bool(_TURN_END.search(name)) or name in self.chat_template


class ModelStart(NamedTuple):
    """What a model reads before a document."""

    prefix: Prefix
    by_policy: Mapping[str, Prefix]
    """What it reads under the policies of published protocols."""
    candidates: Mapping[str, tuple[Prefix, ...]] = MappingProxyType({})
    """Of what it reads the cheapest under others, at least two each."""

    @property
    def ids_by_policy(self) -> dict[str, tuple[int, ...]]:
        """As a `evalkit.models.protocol.TokenModel` has it."""
        return {policy: prefix.ids for policy, prefix in self.by_policy.items()}

    @property
    def all_ids(self) -> list[tuple[int, ...]]:
        """What is read under any policy that is no search."""
        return [self.prefix.ids, *self.ids_by_policy.values()]

    @property
    def named_ids(self) -> list[tuple[int, ...]]:
        """What is or may be read under any policy."""
        return [*self.all_ids, *(prefix.ids for tried in self.candidates.values() for prefix in tried)]


def default_prefix(start: TokenizerStart, name: str) -> Prefix:
    """The tokenizer's own template, else the separator of documents, else nothing.

    Raises:
        ModelError: what the tokenizer puts before a text depends on the text.
    """
    if start.template is None:
        raise ModelError(
            f"{name}: what its tokenizer puts before a text depends on the text; pass --prefix, or give "
            "prefix in the catalog"
        )
    if start.template:
        return prefix_of_ids(start.template, start.special_ids)
    separator = start.separator
    if separator is None:
        return NO_PREFIX
    # Where BOS and EOS are one token, it stands between documents as EOS.
    eos_first = {rule: start.special_ids[rule] for rule in ("eos", "bos")}
    return prefix_of_ids((separator,), eos_first)


def model_start(start: TokenizerStart, entry: CatalogEntry, options: LoadOptions) -> ModelStart:
    """What a model reads before a document, and what under the policies of published protocols.

    Args:
        start: what its tokenizer says.
        entry: whose rule holds where no protocol says otherwise.
        options: whose rule holds under every policy.

    Raises:
        ModelError: a rule is a token that the tokenizer does not define, or nothing says what to read.
    """
    name, option = entry.name, options.prefix
    rule = option or entry.prefix
    prefix = prefix_of_rule(rule, start.special_ids, name) if rule else default_prefix(start, name)
    template = start.template or ()
    candidates: dict[str, tuple[Prefix, ...]] = {}
    if option is not None:
        by_policy = explicit_prefixes(prefix)
    else:
        bos_or_eos = [token for token in start.special_ids.values() if token is not None][:1]
        by_policy = {
            "lm-eval": prefix_of_ids(bos_or_eos, start.special_ids),
            WITH_CONTEXT: prefix_of_ids(template, start.special_ids),
            EVERY_CHUNK: prefix_of_ids(template, start.special_ids),
        }
        searched = searched_prefixes(start)
        if len(searched) == 1:
            by_policy[CHEAPEST] = searched[0]
        elif searched:
            candidates[CHEAPEST] = searched
    if option == "bos" or (option is None and entry.uncheatable_bos):
        # As its loop with add_bos=True: `tokenizer.encode(tokenizer.bos_token)` brings what the tokenizer
        # adds to any text, and so do the text's own ids behind it.
        bos = prefix_of_rule("bos", start.special_ids, name).ids
        chunk_ids = (*template, *bos)
        whole = prefix_of_ids((*chunk_ids, *template), start.special_ids)
        by_policy[EVERY_CHUNK] = whole._replace(chunk_ids=chunk_ids)
    return ModelStart(prefix, by_policy, candidates)


def searched_prefixes(start: TokenizerStart) -> tuple[Prefix, ...]:
    """What Uncheatable Eval's mode finder tries: BOS, EOS and a line break, each once, in this order.

    Its line break is the first id of an encoded one, and so a BOS where the tokenizer puts one before every
    text (``bos_mode_finder.py`` of its repository).
    """
    ids = dict.fromkeys([start.special_ids["bos"], start.special_ids["eos"], start.line_break])
    return tuple(prefix_of_ids((token,), start.special_ids) for token in ids if token is not None)
