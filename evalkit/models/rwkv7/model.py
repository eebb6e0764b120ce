"""The ``rwkv7`` loader: RWKV-7 checkpoints as `evalkit.models.protocol.TokenModel`."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evalkit.models.allocator import keep_freed_memory
from evalkit.models.catalog import CatalogEntry
from evalkit.models.continuations import distinct_inputs
from evalkit.models.devices import resolve_device, resolve_dtype
from evalkit.models.hidden_states import captured_inputs
from evalkit.models.model_files import ModelFile, combined_sha256, local_file, stated_file
from evalkit.models.prefixes import EVERY_CHUNK, check_in_vocabulary, prefix_of_rule
from evalkit.models.protocol import Encoding, LoadOptions, ModelIdentity
from evalkit.models.rows import input_rows, unpredicted_nats
from evalkit.models.rwkv7.checkpoint import (
    checked_shape,
    load_network,
    repository_weights,
    weight_files,
    weights_digest,
)
from evalkit.models.rwkv7.embedding_norm import embedding_note
from evalkit.models.rwkv7.network import RWKV7, Block, State
from evalkit.models.rwkv7.places import (
    READ_BESIDE_WEIGHTS,
    path_of,
    read_beside,
    tokenizer_of,
    tokenizer_place,
)
from evalkit.models.rwkv7.prefixes import DEFAULT_RULE, planned_prefixes, special_ids_of_files
from evalkit.models.rwkv7.tokenizer import (
    RWKVTokenizer,
    tokenizer_for,
)
from evalkit_kernels import NUMERICS_VERSION, linear_logits, linear_nll
from evalkit_kernels.wkv7_chunked import CHUNK_TOKENS

_SLICE_TOKENS = {"cpu": 512, "cuda": 32768}
"""Positions computed at once: on CPU what keeps activations near the cache, on GPU what fills it."""


class Reading(NamedTuple):
    """What an `RWKV7Model` knows after some text: the network's state and the head's next input."""

    state: State
    hidden: Tensor
    """``[C]``: the head's input that predicts the next token."""


class RWKV7Model:
    """An RWKV-7 network with its tokenizer; any length, in memory that does not grow with it."""

    carries_state = True
    """See `evalkit.models.continuations.ReadingModel`."""

    def __init__(
        self,
        network: RWKV7,
        identity: ModelIdentity,
        prefix: tuple[int, ...] | None = None,
        tokenizer: RWKVTokenizer | None = None,
    ) -> None:
        """Wrap a network.

        Args:
            network: in evaluation mode, on its device.
            identity: what the results are filed under.
            prefix: ids read before a document; None takes the vocabulary's own document start.
            tokenizer: None takes the one that goes with the vocabulary's size.

        Raises:
            ModelError: no tokenizer goes with the vocabulary's size, or the prefix lies outside it.
        """
        self.network = network
        self.identity = identity
        self.context_limit = identity.context_limit
        self.vocab_size = network.shape.vocab_size
        self.tokenizer = tokenizer or tokenizer_for(self.vocab_size, identity.name)
        self.prefix = self.tokenizer.prefix if prefix is None else prefix
        check_in_vocabulary([self.prefix], self.vocab_size, identity.name)
        stated = {policy: prefix.ids for policy, prefix in identity.policy_prefixes.items()}
        self.policy_prefixes = {EVERY_CHUNK: (), **stated}  # the published protocol feeds RWKV no start
        self.device = network.emb.weight.device
        self.is_forkable = self.device.type == "cpu"
        if self.is_forkable:
            keep_freed_memory()
        self.num_computed = 0
        self._slice_tokens = _SLICE_TOKENS.get(self.device.type, _SLICE_TOKENS["cpu"])
        self.tokens_per_batch = 16 * self._slice_tokens

    def encode(self, text: str) -> Encoding:
        """Tokens of a text in `tokenizer`'s vocabulary."""
        return self.tokenizer.encode(text)

    def decode(self, ids: Sequence[int]) -> bytes:
        """See `evalkit.models.lanes.DecodingModel`."""
        return self.tokenizer.decode(ids)

    @torch.inference_mode()
    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        """Nats of every id of every sequence; see `evalkit.models.protocol.TokenModel.nats`.

        All rows advance together, a slice of time at a step with the state carried over; rows that have
        ended leave the batch, so that unequal lengths cost next to nothing.
        """
        if contexts is None:
            contexts = [self.prefix] * len(sequences)
        inputs = input_rows(contexts, sequences)
        costs = unpredicted_nats(sequences, self.vocab_size)
        rows = sorted((i for i in range(len(inputs)) if len(inputs[i])), key=lambda i: -len(inputs[i]))
        # As many rows as make a slice of one chunk each: the work of a step stays the same.
        most = self._slice_tokens // CHUNK_TOKENS
        for first in range(0, len(rows), most):
            self._nats_of_rows(rows[first : first + most], inputs, contexts, sequences, costs)
        return costs

    def _nats_of_rows(
        self,
        rows: list[int],
        inputs: Sequence[NDArray[np.int64]],
        contexts: Sequence[Sequence[int]],
        sequences: Sequence[Sequence[int]],
        costs: Sequence[NDArray[np.float32]],
    ) -> None:
        """Fill in the costs of some rows, which are ordered by length, the longest first.

        So the rows that go on are always the first ones of the state.
        """
        state: State | None = None
        start = 0
        while rows:
            # Fewer rows, longer slices: the work of one step stays the same. Whole chunks, so that a slice's
            # end does not cut what the operator computes at once.
            stop = start + max(1, self._slice_tokens // len(rows) // CHUNK_TOKENS) * CHUNK_TOKENS
            # To the end of a chunk also where the text ends before: lengths are many, and every shape is
            # prepared for and remembered by what computes it.
            longest = min(stop, len(inputs[rows[0]])) - start
            ids = torch.zeros(len(rows), -(-longest // CHUNK_TOKENS) * CHUNK_TOKENS, dtype=torch.long)
            for row, i in enumerate(rows):
                piece = inputs[i][start:stop]
                ids[row, : len(piece)] = torch.from_numpy(piece)
            self.num_computed += ids.numel()
            hidden, state = self.network(ids.to(self.device), state)
            paid = []  # row, sequence, and the positions whose next token is paid for
            for row, i in enumerate(rows):
                span = range(max(start, len(contexts[i]) - 1), min(stop, len(inputs[i])))
                if span:
                    paid.append((row, i, span))
            nats = self._head(
                [hidden[row, span.start - start : span.stop - start] for row, _, span in paid],
                [sequences[i][t + 1 - len(contexts[i])] for _, i, span in paid for t in span],
            )
            done = 0
            for _, i, span in paid:
                first = span.start + 1 - len(contexts[i])
                costs[i][first : first + len(span)] = nats[done : done + len(span)]
                done += len(span)
            rows = [i for i in rows if len(inputs[i]) > stop]
            state = state.narrow(len(rows))
            start = stop

    @torch.inference_mode()
    def read(
        self, ids: Sequence[int], reading: Reading | None = None
    ) -> tuple[NDArray[np.float32], Reading | None]:
        """Cost of a piece of a text that goes on where the last piece ended.

        Args:
            ids: token ids of this piece.
            reading: what the last call returned; None at a document's start.

        Returns:
            float32 nats per id, as `nats` gives them for the whole text, and what to give to the next call.
        """
        costs = np.full(len(ids), math.log(self.vocab_size), np.float32)
        if reading is None and self.prefix:
            reading = self._advance(self.prefix, None)[1]
        for start in range(0, len(ids), self._slice_tokens):
            piece = list(ids[start : start + self._slice_tokens])
            hidden, after = self._advance(piece, reading)
            if reading is None:
                costs[start + 1 : start + len(piece)] = self._head([hidden[:-1]], piece[1:])
            else:
                costs[start : start + len(piece)] = self._head([reading.hidden[None], hidden[:-1]], piece)
            reading = after
        return costs, reading

    @torch.inference_mode()
    def read_on(self, ids: Sequence[int], reading: Reading | None = None) -> Reading:
        """What is known after ``ids`` that follow what ``reading`` knows; unlike `read`, without a prefix."""
        for start in range(0, len(ids), self._slice_tokens):
            reading = self._advance(ids[start : start + self._slice_tokens], reading)[1]
        assert reading is not None, "nothing was read"
        return reading

    @torch.inference_mode()
    def branch_nats(self, reading: Reading, endings: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """Nats of every id of every ending, each read on from the same place; see `ReadingModel`."""
        inputs, places = distinct_inputs(endings)
        hidden: list[Tensor] = []
        while len(hidden) < len(inputs):
            # The padding of a shorter row comes after all of it that is asked for.
            rows = inputs[len(hidden) :][: max(1, self._slice_tokens // max(map(len, inputs)))]
            ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
            for row, tokens in enumerate(rows):
                ids[row, : len(tokens)] = torch.tensor(tokens)
            state = State(*(part.repeat_interleave(len(rows), dim=1).contiguous() for part in reading.state))
            hidden += self.network(ids.to(self.device), state)[0]
        before = reading.hidden[None]
        pieces = [
            before if place is None else torch.cat((before, hidden[place][: len(ending) - 1]))
            for ending, place in zip(endings, places, strict=True)
        ]
        nats = self._head(pieces, [token for ending in endings for token in ending])
        return np.split(nats, np.cumsum([len(ending) for ending in endings])[:-1])

    @torch.inference_mode()
    def head_inputs(self, context: Sequence[int], targets: Sequence[int]) -> Iterator[Tensor]:
        """See `evalkit.models.distributions.DistributionModel`; in pieces, with the state carried on."""
        inputs = [*context, *targets][:-1]
        reading = None
        for start in range(0, len(inputs), self._slice_tokens):
            hidden, reading = self._advance(inputs[start : start + self._slice_tokens], reading)
            yield hidden[max(0, len(context) - 1 - start) :]

    @torch.inference_mode()
    def logits(self, head_inputs: Tensor) -> Tensor:
        """See `evalkit.models.distributions.DistributionModel`."""
        return linear_logits(head_inputs, self.network.head.weight)

    @torch.inference_mode()
    def hidden_states(self, ids: Sequence[int], positions: Sequence[int]) -> NDArray[np.float32]:
        """The residual stream, layer by layer, ``[num_layers + 1, len(positions), C]``."""
        blocks = cast(Sequence[Block], self.network.blocks)
        norms = [block.ln1 for block in blocks] + [self.network.ln_out]
        return captured_inputs(norms, lambda: self._advance(ids, None), positions)

    def _advance(self, ids: Sequence[int], reading: Reading | None) -> tuple[Tensor, Reading]:
        tensor = torch.tensor([list(ids)], dtype=torch.long, device=self.device)
        hidden, state = self.network(tensor, None if reading is None else reading.state)
        return hidden[0], Reading(state, hidden[0, -1])

    def _head(self, hidden: Sequence[Tensor], targets: Sequence[int]) -> NDArray[np.float32]:
        """Nats of the targets, one for each row of the pieces of ``hidden`` in turn."""
        if not targets:
            return np.zeros(0, np.float32)
        ids = torch.tensor(targets, dtype=torch.long, device=self.device)
        nats = linear_nll(torch.cat(list(hidden)), self.network.head.weight, ids)
        costs: NDArray[np.float32] = nats.float().cpu().numpy()
        return costs


def identify(entry: CatalogEntry, options: LoadOptions) -> ModelIdentity:
    """What the model is, without loading it; a local file's table of tensors is read and checked.

    Raises:
        ModelError: the model cannot be found, or is not RWKV-7.
    """
    dtype = resolve_dtype(options)
    rule = options.prefix or entry.prefix
    revision, shape = None, None
    special_ids: Mapping[str, int] = {}
    token_names: Mapping[int, str] = {}
    # Digests first: what is read below is then no older than they are.
    tokenizer_sha256 = "by vocabulary size: rwkv-world-20230424, or bytes"
    tokenizer_files: list[ModelFile] = []
    if entry.tokenizer:
        place = tokenizer_place(entry.tokenizer, entry.name)
        tokenizer_sha256 = place.tokenizer_sha256()
        tokenizer_files = [file._replace(name=f"tokenizer/{file.name}") for file in place.tokenizer_files()]
    if path := path_of(entry):
        weights = [local_file(file) for file in weight_files(path)]
        files_beside = [local_file(file) for file in read_beside(path) if file.is_file()]
        shape = checked_shape(path)
        tokenizer = tokenizer_of(entry, path, shape.vocab_size)
        special_ids, token_names = tokenizer.special_ids, tokenizer.token_names
    else:
        from evalkit.models import hub

        snapshot = hub.hub_files(entry.target, entry.revision)
        revision = snapshot.commit
        cache, digests = snapshot.local_folder, snapshot.files
        weights = [
            stated_file(name, digest, cache) for name, digest in repository_weights(entry, digests).items()
        ]
        names = [] if entry.file else [name for name in READ_BESIDE_WEIGHTS if name in digests]
        files_beside = [stated_file(name, digests[name], cache) for name in names]
        if rule in ("bos", "eos") and (entry.tokenizer or "tokenizer.json" in names):
            folder = (
                tokenizer_place(entry.tokenizer, entry.name).folder
                if entry.tokenizer
                else hub.download(snapshot.repo, snapshot.commit, names)
            )
            special_ids = special_ids_of_files(folder, entry.name)
    rows = None if shape is None else shape.vocab_size
    return ModelIdentity(
        name=entry.name,
        loader="rwkv7",
        revision=revision,
        weights_sha256=weights_digest({file.name: file.digest for file in weights}),
        tokenizer_sha256=tokenizer_sha256,
        prefix=rule or DEFAULT_RULE,
        dtype=str(dtype).removeprefix("torch."),
        context_limit=min(filter(None, (entry.context_limit, options.max_context)), default=None),
        config_sha256=combined_sha256(files_beside) if files_beside else None,
        numerics=f"evalkit_kernels {NUMERICS_VERSION}",
        files=(*weights, *files_beside, *tokenizer_files),
        policy_prefixes=planned_prefixes(entry, options, special_ids, rows),
        token_names=token_names,
    )


def encoder(entry: CatalogEntry, _options: LoadOptions) -> Callable[[str], Encoding] | None:
    """The vocabulary of a checkpoint on this machine, by its tensors' shapes; errors as `identify`."""
    path = path_of(entry)
    return None if path is None else tokenizer_of(entry, path, checked_shape(path).vocab_size).encode


def load(entry: CatalogEntry, options: LoadOptions) -> RWKV7Model:
    """The model, ready to score.

    Raises:
        ModelError: see `identify` and `evalkit.models.rwkv7.checkpoint.load_network`.
    """
    identity = identify(entry, options)
    path = path_of(entry)
    if path is None:
        from evalkit.models import hub

        assert identity.revision is not None
        patterns = [entry.file] if entry.file else ["*.safetensors", "*.pth", *READ_BESIDE_WEIGHTS]
        folder = hub.download(entry.target, identity.revision, patterns)
        path = folder / entry.file if entry.file else folder
    network = load_network(path, dtype=resolve_dtype(options), device=resolve_device(options.device))
    identity = dataclasses.replace(identity, details={**identity.details, **embedding_note(network)})
    tokenizer = tokenizer_of(entry, path, network.shape.vocab_size)
    return starting_model(network, identity, tokenizer, options.prefix or entry.prefix)


def starting_model(
    network: RWKV7, identity: ModelIdentity, tokenizer: RWKVTokenizer, rule: str | None
) -> RWKV7Model:
    """The model, which reads before a document what a rule says; None: what its vocabulary does.

    Raises:
        ModelError: the vocabulary has no such token.
    """
    prefix = None if rule is None else prefix_of_rule(rule, tokenizer.special_ids, identity.name).ids
    identity = dataclasses.replace(identity, token_names=tokenizer.token_names)
    return RWKV7Model(network, identity, prefix, tokenizer)
