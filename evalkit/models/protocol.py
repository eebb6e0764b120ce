"""What a model is to evalkit: something that turns text into a code length.

Two small protocols serve everything that can be scored.

`TokenModel`: a tokenizer and a next-token distribution (RWKV-7, any Hugging Face causal LM, yours).
It says what its tokens are (`encode`), what it reads before a document (`prefix`), how much it can
read at once (`context_limit`), and what each token costs (`nats`). Which tokens are paid for, and in
which context, is the business of `evalkit.scoring.policy`; how they are batched that of
`evalkit.scoring.documents`.

`Codec`: a compressor, which has no tokens, only a code length per document.

A model of your own needs no more than the members of one of them: give the object to
`evalkit.run(models=[...])`, or register a loader under the entry-point group ``evalkit.loaders`` so
that ``evalkit run --models yourloader:TARGET`` finds it (see docs/guides/add-a-model.md).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from evalkit.models.model_files import ModelFile
from evalkit.models.prefixes import Prefix


class Encoding(NamedTuple):
    """A document as tokens that tile its bytes.

    Token ``i`` stands for the UTF-8 bytes ``[ends[i-1], ends[i])`` (from 0 for the first). Tokens
    may be empty or end inside a character; ``ends[-1]`` is the document's length in bytes.
    """

    ids: NDArray[np.int64]
    """Token ids, shape ``[num_tokens]``."""
    ends: NDArray[np.int64]
    """Byte offset at which each token ends, shape ``[num_tokens]``, non-decreasing."""
    is_literal: bool = False
    """Whether these are not the tokens that the model's tokenizer would give, for those lose something of
    the text: they spell it as it stands, which a model is less used to."""


@dataclasses.dataclass(frozen=True)
class ModelIdentity:
    """What makes two runs of "the same model" the same: part of a cell's key, known before loading."""

    name: str
    """The name under which results are shown: a catalog name, or the spec as it was given."""
    loader: str
    """``rwkv7``, ``hf``, ``codec`` or a registered loader."""
    revision: str | None
    """Commit of a hub repository; None for local files."""
    weights_sha256: str
    """Digest of the weight files; for a codec, of its library's version and settings."""
    tokenizer_sha256: str
    """Digest of the tokenizer's files, or a name that stands for a fixed vocabulary."""
    prefix: str
    """What is read before a document: ``bos``, ``eos``, ``none`` or ``token:ID,ID``."""
    dtype: str
    """Data type of the weights and activations, e.g. ``float32``; ``none`` for a codec."""
    context_limit: int | None
    """Most token positions of one forward pass; None where there is no limit."""
    details: Mapping[str, str | int | float | bool | None] = dataclasses.field(default_factory=dict)
    """Provenance that does not change the score: repo, file, parameters, cutoff, licence."""
    config_sha256: str | None = None
    """Digest of all other files that loading reads: configuration, code, adapter; None: there are none."""
    numerics: str | None = None
    """Generation of the library that computes, e.g. ``transformers 5.23``; None: the digests say it all."""
    files: tuple[ModelFile, ...] = ()
    """Every file that loading reads, compared with what is there after loading; not part of the key."""
    policy_prefixes: Mapping[str, Prefix] = dataclasses.field(default_factory=dict)
    """What published protocols read in place of `prefix`, by policy name; part of the keys of their cells."""
    prefix_candidates: Mapping[str, tuple[Prefix, ...]] = dataclasses.field(default_factory=dict)
    """Of which published protocols read the cheapest, by policy name; part of the keys of their cells."""
    token_names: Mapping[int, str] = dataclasses.field(default_factory=dict)
    """Text of the tokens that are, or may be, read before a document; not part of the key."""


@runtime_checkable
class TokenModel(Protocol):
    """A tokenizer and a next-token distribution."""

    identity: ModelIdentity
    vocab_size: int
    prefix: tuple[int, ...]
    """Ids read before every document, never paid for; ``()`` where the model knows none."""
    context_limit: int | None
    """Most token positions of one forward pass; None: any length (a recurrent model)."""
    policy_prefixes: Mapping[str, tuple[int, ...]]
    """Ids that a published protocol puts before a document in place of `prefix`, by policy name."""
    tokens_per_batch: int
    """How many token positions (padding included) one call of `nats` should hold at most.

    A model may also have ``max_padding``: positions of padding that cost as much as another call does.
    """

    def encode(self, text: str) -> Encoding:
        """Tokens of a text, parsed without special tokens.

        Raises:
            LossyTextError: the tokens do not decode to the text's very bytes.
        """
        ...

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        """Cost of every token of every sequence, in nats: ``-ln p(token | context, tokens before)``.

        Args:
            sequences: token ids to pay for; they are scored side by side, each on its own.
            contexts: for each sequence, the ids read before it and not paid for; `prefix` where it
                is not given. With an empty context the first token costs ``ln(vocab_size)``.

        Returns:
            For each sequence a float32 array of its length.
        """
        ...


@runtime_checkable
class Codec(Protocol):
    """A compressor: a code length per document and nothing finer."""

    identity: ModelIdentity

    def code_length_bytes(self, data: bytes) -> int:
        """Length in bytes of the code from which ``data`` can be decoded."""
        ...


Model = TokenModel | Codec


class LoadOptions(NamedTuple):
    """How to load a model: what the user asked for, ``auto`` where nothing was asked."""

    device: str = "auto"
    """``auto`` (a GPU where torch sees one), ``cpu``, ``cuda``, ``cuda:N`` or ``mps``."""
    dtype: str = "auto"
    """``auto`` (float32 on CPU, bfloat16 on GPU), ``float32``, ``bf16``, ``float16``, …"""
    trust_remote_code: bool = False
    """Whether a hub repository may run its own Python."""
    max_context: int | None = None
    """A cap on every model's context, in token positions."""
    ignore_tensors: tuple[str, ...] = ()
    """Patterns of names of tensors that a checkpoint's files may hold beyond what the model has."""
    prefix: str | None = None
    """What to read before a document, see `evalkit.models.prefixes.parse_rule`; None: the model's own."""
    device_map: str | None = None
    """``auto``: layers of ``hf`` models are spread over all GPUs; None: a model is on one device."""
