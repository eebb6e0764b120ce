"""The ``hf`` loader: any causal language model of Hugging Face transformers as a `TokenModel`."""

import functools
import math
import pickle
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from evalkit.errors import LossyTextError, ModelError, first_line
from evalkit.models.catalog import CatalogEntry
from evalkit.models.continuations import distinct_inputs
from evalkit.models.devices import resolve_device, resolve_dtype
from evalkit.models.hf import cache as hf_reading
from evalkit.models.hf.cache import HfReading
from evalkit.models.hf.checkpoint import Checkpoint, open_checkpoint, quiet, stated_length
from evalkit.models.hf.head import hidden_at_head, understand_head
from evalkit.models.hf.token_bytes import TokenBytes
from evalkit.models.protocol import Encoding, LoadOptions, ModelIdentity
from evalkit_kernels import linear_nll
from evalkit_kernels.linear import use_in

_PROBE = "The quick brown fox jumps over the lazy dog, 1234567890 times."
_CPU_TOKENS_PER_BATCH = 1024
_GPU_TOKENS_PER_BATCH = (2048, 32768)
"""Fewest and most: beyond the latter a GPU is busy anyway."""


def identify(entry: CatalogEntry, options: LoadOptions) -> ModelIdentity:
    """What `load` would load, from the checkpoint's small files and its weights' digests.

    Raises:
        ModelError: the checkpoint is incomplete, unreadable or not a causal language model.
        UsageError: the options name an unknown device or dtype.
    """
    return open_checkpoint(entry, options).identity


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
    model = _load_weights(checkpoint, resolve_dtype(options)).to(device).eval()
    _detach_from_files(model)
    _check_positions(model, checkpoint.identity)
    use_in(model)
    return HfModel(
        model,
        token_bytes,
        identity=checkpoint.identity,
        prefix=checkpoint.prefix,
        policy_prefixes=checkpoint.policy_prefixes,
    )


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
        self._token_bytes = token_bytes
        if model.get_output_embeddings() is None:
            raise ModelError(f"{identity.name}: {type(model).__name__} has no output head")
        self.vocab_size = int(model.get_output_embeddings().weight.shape[0])
        if token_bytes.num_ids > self.vocab_size:
            raise ModelError(
                f"{identity.name}: wrong vocabulary: the tokenizer has ids up to {token_bytes.num_ids - 1}, "
                f"the model's head {self.vocab_size} rows"
            )
        if any(not 0 <= token < self.vocab_size for token in prefix):
            raise ModelError(f"{identity.name}: prefix {prefix} lies outside the {self.vocab_size} tokens")
        with torch.inference_mode(), quiet():
            self._head = understand_head(model, _probe_ids(token_bytes), identity.name)
        self._device = self._head.weight.device
        self.tokens_per_batch = _tokens_per_batch(model, self._device)

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
        costs = [np.full(len(targets), math.log(self.vocab_size), np.float32) for targets in sequences]
        inputs = [[*context, *targets][:-1] for context, targets in zip(contexts, sequences, strict=True)]
        length = max(map(len, inputs), default=0)
        if length == 0:
            return costs
        ids = np.zeros((len(inputs), length), np.int64)
        for row, tokens in enumerate(inputs):
            ids[row, : len(tokens)] = tokens
        # Of each row, the targets that have something before them, and the positions that predict them,
        # counted through the flattened batch. What nothing precedes keeps ln(V), which `costs` was filled
        # with.
        unpredicted = [0 if len(context) else 1 for context in contexts]
        paid = [targets[skip:] for targets, skip in zip(sequences, unpredicted, strict=True)]
        positions = np.concatenate(
            [
                np.arange(row * length + len(tokens) - len(targets), row * length + len(tokens))
                for row, (tokens, targets) in enumerate(zip(inputs, paid, strict=True))
            ]
        )
        targets = np.concatenate([np.asarray(row, np.int64) for row in paid])
        with quiet():
            hidden = hidden_at_head(self._model, torch.from_numpy(ids).to(self._device))
        nats = self._head_nats(hidden.flatten(0, 1)[torch.from_numpy(positions).to(self._device)], targets)
        ends = np.cumsum([len(row) for row in paid])[:-1]
        for cost, skip, part in zip(costs, unpredicted, np.split(nats, ends), strict=True):
            cost[skip:] = part
        return costs

    @functools.cached_property
    def carries_state(self) -> bool:
        """Whether the model reads on from its cache as it should, tried when first asked."""
        with torch.inference_mode(), quiet():
            return hf_reading.carries_state(self._model, _probe_ids(self._token_bytes))

    @torch.inference_mode()
    def read_on(self, ids: Sequence[int], reading: HfReading | None = None) -> HfReading:
        """What is known after ``ids``, which follow what ``reading`` knows; as `ReadingModel` asks for it."""
        with quiet():
            return hf_reading.read_on(self._model, ids, reading)

    @torch.inference_mode()
    def branch_nats(self, reading: HfReading, endings: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """Nats of every id of every ending, each read on from the same place; see `ReadingModel`."""
        inputs, places = distinct_inputs(endings)
        hidden: list[Tensor] = []
        while len(hidden) < len(inputs):
            rows = inputs[len(hidden) :][: max(1, self.tokens_per_batch // max(map(len, inputs)))]
            with quiet():
                hidden += hf_reading.branch_hidden(self._model, reading, rows)
        before = reading.hidden[None]
        pieces = [
            before if place is None else torch.cat((before, hidden[place][: len(ending) - 1]))
            for ending, place in zip(endings, places, strict=True)
        ]
        nats = self._head_nats(torch.cat(pieces), [token for ending in endings for token in ending])
        return np.split(nats, np.cumsum([len(ending) for ending in endings])[:-1])

    @torch.inference_mode()
    def hidden_states(self, ids: Sequence[int], positions: Sequence[int]) -> NDArray[np.float32]:
        """What goes into each layer and out of the last, ``[num_layers + 1, len(positions), C]``.

        Raises:
            ModelError: the model does not show its hidden states.
        """
        with quiet():
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


def _load_weights(checkpoint: Checkpoint, dtype: torch.dtype) -> "transformers.PreTrainedModel":
    name = checkpoint.identity.name
    try:
        with quiet():
            model, report = transformers.AutoModelForCausalLM.from_pretrained(
                checkpoint.fetch_weights(),
                config=checkpoint.config,
                dtype=dtype,
                trust_remote_code=checkpoint.trust_remote_code,
                local_files_only=True,
                weights_only=True,
                ignore_mismatched_sizes=True,  # they are reported, and refused below with their names
                output_loading_info=True,
            )
    except SafetensorError as error:
        raise ModelError(
            f"{name}: damaged weights in {checkpoint.folder} ({first_line(error)}); download them again"
        ) from error
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{name}: the .bin weights in {checkpoint.folder} are damaged or hold more than tensors; "
            "such files are not run, use safetensors"
        ) from error
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise ModelError(f"{name}: cannot be loaded from {checkpoint.folder}: {first_line(error)}") from error
    for problem in ("missing", "unexpected", "mismatched"):
        keys = sorted(key if isinstance(key, str) else key[0] for key in report[f"{problem}_keys"])
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            raise ModelError(
                f"{name}: the weights in {checkpoint.folder} do not fit {type(model).__name__}: "
                f"{problem} {', '.join(keys[:3])}{more}"
            )
    return model


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
        ids: list[int] = token_bytes.encode(_PROBE).ids[:16].tolist()
    except LossyTextError:
        ids = [number % max(1, token_bytes.num_ids) for number in range(16)]
    return ids


def _tokens_per_batch(model: "transformers.PreTrainedModel", device: torch.device) -> int:
    if device.type != "cuda":
        return _CPU_TOKENS_PER_BATCH
    config = model.config.get_text_config(decoder=True)
    fewest, most = _GPU_TOKENS_PER_BATCH
    free_bytes, _ = torch.cuda.mem_get_info(device)
    width = int(getattr(config, "hidden_size", 0) or 4096)
    # A layer's activations at their widest: about four times the MLP's, which is three to five times the
    # width. Half of the memory stays free for attention and the head.
    bytes_per_token = 24 * width * model.dtype.itemsize
    return max(fewest, min(most, int(free_bytes // 2 // bytes_per_token)))
