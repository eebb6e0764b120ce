"""The networks that the recipe trains, behind one interface: build, loss, optimiser groups, save.

The two have the same width, depth, vocabulary and, to 1 %, number of parameters.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from evalkit.embedded.data import START_ID
from evalkit.errors import unknown_name
from evalkit.files import atomic_write
from evalkit.models.rwkv7.init import ParameterGroup, initialise, parameter_groups
from evalkit.models.rwkv7.network import RWKV7, LayerShape, NetworkShape, State
from evalkit_kernels import linear
from evalkit_kernels.linear import use_in

if TYPE_CHECKING:
    import transformers

VOCAB_SIZE = START_ID + 1
NUM_CHANNELS, NUM_LAYERS, HEAD_SIZE = 192, 5, 64
ROW_TOKENS = 512
"""Length of a training row, and the context of the Transformer."""


class Trained(Protocol):
    """A network in training, and how Adam is set for it."""

    beta2: float
    eps: float

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

    def groups(self, learning_rate: float) -> list[ParameterGroup]:
        """Parameter groups for Adam(W)."""
        ...

    def carried(self) -> tuple[Tensor, ...] | None:
        """What must be kept beside the parameters to go on later; None if nothing."""
        ...

    def carry(self, carried: tuple[Tensor, ...] | None) -> None:
        """Go on from what `carried` returned."""
        ...

    def save(self, folder: Path) -> None:
        """Write the checkpoint in float16, in the format that evalkit's loaders read."""
        ...


class Rwkv7Nano:
    """RWKV-7 as its authors initialise and group it; the state goes on from row to row.

    That is backpropagation through time cut at the row's start: as cheap as starting from nothing, and
    the network meets states that have read more than one row.
    """

    beta2, eps, weight_decay = 0.99, 1e-18, 0.1

    def __init__(self, seed: int) -> None:
        layer = LayerShape(
            decay_rank=32, gate_rank=32, value_rank=16, learning_rate_rank=32, ffn_width=4 * NUM_CHANNELS
        )
        self.network = RWKV7(NetworkShape(VOCAB_SIZE, NUM_CHANNELS, HEAD_SIZE, (layer,) * NUM_LAYERS))
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

    def groups(self, learning_rate: float) -> list[ParameterGroup]:
        """The groups of RWKV-7's authors."""
        return parameter_groups(self.network, learning_rate, self.weight_decay)

    def carried(self) -> tuple[Tensor, ...] | None:
        """The state after the last row, or None before the first."""
        return None if self._state is None else tuple(self._state)

    def carry(self, carried: tuple[Tensor, ...] | None) -> None:
        """Go on from a state that `carried` returned."""
        self._state = None if carried is None else State(*carried)

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` in float16, with the official tensor names."""
        weights = {name: _half(weight) for name, weight in self.network.state_dict().items()}
        with atomic_write(folder / "model.safetensors") as temporary:
            save_file(weights, temporary, metadata={"format": "pt"})


class LlamaNano:
    """A Llama (RoPE, SwiGLU, RMSNorm) of transformers, initialised as GPT-2's authors scale residuals."""

    beta2, eps, weight_decay = 0.99, 1e-8, 0.1

    def __init__(self, seed: int) -> None:
        import transformers

        torch.manual_seed(seed)
        self.config = transformers.LlamaConfig(
            vocab_size=VOCAB_SIZE,
            hidden_size=NUM_CHANNELS,
            intermediate_size=592,
            num_hidden_layers=NUM_LAYERS,
            num_attention_heads=NUM_CHANNELS // HEAD_SIZE,
            max_position_embeddings=ROW_TOKENS,
            bos_token_id=START_ID,
            eos_token_id=START_ID,
            tie_word_embeddings=False,
            rms_norm_eps=1e-5,
        )
        self.network = transformers.LlamaForCausalLM(self.config)
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                if name.endswith(("o_proj.weight", "down_proj.weight")):
                    parameter.mul_((2 * NUM_LAYERS) ** -0.5)
        use_in(self.network)  # the product that RWKV-7 has

    def losses(self, ids: Tensor, fresh: Tensor | None) -> Tensor:  # noqa: ARG002
        """Nats of every id but the first of each row, ``[B, T]``; attention sees its row alone."""
        return _nats(self.network(input_ids=ids[:, :-1], use_cache=False).logits, ids)

    def groups(self, learning_rate: float) -> list[ParameterGroup]:
        """Two groups for Adam(W): matrices decay, norms do not."""
        parameters = list(self.network.parameters())
        return [
            {
                "params": [x for x in parameters if x.dim() == 2],
                "lr": learning_rate,
                "weight_decay": self.weight_decay,
            },
            {"params": [x for x in parameters if x.dim() != 2], "lr": learning_rate, "weight_decay": 0.0},
        ]

    def carried(self) -> tuple[Tensor, ...] | None:
        """Nothing: a Transformer starts anew with every row."""
        return None

    def carry(self, carried: tuple[Tensor, ...] | None) -> None:
        """Nothing is carried."""

    def save(self, folder: Path) -> None:
        """Write an ordinary folder of transformers, weights in float16, with a tokenizer."""
        weights = {name: _half(weight) for name, weight in self.network.state_dict().items()}
        with atomic_write(folder / "model.safetensors") as temporary:
            save_file(weights, temporary, metadata={"format": "pt"})
        config = json.loads(self.config.to_json_string()) | {"dtype": "float16"}
        config["architectures"] = ["LlamaForCausalLM"]
        config.pop("transformers_version", None)
        with atomic_write(folder / "config.json") as temporary:
            temporary.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
        byte_tokenizer().save_pretrained(folder)


def byte_tokenizer() -> "transformers.PreTrainedTokenizerFast":
    """A tokenizer whose ids are the bytes, and `START_ID` before a document."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    symbols = bytes_to_unicode()
    tokenizer = Tokenizer(models.BPE(vocab={symbols[byte]: byte for byte in range(256)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|start|>", special=True)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|start|>", eos_token="<|start|>", model_max_length=ROW_TOKENS
    )


NETWORKS: dict[str, Callable[[int], "Rwkv7Nano | LlamaNano"]] = {
    "rwkv7-nano": Rwkv7Nano,
    "llama-nano": LlamaNano,
}


def build(name: str, seed: int) -> Trained:
    """A network by its model's name, freshly initialised.

    Raises:
        UsageError: there is no recipe for the name.
    """
    if name not in NETWORKS:
        raise unknown_name("embedded model", name, NETWORKS, f"Known: {', '.join(NETWORKS)}.")
    return NETWORKS[name](seed)


def _nats(logits: Tensor, ids: Tensor) -> Tensor:
    targets = ids[:, 1:].long()
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)


def _half(weight: Tensor) -> Tensor:
    return weight.detach().to("cpu", torch.float16).contiguous()
