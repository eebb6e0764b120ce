"""The linear head of a Hugging Face causal LM, and what the model does to the logits after it.

Shape legend: B = rows of a batch, T = token positions, C = channels, V = vocabulary.

A score needs one logit per token and a normaliser, not the ``[B, T, V]`` logits. So the forward pass is
ended where it reaches the head, and the fused operator takes over from there. It has to know what the
model would have done next: a factor (Cohere, Granite, Falcon-H1), a softcap (Gemma 2, arXiv 2408.00118)
or nothing. What configs say about that differs in name and meaning (``logits_scaling`` divides in
Granite and multiplies in HyperCLOVA X), so it is measured on the model itself.
"""

import contextlib
import dataclasses
import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from evalkit.errors import ModelError

if TYPE_CHECKING:
    import transformers

_SCALE_NAME = re.compile(r"logits?_scal|lm_head_multiplier|output_multiplier|logits?_multiplier")
_SOFTCAP_NAME = re.compile(r"(?=.*soft_?cap)(?!.*(attn|attention|router|gate|mlp))")
_NUM_CHECKED_ROWS = 4096
"""Rows of the head whose logits are compared: as many as are cheap in float64."""


@dataclasses.dataclass(frozen=True)
class Head:
    """``logits = cap(scale * (hidden @ weight.T + bias))``."""

    weight: Tensor
    """``[V, C]``"""
    bias: Tensor | None
    """``[V]``"""
    scale: float
    softcap: float | None


class _HeadReached(Exception):
    """Ends a forward pass at the head. It never leaves this module."""


def hidden_at_head(model: "transformers.PreTrainedModel", input_ids: Tensor, **settings: object) -> Tensor:
    """What the model feeds to its head, ``[B, T, C]``, without computing any logits.

    A pre-hook that raises is the one way that fits every architecture: calling the body alone
    (``model.model``) would leave out what some models do between body and head (a projection, a
    division, a cast).

    Args:
        model: a causal LM.
        input_ids: ``[B, T]``.
        settings: further arguments of the model's forward pass, e.g. its cache.
    """
    captured: list[Tensor] = []

    head = model.get_output_embeddings()

    def stop(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        # The last layer may be on another device than the head.
        captured.append(inputs[0].to(head.weight.device))
        raise _HeadReached

    hook = head.register_forward_pre_hook(stop)
    try:
        with contextlib.suppress(_HeadReached):
            model(input_ids=input_ids, **({"use_cache": False} | settings))
    finally:
        hook.remove()
    return captured[0]


def understand_head(model: "transformers.PreTrainedModel", token_ids: Sequence[int], name: str) -> Head:
    """Find out, on a short text, how a model turns hidden states into logits.

    The head's output is replaced by numbers of known and very different sizes; what the model makes of
    them shows the function that follows the head, far more sharply than the few logits of a text would.
    The same forward pass shows that the head is linear in what it is fed, and a second one that no
    position sees a later one.

    Args:
        model: a causal LM in evaluation mode.
        token_ids: a few ids of ordinary text, two at least.
        name: the model's name, for messages.

    Raises:
        ModelError: the model's logits are not a scaled, softcapped linear function of what its head is
            fed, are not finite, or depend on later tokens.
    """
    linear = model.get_output_embeddings()
    weight = getattr(linear, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        raise ModelError(f"{name}: {type(model).__name__} has no linear output head with a weight matrix")
    bias: Tensor | None = getattr(linear, "bias", None)
    vocab_size = weight.shape[0]
    # From 0.01 to 1000 on either side of zero: a softcap of 30 leaves the small ones as they are and cuts off
    # the large ones, a factor moves all alike, and anything else bends them in another way.
    probe = torch.logspace(-2, 3, vocab_size, device=weight.device)
    probe[1::2] *= -1
    seen: list[Tensor] = []

    def replace(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        seen.extend((inputs[0].to(output.device), output))
        return probe.to(output.dtype).expand_as(output).clone()

    ids = torch.tensor([list(token_ids)], device=weight.device)
    hook = linear.register_forward_hook(replace)
    try:
        logits = model(input_ids=ids, use_cache=False).logits
    finally:
        hook.remove()
    if len(seen) != 2 or seen[0].shape[:2] != ids.shape:
        raise ModelError(f"{name}: {type(model).__name__} does not feed its output head once per position")
    hidden, head_output = seen
    _check_linear(hidden[0], head_output[0], weight, bias, name)
    _check_causal(model, ids, hidden[0], name)
    fed = probe.to(head_output.dtype).double()
    scale, softcap = _after_head(model.config, fed, logits[0], head_output.dtype, name)
    return Head(weight, bias, scale, softcap)


def _check_linear(hidden: Tensor, output: Tensor, weight: Tensor, bias: Tensor | None, name: str) -> None:
    if not torch.isfinite(output).all():
        raise ModelError(
            f"{name}: its logits are not finite in {weight.dtype}; the weights are damaged, or need "
            "--dtype float32 or bfloat16"
        )
    # Rows of the head from all over the vocabulary; float64, so that the only rounding is the model's.
    rows = torch.arange(0, len(weight), max(1, len(weight) // _NUM_CHECKED_ROWS), device=weight.device)
    features, matrix = hidden.double(), weight[rows].double()
    expected = features @ matrix.T + (0 if bias is None else bias[rows].double())
    # A sum of C products is off by at most C roundings of the sum of their sizes, in practice by few.
    tolerance = 8 * torch.finfo(output.dtype).eps * (features.abs() @ matrix.T.abs() + 1e-30)
    excess = ((output[:, rows].double() - expected).abs() / tolerance).max().item()
    if excess > 1:
        raise ModelError(
            f"{name}: the output head is more than its weight matrix: its logits differ by {excess:.1f} "
            "times the rounding error"
        )


def _check_causal(model: "transformers.PreTrainedModel", ids: Tensor, hidden: Tensor, name: str) -> None:
    # Only the last id is changed: whatever moves before it has looked ahead.
    changed_ids = ids.clone()
    changed_ids[0, -1] = next((token for token in ids[0].tolist() if token != ids[0, -1]), 0)
    if torch.equal(ids, changed_ids):
        raise ModelError(f"{name}: the tokenizer makes the same token of everything")
    movement = (hidden_at_head(model, changed_ids)[0, :-1].double() - hidden[:-1].double()).abs().max().item()
    if movement > 32 * torch.finfo(hidden.dtype).eps * hidden.abs().max().item():
        raise ModelError(
            f"{name}: {type(model).__name__} lets tokens see later ones (hidden states move by "
            f"{movement:.2g}), so it predicts no next token"
        )


def _after_head(
    config: "transformers.PreTrainedConfig", fed: Tensor, logits: Tensor, dtype: torch.dtype, name: str
) -> tuple[float, float | None]:
    """The scale and softcap that make of what was fed, ``[V]``, the logits, ``[T, V]``."""
    # Names only nominate; a candidate is taken if it turns what was fed into the model's own logits. A scale
    # may multiply or divide, whatever it is called.
    settings = _numbers(config)
    scales = [value for key, value in settings if _SCALE_NAME.search(key)]
    softcaps = [value for key, value in settings if _SOFTCAP_NAME.match(key) and value > 0]
    tolerance = 8 * torch.finfo(dtype).eps
    smallest = float("inf")
    if logits.shape[-1:] == fed.shape:
        for scale, softcap in itertools.product(
            [1.0, *scales, *(1 / value for value in scales if value)], [None, *softcaps]
        ):
            expected = fed * scale if softcap is None else softcap * torch.tanh(fed * scale / softcap)
            difference = ((logits.double() - expected).abs() / expected.abs()).max().item()
            if difference <= tolerance:
                return scale, softcap
            smallest = min(smallest, difference)
    raise ModelError(
        f"{name}: what {config.model_type} does to its logits is not understood: the settings in its config "
        f"explain them to {smallest:.2g} relative at best, and {tolerance:.2g} is asked; evalkit knows "
        "a factor and a softcap"
    )


def _numbers(config: "transformers.PreTrainedConfig") -> list[tuple[str, float]]:
    """The numbers in a config, the text model's own included where it is part of a larger one."""
    numbers: dict[str, float] = {}
    for part in (config, config.get_text_config(decoder=True)):
        for key, value in part.to_dict().items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                numbers[key] = float(value)
    return list(numbers.items())
