"""The networks that the recipe trains, behind one interface: build, loss, optimisers, save.

All have the same width, depth, vocabulary and, to 1 %, number of parameters.
"""

import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from evalkit.embedded.optimiser import Muon
from evalkit.embedded.vocabulary import VOCAB_SIZE, of_transformers
from evalkit.errors import unknown_name
from evalkit.files import atomic_write
from evalkit.models.hf.torch_path import torch_path, torch_replacements
from evalkit.models.rwkv7.init import initialise, parameter_groups
from evalkit.models.rwkv7.network import REMOVAL_STRENGTHS, RWKV7, LayerShape, NetworkShape, State
from evalkit_kernels import linear
from evalkit_kernels.linear import use_in

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PretrainedConfig

NUM_CHANNELS, NUM_LAYERS, HEAD_SIZE = 192, 5, 64
ROW_TOKENS = 2048
"""Length of the longest training row, and the context of the networks with attention."""
_WEIGHT_DECAY = 0.1
_ENDS_OF_BRANCHES = ("o_proj.weight", "out_proj.weight", "down_proj.weight")


class Trained(Protocol):
    """A network in training, and what is set for it."""

    @property
    def network(self) -> nn.Module:
        """The module whose parameters are trained."""
        ...

    def losses(self, ids: Tensor, fresh: Tensor | None) -> Tensor:
        """Nats of every id but the first of each row.

        Args:
            ids: ``[B, T + 1]``.
            fresh: ``[B]``, True where a row goes on from nothing; else a recurrent network goes on from
                its state after the row before. None: all rows, and no state is kept.

        Returns:
            ``[B, T]``.
        """
        ...

    def optimisers(self, learning_rate: float) -> list[torch.optim.Optimizer]:
        """Muon for the matrices inside of the layers, AdamW for all else, both at the peak."""
        ...

    def carried(self) -> tuple[Tensor, ...] | None:
        """What must be kept beside the parameters to go on later; None if nothing."""
        ...

    def carry(self, carried: tuple[Tensor, ...] | None) -> None:
        """Go on from what `carried` returned."""
        ...

    def save(self, folder: Path, tokenizer: "Tokenizer") -> None:
        """Write the checkpoint in float16, in the format that evalkit's loaders read, with its vocabulary."""
        ...


class Rwkv7Nano:
    """RWKV-7 as its authors initialise and group it; the state goes on from row to row.

    That is backpropagation through time cut at the row's start: as cheap as starting from nothing, and
    the network meets states that have read more than one row.

    Args:
        seed: of the initial values, which are the authors' with any eigenvalues.
        vocab_size: number of ids.
        eigenvalues: a key of `evalkit.models.rwkv7.network.REMOVAL_STRENGTHS`.
    """

    def __init__(self, seed: int, vocab_size: int = VOCAB_SIZE, eigenvalues: str = "off") -> None:
        layer = LayerShape(
            decay_rank=32, gate_rank=32, value_rank=16, learning_rate_rank=32, ffn_width=3 * NUM_CHANNELS
        )
        shape = NetworkShape(vocab_size, NUM_CHANNELS, HEAD_SIZE, (layer,) * NUM_LAYERS)
        self._eigenvalues = eigenvalues
        self.network = RWKV7(shape, REMOVAL_STRENGTHS[eigenvalues])
        initialise(self.network, seed)
        self._state: State | None = None

    def losses(self, ids: Tensor, fresh: Tensor | None) -> Tensor:
        """Nats of all ids but the first of each row, ``[B, T]``; the state goes on unless ``fresh``."""
        state = None
        if fresh is not None and self._state is not None:
            state = State(
                *(part * (~fresh).view(1, -1, *[1] * (part.dim() - 2)).to(part.dtype) for part in self._state)
            )
        hidden, after = self.network(ids[:, :-1], state)
        if fresh is not None:
            self._state = State(*(part.detach() for part in after))
        return _nats(linear(hidden, self.network.head.weight), ids)

    def optimisers(self, learning_rate: float) -> list[torch.optim.Optimizer]:
        """Muon, and AdamW with the groups of RWKV-7's authors."""
        matrices = _matrices(self.network.blocks.parameters(), smallest_side=NUM_CHANNELS)
        taken = {id(matrix) for matrix in matrices}
        groups = parameter_groups(self.network, learning_rate, _WEIGHT_DECAY)
        for group in groups:
            group["params"] = [x for x in group["params"] if id(x) not in taken]
        return [
            Muon(matrices, learning_rate, _WEIGHT_DECAY),
            torch.optim.AdamW([{**group} for group in groups], betas=(0.9, 0.99), eps=1e-18),
        ]

    def carried(self) -> tuple[Tensor, ...] | None:
        """The state after the last row, or None before the first."""
        return None if self._state is None else tuple(self._state)

    def carry(self, carried: tuple[Tensor, ...] | None) -> None:
        """Go on from a state that `carried` returned."""
        self._state = None if carried is None else State(*carried)

    def save(self, folder: Path, tokenizer: "Tokenizer") -> None:
        """Write ``model.safetensors`` in float16 with the official tensor names, and ``tokenizer.json``.

        The loader reads from the file's metadata which eigenvalues its weights were trained with.
        """
        variant = {} if self._eigenvalues == "off" else {"negative_eigenvalues": self._eigenvalues}
        _save_weights(self.network, folder, variant)
        of_transformers(tokenizer, ROW_TOKENS).save_pretrained(folder)


class OfTransformers:
    """A network of transformers, whose residual branches are scaled as GPT-2's authors do.

    Every row is read alone: attention sees no further than its row.
    """

    def __init__(self, seed: int, architecture: str, config: "PretrainedConfig") -> None:
        import transformers

        torch.manual_seed(seed)
        self._config, self._architecture = config, architecture
        self.network = getattr(transformers, architecture)(config)
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                if name.endswith(_ENDS_OF_BRANCHES):
                    parameter.mul_((2 * NUM_LAYERS) ** -0.5)
        self._replacements = torch_replacements(self.network)
        use_in(self.network)  # the product that RWKV-7 has

    def losses(self, ids: Tensor, fresh: Tensor | None) -> Tensor:  # noqa: ARG002
        """Nats of every id but the first of each row, ``[B, T]``."""
        with torch_path(self._replacements):
            return _nats(self.network(input_ids=ids[:, :-1], use_cache=False).logits, ids)

    def optimisers(self, learning_rate: float) -> list[torch.optim.Optimizer]:
        """Muon, and AdamW, in which vectors do not decay and all else does."""
        matrices = _matrices(self.network.model.layers.parameters(), smallest_side=NUM_CHANNELS)
        taken = {id(matrix) for matrix in matrices}
        by_adam = [x for x in self.network.parameters() if id(x) not in taken]
        groups = [
            {
                "params": [x for x in by_adam if x.dim() > 1],
                "lr": learning_rate,
                "weight_decay": _WEIGHT_DECAY,
            },
            {"params": [x for x in by_adam if x.dim() == 1], "lr": learning_rate, "weight_decay": 0.0},
        ]
        return [
            Muon(matrices, learning_rate, _WEIGHT_DECAY),
            torch.optim.AdamW(groups, betas=(0.9, 0.99), eps=1e-8),
        ]

    def carried(self) -> tuple[Tensor, ...] | None:
        """Nothing: the network starts anew with every row."""
        return None

    def carry(self, carried: tuple[Tensor, ...] | None) -> None:
        """Nothing is carried."""

    def save(self, folder: Path, tokenizer: "Tokenizer") -> None:
        """Write an ordinary folder of transformers, weights in float16, with the tokenizer."""
        _save_weights(self.network, folder, {})
        config = json.loads(self._config.to_json_string()) | {"dtype": "float16"}
        config["architectures"] = [self._architecture]
        config.pop("transformers_version", None)
        with atomic_write(folder / "config.json") as temporary:
            temporary.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
        of_transformers(tokenizer, ROW_TOKENS).save_pretrained(folder)


def llama_nano(seed: int, vocab_size: int = VOCAB_SIZE) -> OfTransformers:
    """A Llama: RoPE, SwiGLU, RMSNorm."""
    import transformers

    config = transformers.LlamaConfig(
        intermediate_size=464,
        num_attention_heads=NUM_CHANNELS // HEAD_SIZE,
        rms_norm_eps=1e-5,
        **_common(vocab_size),
    )
    return OfTransformers(seed, "LlamaForCausalLM", config)


def hybrid_nano(seed: int, vocab_size: int = VOCAB_SIZE) -> OfTransformers:
    """Qwen3.5's hybrid: Gated DeltaNet in every layer but the fourth, which has gated attention.

    Source: Yang et al. 2025, "Gated Delta Networks", arXiv 2412.06464; the pattern of layers, the gate and
    the partial RoPE are those of transformers' ``qwen3_5_text``.
    """
    import transformers

    num_heads = NUM_CHANNELS // HEAD_SIZE
    config = transformers.Qwen3_5TextConfig(
        intermediate_size=392,
        num_attention_heads=num_heads,
        num_key_value_heads=num_heads,
        head_dim=HEAD_SIZE,
        linear_num_key_heads=num_heads,
        linear_num_value_heads=num_heads,
        linear_key_head_dim=HEAD_SIZE,
        linear_value_head_dim=HEAD_SIZE,
        **_common(vocab_size),
    )
    return OfTransformers(seed, "Qwen3_5ForCausalLM", config)


def _common(vocab_size: int) -> dict[str, Any]:
    """What every configuration of transformers is given."""
    return {
        "vocab_size": vocab_size,
        "hidden_size": NUM_CHANNELS,
        "num_hidden_layers": NUM_LAYERS,
        "max_position_embeddings": ROW_TOKENS,
        "bos_token_id": vocab_size - 1,
        "eos_token_id": vocab_size - 1,
        "tie_word_embeddings": False,
    }


NETWORKS: dict[str, Callable[[int, int], "Rwkv7Nano | OfTransformers"]] = {
    "rwkv7-nano": Rwkv7Nano,
    "hybrid-nano": hybrid_nano,
    "llama-nano": llama_nano,
    "rwkv7-nano-c2": partial(Rwkv7Nano, eigenvalues="full"),
}
"""By name. The last is an ablation of the first, c = 2 for c = 1, and no model of the package."""


def build(name: str, seed: int, vocab_size: int = VOCAB_SIZE) -> Trained:
    """A network by its model's name, freshly initialised.

    Raises:
        UsageError: there is no recipe for the name.
    """
    if name not in NETWORKS:
        raise unknown_name("embedded model", name, NETWORKS, f"Known: {', '.join(NETWORKS)}.")
    return NETWORKS[name](seed, vocab_size)


def _nats(logits: Tensor, ids: Tensor) -> Tensor:
    targets = ids[:, 1:].long()
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)


def _matrices(parameters: Iterable[Tensor], smallest_side: int) -> list[Tensor]:
    """Those of two dimensions; low-rank factors are not among them."""
    return [x for x in parameters if x.dim() == 2 and min(x.shape) >= smallest_side]


def _save_weights(network: nn.Module, folder: Path, variant: dict[str, str]) -> None:
    weights = {name: _half(weight) for name, weight in network.state_dict().items()}
    with atomic_write(folder / "model.safetensors") as temporary:
        save_file(weights, temporary, metadata={"format": "pt", **variant})


def _half(weight: Tensor) -> Tensor:
    return weight.detach().to("cpu", torch.float16).contiguous()
