"""The health of recurrent models: how large their states get as a text goes on."""

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from evalkit.audit.result import CheckResult, LayerNorms, not_applicable, result_of
from evalkit.audit.subject import Subject
from evalkit.models.continuations import ReadingModel

_MAX_GROWTH = {False: 2.1, True: 1.4}
"""A doubling of the text, over the last two; by whether the text is long. What is never forgotten grows by 2,
a random walk by 1.41: in a text of thousands of tokens a state may, in one of a hundred thousand not."""
_NAME = "states do not grow"


def check_states(subject: Subject) -> tuple[CheckResult, LayerNorms | None]:
    """Root mean square of every layer's state after more and more tokens, and by how much it still grows."""
    model = subject.model
    if not isinstance(model, ReadingModel) or not model.carries_state or subject.context_limit is not None:
        return not_applicable(_NAME, "the model has no state that it carries without limit"), None
    reading, done = model.read_on(list(model.prefix) or subject.ids[:1]), 0
    if not _layer_states(reading):
        return not_applicable(_NAME, "its states are not tensors that can be looked at"), None
    lengths, rows = subject.extent.state_lengths, []
    bound = _MAX_GROWTH[lengths[-1] > 100_000]
    for length in lengths:
        while done < length:
            piece = _ids(subject, done, min(length, done + 4096))
            reading, done = model.read_on(piece, reading), done + len(piece)
        rows.append(tuple(_root_mean_square(state) for state in _layer_states(reading)))
        if not np.isfinite(rows[-1]).all():
            text = f"after {length:,} tokens a layer's state is no number"
            return result_of(_NAME, float("nan"), bound, text, "state grows"), None
    subject.num_tokens_read += done
    growths = [
        (last / before) ** 0.5 if before > 0 else 1.0 for before, last in zip(rows[-3], rows[-1], strict=True)
    ]
    layer = max(range(len(growths)), key=lambda index: growths[index])
    text = (
        f"from {lengths[-3]:,} to {lengths[-1]:,} tokens the state of layer {layer} grows by a factor of "
        f"{growths[layer]:.3g} a doubling, to {rows[-1][layer]:.3g}"
    )
    norms = LayerNorms(num_tokens=lengths, norms=tuple(rows))
    return result_of(_NAME, growths[layer], bound, text, "state grows"), norms


def _ids(subject: Subject, start: int, end: int) -> list[int]:
    num_ids = len(subject.ids)
    return [subject.ids[place % num_ids] for place in range(start, end)]


def _root_mean_square(state: Tensor) -> float:
    return float(state.double().square().mean().sqrt())


def _layer_states(reading: object) -> list[Tensor]:
    """The recurrent states by layer; none where there are none, as in a model of attention alone."""
    wkv = getattr(reading, "wkv", getattr(getattr(reading, "state", None), "wkv", None))
    if isinstance(wkv, Tensor):  # [L, B, H, N, N]
        return list(wkv)
    layers = getattr(getattr(reading, "cache", None), "layers", ())
    return [state for layer in layers for state in _of_cache_layer(layer)]


def _of_cache_layer(layer: object) -> Iterator[Tensor]:
    for name in ("recurrent_states", "ssm_states"):
        states = getattr(layer, name, None)
        if isinstance(states, Tensor):
            yield states
