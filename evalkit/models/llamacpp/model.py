"""The ``llamacpp`` loader: a GGUF file as llama.cpp computes it, rounded activations and all.

The quantised weights of a file meet activations that llama.cpp rounds to 8 bits, and its cache keeps keys and
values in 16: these are the numbers that its users get. The loader ``gguf`` computes the same weights exactly.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit.errors import UsageError
from evalkit.models.catalog import CatalogEntry
from evalkit.models.document_start import model_start
from evalkit.models.gguf.dequantise import described_weights
from evalkit.models.gguf.files import GgufFile, locate_file
from evalkit.models.gguf.header import Header
from evalkit.models.gguf.tokenizer import header_start
from evalkit.models.llamacpp.library import LlamaCpp, open_library
from evalkit.models.llamacpp.pieces import encode_pieces
from evalkit.models.prefixes import check_in_vocabulary
from evalkit.models.protocol import Encoding, LoadOptions, ModelIdentity

_TOKENS_PER_BATCH = 4096
_RECURRENT = ("rwkv", "arwkv", "mamba")
"""Architectures whose memory does not grow with the text, whatever context their metadata state."""


class LlamaCppModel:
    """A model of llama.cpp; see `evalkit.models.protocol.TokenModel`."""

    tokens_per_batch = _TOKENS_PER_BATCH

    def __init__(
        self,
        llama_cpp: LlamaCpp,
        identity: ModelIdentity,
        prefix: tuple[int, ...],
        policy_prefixes: Mapping[str, tuple[int, ...]],
    ) -> None:
        """Wrap a loaded file.

        Args:
            llama_cpp: the file.
            identity: what the results are filed under.
            prefix: ids read before a document.
            policy_prefixes: the same under published protocols.
        """
        self.identity = identity
        self.vocab_size = llama_cpp.vocab_size
        self.prefix = prefix
        self.policy_prefixes = policy_prefixes
        self.context_limit = identity.context_limit
        self._llama_cpp = llama_cpp
        self._pieces: dict[int, bytes] = {}

    def encode(self, text: str) -> Encoding:
        """Tokens by llama.cpp's own tokenizer, without special tokens.

        Raises:
            LossyTextError: they do not decode to the text's bytes.
        """
        return encode_pieces(text, self._tokenize, self.identity.name)

    def decode(self, ids: Sequence[int]) -> bytes:
        """See `evalkit.models.lanes.DecodingModel`; with the space that SentencePiece puts before a text."""
        return b"".join(self._piece(token) for token in ids)

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        """Nats of every id of every sequence, one sequence after the other; see `TokenModel.nats`."""
        contexts = [self.prefix] * len(sequences) if contexts is None else contexts
        return [
            self._nats(list(targets), list(context))
            for targets, context in zip(sequences, contexts, strict=True)
        ]

    def head_inputs(self, context: Sequence[int], targets: Sequence[int]) -> Iterator[torch.Tensor]:
        """See `evalkit.models.distributions.DistributionModel`: llama.cpp gives the logits themselves."""
        for logits in self._llama_cpp.logits(context, targets):
            yield torch.from_numpy(logits.copy())

    def logits(self, head_inputs: torch.Tensor) -> torch.Tensor:
        """What `head_inputs` gave."""
        return head_inputs

    def _nats(self, targets: list[int], context: list[int]) -> NDArray[np.float32]:
        if context or not targets:
            return self._llama_cpp.nats(context, targets) if targets else np.empty(0, np.float32)
        first = np.full(1, math.log(self.vocab_size), np.float32)
        return np.concatenate((first, self._nats(targets[1:], targets[:1])))

    def _tokenize(self, text: str) -> tuple[list[int], list[bytes]]:
        ids = self._llama_cpp.tokenize(text)
        return ids, [self._piece(token) for token in ids]

    def _piece(self, token: int) -> bytes:
        if token not in self._pieces:
            self._pieces[token] = self._llama_cpp.token_bytes(token)
        return self._pieces[token]


def identify(entry: CatalogEntry, options: LoadOptions) -> ModelIdentity:
    """What the model is, from its file's header and digest.

    Raises:
        ModelError: there is no such file, or llama.cpp is not installed.
        UsageError: a device or precision was asked for: llama.cpp takes those of its build and of the file.
    """
    if options.dtype != "auto" or options.device not in ("auto", "cpu"):
        raise UsageError(
            f"{entry.name}: llama.cpp computes on the processor, in the file's types; "
            "leave --dtype and --device out"
        )
    file = locate_file(entry)
    return _identity(entry, options, file, file.header())


def load(entry: CatalogEntry, options: LoadOptions) -> LlamaCppModel:
    """The model, ready to score.

    Raises:
        ModelError: see `identify`; or llama.cpp does not load the file.
    """
    file = locate_file(entry)
    header = file.header()
    identity = _identity(entry, options, file, header)
    llama_cpp = LlamaCpp(file.path, num_threads=torch.get_num_threads())
    start = model_start(header_start(header), entry, options)
    check_in_vocabulary(start.all_ids, llama_cpp.vocab_size, entry.name)
    return LlamaCppModel(llama_cpp, identity, start.prefix.ids, start.ids_by_policy)


def _identity(entry: CatalogEntry, options: LoadOptions, file: GgufFile, header: Header) -> ModelIdentity:
    details = described_weights(header)
    details["weights"] = "as llama.cpp computes them"
    details["batch_dependence"] = "read one by one; rounds otherwise in pieces of another length"
    start_of_file = header_start(header)
    start = model_start(start_of_file, entry, options)
    limit = entry.context_limit
    if limit is None and not header.architecture.startswith(_RECURRENT):
        limit = header.integer(f"{header.architecture}.context_length")
    return ModelIdentity(
        name=entry.name,
        loader="llamacpp",
        revision=file.revision,
        weights_sha256=file.digest,
        tokenizer_sha256=header.tokenizer_sha256,
        prefix=start.prefix.rule,
        dtype="llama.cpp",
        context_limit=min((n for n in (limit, options.max_context) if n is not None), default=None),
        details=details,
        numerics=f"llama.cpp of {open_library().name}",
        files=file.model_files,
        policy_prefixes=start.by_policy,
        prefix_candidates={} if header.architecture.startswith("rwkv") else start.candidates,
        token_names=start_of_file.candidates(*start.named_ids),
    )
