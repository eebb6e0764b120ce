"""The ``hf`` loader: any causal language model of Hugging Face transformers as a `TokenModel`."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor

from evalkit.errors import LossyTextError, ModelError
from evalkit.models.allocator import keep_freed_memory
from evalkit.models.catalog import CatalogEntry
from evalkit.models.continuations import distinct_inputs
from evalkit.models.devices import resolve_device, resolve_dtype
from evalkit.models.hf import cache as hf_reading
from evalkit.models.hf.attention import bound_attention
from evalkit.models.hf.batch_sizes import max_padding, tokens_per_batch
from evalkit.models.hf.cache import HfReading
from evalkit.models.hf.checkpoint import open_checkpoint, stated_length
from evalkit.models.hf.extra_tensors import summary
from evalkit.models.hf.head import understand_head
from evalkit.models.hf.long_texts import hidden_pieces, most_at_once, piece_of, reads_far_back
from evalkit.models.hf.position_tables import position_tables, reset_tables
from evalkit.models.hf.quiet import quiet
from evalkit.models.hf.routing import chooses_tokens
from evalkit.models.hf.spread import device_map_of, is_spread
from evalkit.models.hf.token_bytes import TokenBytes
from evalkit.models.hf.torch_path import torch_path, torch_replacements
from evalkit.models.hf.weights import load_weights
from evalkit.models.prefixes import check_in_vocabulary
from evalkit.models.protocol import Encoding, LoadOptions, ModelIdentity
from evalkit.models.rows import input_rows, padded, unpredicted_nats
from evalkit_kernels import linear_logits, linear_nll
from evalkit_kernels.linear import use_in

_PROBE = "The quick brown fox jumps over the lazy dog, 1234567890 times."
_NUM_TRIED_BESIDE = 64
_FURTHEST_TRIED = 16384
"""Position tables that switch beyond this many tokens are trusted to be as the config says."""


def identify(entry: CatalogEntry, options: LoadOptions) -> ModelIdentity:
    """What `load` would load, from the checkpoint's small files and its weights' digests.

    Raises:
        ModelError: the checkpoint is incomplete, unreadable or not a causal language model.
        UsageError: the options name an unknown device or dtype.
    """
    return open_checkpoint(entry, options).identity


def encoder(entry: CatalogEntry, options: LoadOptions) -> Callable[[str], Encoding]:
    """The checkpoint's tokenizer alone; errors as `identify`."""
    return TokenBytes(open_checkpoint(entry, options).tokenizer, entry.name).encode


def load(entry: CatalogEntry, options: LoadOptions) -> "HfModel":
    """Load a checkpoint, attention or recurrent.

    Raises:
        ModelError: as `identify`; or its weights are damaged or do not fit the model, its tokenizer has
            ids that the model has not, or its head is not understood.
        UsageError: the options name an unknown device or dtype.
    """
    checkpoint = open_checkpoint(entry, options)
    device = resolve_device(options.device)
    token_bytes = TokenBytes(checkpoint.tokenizer, checkpoint.identity.name)
    patterns = [*options.ignore_tensors, *(entry.ignore_tensors or "").split()]
    device_map = device_map_of(options.device_map, device)
    loaded = load_weights(checkpoint, resolve_dtype(options), patterns, device_map)
    model = loaded.model.to(device) if device_map is None else loaded.model
    _detach_from_files(model)
    details = dict(checkpoint.identity.details)
    if loaded.ignored:
        details["ignored_tensors"] = summary(loaded.ignored)
    if loaded.encoders:
        details["not_loaded"] = ", ".join(loaded.encoders)
    return wrap(
        model,
        token_bytes,
        identity=dataclasses.replace(checkpoint.identity, details=details),
        prefix=checkpoint.prefix,
        policy_prefixes={
            policy: prefix.ids for policy, prefix in checkpoint.identity.policy_prefixes.items()
        },
    )


def wrap(
    model: "transformers.PreTrainedModel",
    token_bytes: TokenBytes,
    *,
    identity: ModelIdentity,
    prefix: tuple[int, ...],
    policy_prefixes: Mapping[str, tuple[int, ...]],
) -> "HfModel":
    """A model with its weights as an `HfModel`, which see; it is put into evaluation mode.

    Raises:
        ModelError: as `HfModel`, or the identity's context is longer than the model has positions for.
    """
    model.eval()
    _check_positions(model, identity)
    if not is_spread(model):
        use_in(model)
    return HfModel(model, token_bytes, identity=identity, prefix=prefix, policy_prefixes=policy_prefixes)


class HfModel:
    """A transformers causal LM with its tokenizer; see `evalkit.models.protocol.TokenModel`."""

    def __init__(
        self,
        model: "transformers.PreTrainedModel",
        token_bytes: TokenBytes,
        *,
        identity: ModelIdentity,
        prefix: tuple[int, ...],
        policy_prefixes: Mapping[str, tuple[int, ...]],
    ) -> None:
        """Wrap a model and find out what its head does.

        Args:
            model: with an output head, in evaluation mode.
            token_bytes: its tokenizer.
            identity: what the results are filed under.
            prefix: ids read before a document.
            policy_prefixes: the same under published protocols.

        Raises:
            ModelError: the tokenizer and the model do not fit together, or the head is not understood.
        """
        self.identity = identity
        self.prefix = prefix
        self.policy_prefixes = policy_prefixes
        self.context_limit = identity.context_limit
        self._model = model
        self._token_bytes, self.decode = token_bytes, token_bytes.decode
        self._replacements = torch_replacements(model)
        self._tables = position_tables(model.config)
        self._reads_alone = chooses_tokens(model.config)
        if model.get_output_embeddings() is None:
            raise ModelError(f"{identity.name}: {type(model).__name__} has no output head")
        self.vocab_size = int(model.get_output_embeddings().weight.shape[0])
        if token_bytes.num_ids > self.vocab_size:
            raise ModelError(
                f"{identity.name}: wrong vocabulary: the tokenizer has ids up to {token_bytes.num_ids - 1}, "
                f"the model's head {self.vocab_size} rows"
            )
        check_in_vocabulary([prefix, *policy_prefixes.values()], self.vocab_size, identity.name)
        ids = self.probe_ids = _probe_ids(token_bytes)
        with torch.inference_mode(), self.computing():
            self._head = understand_head(model, ids, identity.name)
            is_bounded = bound_attention(model, ids)
            # Not where tables or choices go by the length of what is read: a piece has another.
            may_cut = not (is_bounded or self._tables.switches or self._reads_alone)
            self._reads_in_pieces = may_cut and hf_reading.reads_in_pieces(model, ids)
        self._device = self._head.weight.device
        self.is_forkable = all(part.device.type == "cpu" for part in model.parameters())
        if self.is_forkable:
            keep_freed_memory()
        self.num_computed = 0
        self.tokens_per_batch = tokens_per_batch(
            model, self._device, has_bounded_attention=is_bounded or self._reads_in_pieces
        )
        self.max_padding = max_padding(self.tokens_per_batch, self._device)
        self._check_company(ids)

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """Around every forward pass: see `quiet`, `torch_path` and `reset_tables`."""
        with quiet(), torch_path(self._replacements):
            if self._tables.of_every_length:
                reset_tables(self._model)
            yield

    def encode(self, text: str) -> Encoding:
        """Tokens that tile the text's bytes, see `evalkit.models.hf.token_bytes.TokenBytes.encode`."""
        return self._token_bytes.encode(text)

    @torch.inference_mode()
    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        """Nats of every id of every sequence; see `evalkit.models.protocol.TokenModel.nats`.

        The rows are padded on the right. No token sees a later one (`understand_head` checked that), so
        the padding changes nothing and needs no mask, and attention keeps its fast causal path.
        """
        if contexts is None:
            contexts = [self.prefix] * len(sequences)
        costs: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(sequences)
        lengths = [len(row) + len(context) - 1 for row, context in zip(sequences, contexts, strict=True)]
        groups = [[row] for row in range(len(lengths))]
        if not self._reads_alone:
            groups = self._tables.rows_by_table(lengths)
        for group in groups:
            group_nats = self._nats_side_by_side([sequences[i] for i in group], [contexts[i] for i in group])
            for row, nats in zip(group, group_nats, strict=True):
                costs[row] = nats
        return costs

    def _nats_side_by_side(
        self, sequences: Sequence[Sequence[int]], contexts: Sequence[Sequence[int]]
    ) -> list[NDArray[np.float32]]:
        costs = unpredicted_nats(sequences, self.vocab_size)
        inputs = input_rows(contexts, sequences)
        ids = padded(inputs)
        if ids.size == 0:
            return costs
        self.num_computed += ids.size
        # Of each row, the targets that have something before them, and the positions that predict them. What
        # nothing precedes keeps ln(V), which `costs` was filled with.
        unpredicted = [0 if len(context) else 1 for context in contexts]
        paid = [targets[skip:] for targets, skip in zip(sequences, unpredicted, strict=True)]
        rows = np.repeat(np.arange(len(paid)), list(map(len, paid)))
        positions = np.concatenate(
            [
                np.arange(len(tokens) - len(targets), len(tokens))
                for tokens, targets in zip(inputs, paid, strict=True)
            ]
        )
        targets = np.concatenate([np.asarray(row, np.int64) for row in paid])
        nats = np.empty(len(targets), np.float32)
        with self.computing():
            for first, hidden in self._hidden(torch.from_numpy(ids).to(self._device)):
                is_read = (positions >= first) & (positions < first + hidden.shape[1])
                places = torch.from_numpy(rows[is_read] * hidden.shape[1] + positions[is_read] - first)
                paid_hidden = hidden.flatten(0, 1)[places.to(self._device)]
                nats[is_read] = self._head_nats(paid_hidden, targets[is_read])
        ends = np.cumsum([len(row) for row in paid])[:-1]
        for cost, skip, part in zip(costs, unpredicted, np.split(nats, ends), strict=True):
            cost[skip:] = part
        return costs

    def _hidden(self, ids: Tensor) -> Iterator[tuple[int, Tensor]]:
        """What the head gets at every position of ``ids``, ``[B, T]``, by pieces with their beginnings."""
        bounds = self.context_limit, self.tokens_per_batch
        num_at_once = piece_of(*bounds) if ids.numel() > most_at_once(*bounds) and self._continues else None
        return hidden_pieces(self._model, ids, num_at_once, in_pieces=self._reads_in_pieces)

    @functools.cached_property
    def _continues(self) -> bool:
        """Whether a long text may be read in pieces, tried at the first."""
        may_cut = not (self._tables.switches or self._reads_alone) and reads_far_back(self._model.config)
        return may_cut and hf_reading.reads_in_pieces(self._model, self.probe_ids)

    def _check_company(self, ids: list[int]) -> None:
        """Read rows one by one where a row's costs depend on its neighbors.

        Tried on a short row beside a long one, which is beyond the switch of the position tables where the
        model has one and reads so far.

        Raises:
            ModelError: what the model has read before changes the costs of what it reads next.
        """
        switches = [n for n in self._tables.within(self.context_limit) if n < _FURTHEST_TRIED]
        num_long = max([_NUM_TRIED_BESIDE, *(switch + 2 for switch in switches)])
        if self.context_limit is not None:
            num_long = min(num_long, self.context_limit)
        long_row = (ids * (num_long // len(ids) + 1))[:num_long]
        alone = self.nats([ids], contexts=[()])[0]
        beside = self.nats([ids, long_row], contexts=[(), ()])[0]
        again = self.nats([ids], contexts=[()])[0]
        tolerance = max(1e-5, torch.finfo(self._head.weight.dtype).eps) * float(np.abs(alone).sum())
        if abs(float((again - alone).sum())) > tolerance:
            raise ModelError(
                f"{self.identity.name}: {type(self._model).__name__} reads a text of {len(ids)} tokens "
                f"differently after one of {num_long}: its costs are not the text's own"
            )
        if abs(float((beside - alone).sum())) > tolerance:
            self._reads_alone = True

    @functools.cached_property
    def carries_state(self) -> bool:
        """Whether the model reads on from its cache as it should, tried when first asked.

        Not where position tables change with the length, as what a cache holds has the table of its length;
        nor where attention chooses its tokens, as the trial is too short to show that.
        """
        if self._tables.within(self.context_limit) or chooses_tokens(self._model.config):
            return False
        with torch.inference_mode(), self.computing():
            return hf_reading.carries_state(self._model, self.probe_ids)

    @torch.inference_mode()
    def read_on(self, ids: Sequence[int], reading: HfReading | None = None) -> HfReading:
        """What is known after ``ids``, which follow what ``reading`` knows; as `ReadingModel` asks for it."""
        with self.computing():
            return hf_reading.read_on(self._model, ids, reading)

    @torch.inference_mode()
    def branch_nats(self, reading: HfReading, endings: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """Nats of every id of every ending, each read on from the same place; see `ReadingModel`."""
        inputs, places = distinct_inputs(endings)
        hidden: list[Tensor] = []
        while len(hidden) < len(inputs):
            rows = inputs[len(hidden) :][: max(1, self.tokens_per_batch // max(map(len, inputs)))]
            with self.computing():
                hidden += hf_reading.branch_hidden(self._model, reading, rows)
        before = reading.hidden[None]
        pieces = [
            before if place is None else torch.cat((before, hidden[place][: len(ending) - 1]))
            for ending, place in zip(endings, places, strict=True)
        ]
        nats = self._head_nats(torch.cat(pieces), [token for ending in endings for token in ending])
        return np.split(nats, np.cumsum([len(ending) for ending in endings])[:-1])

    @torch.inference_mode()
    def head_inputs(self, context: Sequence[int], targets: Sequence[int]) -> Iterator[Tensor]:
        """See `evalkit.models.distributions.DistributionModel`; in one piece, as a text is read at once."""
        ids = torch.tensor([[*context, *targets][:-1]], device=self._device)
        with self.computing():
            hidden = torch.cat([piece[0] for _, piece in self._hidden(ids)])
        yield hidden[len(context) - 1 :]

    @torch.inference_mode()
    def logits(self, head_inputs: Tensor) -> Tensor:
        """See `evalkit.models.distributions.DistributionModel`."""
        head = self._head
        hidden = head_inputs.to(head.weight.dtype)
        return linear_logits(hidden, head.weight, bias=head.bias, softcap=head.softcap, scale=head.scale)

    @property
    def network(self) -> torch.nn.Module:
        """The model of transformers."""
        network: torch.nn.Module = self._model
        return network

    @torch.inference_mode()
    def hidden_states(self, ids: Sequence[int], positions: Sequence[int]) -> NDArray[np.float32]:
        """What goes into each layer and out of the last, ``[num_layers + 1, len(positions), C]``.

        Raises:
            ModelError: the model does not show its hidden states.
        """
        with self.computing():
            output = self._model.base_model(
                input_ids=torch.tensor([list(ids)], device=self._device),
                output_hidden_states=True,
                use_cache=False,
            )
        states = getattr(output, "hidden_states", None)
        if not states:
            raise ModelError(f"{self.identity.name}: {type(self._model).__name__} shows no hidden states")
        return np.stack([state[0, list(positions)].float().cpu().numpy() for state in states])

    def _head_nats(self, hidden: Tensor, targets: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Cost of each target, given the head's input ``[len(targets), C]`` that predicts it."""
        head = self._head
        nats = linear_nll(
            hidden.to(head.weight.dtype),
            head.weight,
            torch.as_tensor(targets, dtype=torch.long).to(self._device),
            bias=head.bias,
            softcap=head.softcap,
            scale=head.scale,
        )
        costs: NDArray[np.float32] = nats.float().cpu().numpy()
        return costs


def _detach_from_files(model: "transformers.PreTrainedModel") -> None:
    """Copy what lies in memory as it lies in a file: such a tensor changes when the file is written to."""
    if model.device.type == "cpu":
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.data = tensor.data.clone()


def _check_positions(model: "transformers.PreTrainedModel", identity: ModelIdentity) -> None:
    """Refuse a context beyond a table of learned positions, which on a GPU would take the process down."""
    stated, limit = stated_length(model.config), identity.context_limit
    if stated is None or limit is None or limit <= stated:
        return
    for part, module in model.named_modules():
        # OPT's table has two rows more than positions.
        if isinstance(module, torch.nn.Embedding) and stated <= module.num_embeddings <= stated + 2:
            if module is model.get_input_embeddings():
                continue
            raise ModelError(
                f"{identity.name}: context_limit {limit} is more than the {stated} positions that "
                f"{type(model).__name__} has learned ({part}); give {stated} or less"
            )


def _probe_ids(token_bytes: TokenBytes) -> list[int]:
    """A few ids to try a model with: of ordinary text, or any where the vocabulary cannot spell that."""
    try:
        return [int(token) for token in token_bytes.encode(_PROBE).ids[:16]]
    except LossyTextError:
        return [number % max(1, token_bytes.num_ids) for number in range(16)]
