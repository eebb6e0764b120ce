"""`evalkit bench`: our RWKV-7 and the PyPI package ``rwkv``, in one process, on the same documents.

The network has the shape of RWKV-7 World 0.1B and random weights, for time does not depend on them.
Rounds alternate between the two, so that a machine that slows down slows both; the ratio is the result.
"""

import dataclasses
import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from evalkit.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DOCUMENT_TOKENS = 512

Nats: TypeAlias = "NDArray[np.float32]"
"""Of every token of a document."""
Score: TypeAlias = "Callable[[], list[Nats]]"
"""Scores all documents once."""


@dataclasses.dataclass(frozen=True)
class ModelBench:
    """How fast a model scores, beside a peer; what concerns the peer is None where it is not installed."""

    shape: str
    num_tokens: int
    num_threads: int
    evalkit_tokens_per_s: float
    """Median over the rounds."""
    rwkv_tokens_per_s: float | None
    ratios: tuple[float, ...] | None
    """Ours over theirs, round by round."""
    ratio_median: float | None
    max_nats_difference: float | None
    """Between the costs of a token."""


def bench_rwkv7(*, num_tokens: int, num_rounds: int) -> ModelBench:
    """Tokens per second of our RWKV-7 and of the package ``rwkv``, and their ratio round by round.

    Args:
        num_tokens: tokens to score, as documents of `DOCUMENT_TOKENS` of the standard library's text.
        num_rounds: how often to measure each.

    Raises:
        UsageError: there is too little text for so many tokens.
    """
    import torch

    from evalkit.models.loading import load_model
    from evalkit.models.rwkv7.model import RWKV7Model

    documents = _documents(num_tokens)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random-0.1b.pth"
        write_random_checkpoint(path)
        model = load_model(f"rwkv7:{path}", device="cpu", dtype="float32")
        assert isinstance(model, RWKV7Model)
        contenders: dict[str, Score] = {"evalkit": lambda: model.nats(documents)}
        if importlib.util.find_spec("rwkv") is not None:
            peer = rwkv_nats(path)
            contenders["rwkv"] = lambda: [peer(model.prefix, document) for document in documents]
        costs = {name: contender() for name, contender in contenders.items()}  # and warm up
        speeds = _tokens_per_s(contenders, num_tokens, num_rounds)
    ours, theirs = speeds["evalkit"], speeds.get("rwkv")
    ratios = tuple(our / their for our, their in zip(ours, theirs, strict=True)) if theirs else None
    return ModelBench(
        shape="L12 C768 V65536, float32, random weights",
        num_tokens=num_tokens,
        num_threads=torch.get_num_threads(),
        evalkit_tokens_per_s=statistics.median(ours),
        rwkv_tokens_per_s=statistics.median(theirs) if theirs else None,
        ratios=ratios,
        ratio_median=statistics.median(ratios) if ratios else None,
        max_nats_difference=_largest_difference(costs["evalkit"], costs["rwkv"]) if theirs else None,
    )


def _documents(num_tokens: int) -> list[list[int]]:
    """So many tokens of the standard library's text, in documents of `DOCUMENT_TOKENS`."""
    from evalkit.corpora.store import load_corpus
    from evalkit.models.rwkv7.tokenizer import encode_world

    text = "".join(document.text for document in load_corpus("python-stdlib").documents)
    ids = encode_world(text).ids[:num_tokens].tolist()
    if len(ids) < num_tokens:
        raise UsageError(f"--tokens {num_tokens} is more than the standard library's {len(ids)}; give fewer")
    return [ids[first : first + DOCUMENT_TOKENS] for first in range(0, num_tokens, DOCUMENT_TOKENS)]


def _tokens_per_s(
    contenders: Mapping[str, Score], num_tokens: int, num_rounds: int
) -> dict[str, list[float]]:
    """Speeds by contender and round; the contenders take turns within a round."""
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(num_rounds):
        for name, contender in contenders.items():
            started = time.perf_counter()
            contender()
            speeds[name].append(num_tokens / (time.perf_counter() - started))
    return speeds


def _largest_difference(ours: Sequence[Nats], theirs: Sequence[Nats]) -> float:
    return max(float(abs(our - their).max()) for our, their in zip(ours, theirs, strict=True))


def bench_lines(bench: ModelBench) -> list[str]:
    """The measurement as lines of text."""
    lines = [
        f"RWKV-7 {bench.shape}; {bench.num_tokens} tokens in documents of {DOCUMENT_TOKENS}, "
        f"{bench.num_threads} threads",
        f"  evalkit  {bench.evalkit_tokens_per_s:8.0f} tokens/s",
    ]
    if bench.ratios is None:
        return [*lines, "  the package rwkv is not installed (pip install rwkv): nothing to compare with"]
    rounds = ", ".join(f"{ratio:.2f}" for ratio in bench.ratios)
    return [
        *lines,
        f"  rwkv     {bench.rwkv_tokens_per_s:8.0f} tokens/s (cpu fp32, full_output)",
        f"  ratio    {bench.ratio_median:.2f} (rounds: {rounds}); "
        f"largest difference {bench.max_nats_difference:.1e} nats per token",
    ]


def write_random_checkpoint(
    path: Path, *, num_layers: int = 12, num_channels: int = 768, seed: int = 0
) -> None:
    """An official-format ``.pth`` of RWKV-7 with random weights of usual sizes and the World vocabulary."""
    import torch

    from evalkit.models.rwkv7.network import LayerShape, NetworkShape
    from evalkit.models.rwkv7.skeleton import network_skeleton

    layers = tuple(
        LayerShape(64, 128, 32 if layer else 0, 64, 4 * num_channels) for layer in range(num_layers)
    )
    expected = network_skeleton(NetworkShape(65536, num_channels, 64, layers)).state_dict()
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, like in expected.items():
        leaf = name.rsplit(".", 1)[-1]
        value = torch.randn(like.shape, generator=generator)
        if leaf == "r_k":
            value *= 0.1
        elif like.dim() == 2:
            value *= like.shape[1 if leaf == "weight" else 0] ** -0.5
        elif leaf == "w0":
            value = torch.rand(like.shape, generator=generator) * 7 - 6
        elif leaf.startswith("x_"):
            value = torch.rand(like.shape, generator=generator)
        elif leaf in ("k_k", "k_a"):
            value = 0.85 + 0.15 * value
        else:
            value = 0.3 * value + (1.0 if name.endswith("weight") else 0.0)
        tensors[name] = value
    torch.save(tensors, path)


def rwkv_nats(path: Path, strategy: str = "cpu fp32") -> Callable[[Sequence[int], Sequence[int]], Nats]:
    """Nats per token by the package ``rwkv``, which must be installed, of ids after a prefix.

    Args:
        path: an official ``.pth``.
        strategy: the package's name of device and precision.
    """
    import contextlib
    import io
    import warnings

    import torch

    os.environ["RWKV_V7_ON"] = "1"  # read when rwkv.model is imported
    os.environ.setdefault("RWKV_JIT_ON", "1")
    os.environ.setdefault("RWKV_CUDA_ON", "0")
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # torch.jit's deprecation, on every method
        from rwkv.model import RWKV

        network = RWKV(model=str(path.with_suffix("")), strategy=strategy)

    def nats(prefix: Sequence[int], ids: Sequence[int]) -> Nats:
        with torch.inference_mode():
            fed = [int(token) for token in (*prefix, *ids)]
            logits, _ = network.forward(fed[:-1], None, full_output=True)
            log_p = torch.log_softmax(logits.view(len(fed) - 1, -1).float(), -1)[len(prefix) - 1 :]
            targets = torch.tensor(fed[len(prefix) :], device=log_p.device)
            costs: Nats = -log_p[torch.arange(len(ids)), targets].cpu().numpy()
            return costs

    return nats
