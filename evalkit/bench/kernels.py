"""`evalkit bench kernels`: our operators, their peers, and what the machine would allow, in one process.

Each round times every contender once, one after the other, so that a machine that slows down slows all of
them; a row's time is the median over the rounds and its ratio the median of the rounds' ratios. Peers
that are not installed, or need a GPU that is not there, are named as such.

Shape legend: B = batch, T = time, H = heads, N = head size, C = channels, V = vocabulary.
"""

import dataclasses
import importlib.util
import math
import statistics
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from evalkit.models.rwkv7.network import LayerShape, NetworkShape
from evalkit_kernels import linear, linear_nll, wkv7

Run = Callable[[], object]

_WKV7_FLOPS_PER_ENTRY = 9
"""Of the state, per token: decay, read, two outer products and the readout. Chunks need more."""
_WKV7_TENSORS = 7
"""Read or written once: r, log_decay, k, v, a, b, y. With the backward pass three times as many."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One operator at one shape: ours, the others, and the floor."""

    operator: str
    shape: str
    ours_s: float
    """Median time of ours, in seconds."""
    peers: dict[str, tuple[float, float]]
    """By name: median time in seconds, and the median over the rounds of that time over ours."""
    floor_s: float
    """What its floating-point operations and bytes take at this machine's measured rates."""
    missing: dict[str, str]
    """Peers that could not be timed, and why."""


class Shapes(NamedTuple):
    """Of what is timed."""

    wkv7: tuple[int, int, int, int]
    """B, T, H, N."""
    head: tuple[int, int, int]
    """T, C, V."""
    network: NetworkShape
    """Of all layers between embedding and head."""
    ids: tuple[int, int]
    """B, T of what that network reads."""


def _network(num_channels: int, layer: LayerShape, num_layers: int) -> NetworkShape:
    return NetworkShape(1024, num_channels, 64, (layer,) * num_layers)


SHAPES = {
    "cpu": Shapes(
        (1, 512, 12, 64),
        (1024, 768, 65_536),
        _network(768, LayerShape(64, 128, 32, 64, 3072), 12),  # 0.1B
        (1, 512),
    ),
    "cuda": Shapes(
        (8, 4096, 40, 64),
        (8192, 2048, 151_936),
        _network(2560, LayerShape(96, 320, 64, 96, 10240), 32),  # 2.9B
        (32, 1024),
    ),
}


def bench_kernels(*, device: str = "auto", num_rounds: int = 5) -> list[Row]:
    """Rows for WKV-7 (forward; forward and backward) and for the scoring head.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        num_rounds: how often to time each contender.
    """
    from evalkit.models.devices import resolve_device

    resolved = resolve_device(device)
    on_gpu = resolved.type == "cuda"
    shapes = SHAPES["cuda" if on_gpu else "cpu"]
    dtype = torch.bfloat16 if on_gpu else torch.float32
    rates = _machine_rates(resolved, dtype)
    return [
        _wkv7_forward(shapes.wkv7, resolved, dtype, rates, num_rounds),
        _wkv7_backward(shapes.wkv7, resolved, dtype, rates, num_rounds),
        _head(shapes.head, resolved, dtype, rates, num_rounds),
        _layers(shapes, resolved, dtype, rates, num_rounds),
    ]


def rows_to_json(rows: list[Row]) -> list[dict[str, object]]:
    """The rows as strict JSON can hold them, in seconds."""
    return [
        {
            "operator": row.operator,
            "shape": row.shape,
            "ours_s": row.ours_s,
            "floor_s": row.floor_s,
            "peers": {name: {"seconds": peer[0], "ratio": peer[1]} for name, peer in row.peers.items()},
            "missing": row.missing,
        }
        for row in rows
    ]


def lines(rows: list[Row]) -> list[str]:
    """The rows as text, two columns: what was timed, and its time beside ours."""
    out = []
    for row in rows:
        out.append(f"{row.operator}  {row.shape}: {1e3 * row.ours_s:.2f} ms")
        share = row.floor_s / row.ours_s
        out.append(
            f"  {'floor (FLOPs and bytes at measured rates)':<44}{1e3 * row.floor_s:9.2f} ms  {share:6.0%}"
        )
        for name, (seconds, ratio) in row.peers.items():
            out.append(f"  {name:<44}{1e3 * seconds:9.2f} ms  {ratio:6.2f} x ours")
        out += [f"  {name:<44}not timed: {reason}" for name, reason in row.missing.items()]
    return out


def time_in_turn(contenders: dict[str, Run], device: torch.device, num_rounds: int) -> dict[str, list[float]]:
    """Seconds of every contender in every round, one after the other; a first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(num_rounds + 1):
        for name, contender in contenders.items():
            _wait(device)
            started = time.perf_counter()
            contender()
            _wait(device)
            if round_number:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _row(
    operator: str,
    shape: str,
    contenders: dict[str, Run],
    missing: dict[str, str],
    floor_s: float,
    device: torch.device,
    num_rounds: int,
) -> Row:
    seconds = time_in_turn(contenders, device, num_rounds)
    ours = seconds.pop("ours")
    return Row(
        operator,
        shape,
        statistics.median(ours),
        {
            name: (
                statistics.median(times),
                statistics.median(theirs / our_s for theirs, our_s in zip(times, ours, strict=True)),
            )
            for name, times in seconds.items()
        },
        floor_s,
        missing,
    )


@dataclasses.dataclass(frozen=True)
class _Rates:
    flops_per_s: float
    """Of the best matrix product."""
    bytes_per_s: float
    """Of a copy: read and written."""


def _machine_rates(device: torch.device, dtype: torch.dtype) -> _Rates:
    size = 8192 if device.type == "cuda" else 1024
    square = torch.randn(size, size, device=device, dtype=dtype)
    # On the CPU what the shapes below move at most, caches included; on a GPU far more than its cache.
    large = torch.zeros(1 << (30 if device.type == "cuda" else 23), dtype=torch.uint8, device=device)
    copy = torch.zeros_like(large)
    with torch.inference_mode():
        seconds = time_in_turn(
            {"product": lambda: linear(square, square), "copy": lambda: copy.copy_(large)},
            device,
            num_rounds=20,
        )
    return _Rates(2 * size**3 / min(seconds["product"]), 2 * large.numel() / min(seconds["copy"]))


def inputs_like_rwkv7(
    shape: tuple[int, int, int, int], device: torch.device, dtype: torch.dtype
) -> list[Tensor]:
    """r, log_decay, k, v, a, b of the sizes that RWKV-7 makes."""
    generator = torch.Generator(device=device).manual_seed(0)
    r, k, v, direction, gate, logit = (
        torch.randn(shape, generator=generator, device=device) for _ in range(6)
    )
    kk = F.normalize(direction, dim=-1)
    inputs = [r, -math.exp(-0.5) * torch.sigmoid(logit), 0.3 * k, v, -kk, kk * torch.sigmoid(gate)]
    return [x if i == 1 else x.to(dtype) for i, x in enumerate(inputs)]


def _wkv7_forward(
    shape: tuple[int, int, int, int], device: torch.device, dtype: torch.dtype, rates: _Rates, num_rounds: int
) -> Row:
    inputs = inputs_like_rwkv7(shape, device, dtype)
    contenders: dict[str, Run] = {
        "ours": lambda: wkv7(*inputs),
        "torch chunks": lambda: wkv7(*inputs, backend="torch"),
    }
    if device.type == "cpu":
        contenders["token loop (reference)"] = lambda: wkv7(*inputs, backend="reference")
    missing = _add_fla(contenders, inputs, device, backward=False)
    num_batch, num_tokens, num_heads, head_size = shape
    token_heads = num_batch * num_tokens * num_heads
    flops = token_heads * _WKV7_FLOPS_PER_ENTRY * head_size**2
    num_bytes = _WKV7_TENSORS * token_heads * head_size * dtype.itemsize
    floor_s = max(flops / rates.flops_per_s, num_bytes / rates.bytes_per_s)
    with torch.inference_mode():
        return _row("wkv7 forward", _shape(shape), contenders, missing, floor_s, device, num_rounds)


def _wkv7_backward(
    shape: tuple[int, int, int, int], device: torch.device, dtype: torch.dtype, rates: _Rates, num_rounds: int
) -> Row:
    leaves = [x.requires_grad_() for x in inputs_like_rwkv7(shape, device, dtype)]
    dy = torch.randn(shape, device=device).to(dtype)

    def both(backend: str) -> Run:
        def run() -> object:
            y, _ = wkv7(*leaves, backend=backend)
            return torch.autograd.grad(y, leaves, dy)

        return run

    contenders: dict[str, Run] = {"ours": both("auto")}
    if device.type == "cpu":
        contenders["token loop (reference) by autograd"] = both("reference")
    else:
        contenders["torch chunks"] = both("torch")
    missing = _add_fla(contenders, leaves, device, backward=True)
    num_batch, num_tokens, num_heads, head_size = shape
    token_heads = num_batch * num_tokens * num_heads
    flops = 3 * token_heads * _WKV7_FLOPS_PER_ENTRY * head_size**2
    num_bytes = 3 * _WKV7_TENSORS * token_heads * head_size * dtype.itemsize
    floor_s = max(flops / rates.flops_per_s, num_bytes / rates.bytes_per_s)
    return _row("wkv7 forward + backward", _shape(shape), contenders, missing, floor_s, device, num_rounds)


def _add_fla(
    contenders: dict[str, Run], inputs: list[Tensor], device: torch.device, *, backward: bool
) -> dict[str, str]:
    """Add flash-linear-attention's operators; returns those that cannot run here, and why."""
    spec = importlib.util.find_spec("fla")
    if spec is None or not spec.submodule_search_locations:
        return {"fla": "not installed (pip install flash-linear-attention)"}
    r, log_decay, k, v, a, b = inputs
    if device.type == "cpu":
        naive = _module_of_file(
            Path(spec.submodule_search_locations[0], "ops/generalized_delta_rule/dplr/naive.py")
        )
        heads_first = [x.transpose(1, 2) for x in (r * r.shape[-1] ** 0.5, k, v, a, b, log_decay)]
        if not backward:
            contenders["fla naive chunks"] = lambda: naive.dplr_chunkwise(*heads_first)
        return {"fla chunk_rwkv7": "needs a GPU", "fla fused_recurrent": "needs a GPU"}
    from fla.ops.rwkv7 import chunk_rwkv7, fused_recurrent_rwkv7

    log_decay = log_decay.to(r.dtype)
    for name, operator in (("chunk_rwkv7", chunk_rwkv7), ("fused_recurrent", fused_recurrent_rwkv7)):

        def run(operator: Callable[..., tuple[Tensor, object]] = operator) -> object:
            y, _ = operator(r=r, w=log_decay, k=k, v=v, a=a, b=b, scale=1.0)
            return torch.autograd.grad(y.float().sum(), inputs) if backward else y

        if not (backward and name == "fused_recurrent"):  # it has no backward
            contenders[f"fla {name}"] = run
    return {}


def _module_of_file(path: Path) -> types.ModuleType:
    """A module by its file: ``import fla.ops`` needs Triton even for what does not use it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _head(
    shape: tuple[int, int, int], device: torch.device, dtype: torch.dtype, rates: _Rates, num_rounds: int
) -> Row:
    num_tokens, num_channels, vocab_size = shape
    hidden = torch.randn(num_tokens, num_channels, device=device).to(dtype)
    weight = (torch.randn(vocab_size, num_channels, device=device) / num_channels**0.5).to(dtype)
    targets = torch.randint(0, vocab_size, (num_tokens,), device=device)
    contenders: dict[str, Run] = {
        "ours": lambda: linear_nll(hidden, weight, targets),
        "GEMM alone": lambda: linear(hidden, weight),
        "GEMM alone, torch's own": lambda: F.linear(hidden, weight),
        "all logits, log-softmax": lambda: linear_nll(hidden, weight, targets, backend="reference"),
        "torch linear_cross_entropy": lambda: F.linear_cross_entropy(
            hidden, weight, targets, reduction="none"
        ),
    }
    missing = {}
    if device.type != "cuda":
        missing["Liger"] = "needs a GPU"
    elif importlib.util.find_spec("liger_kernel") is None:
        missing["Liger"] = "not installed (pip install liger-kernel)"
    else:
        from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

        liger = LigerFusedLinearCrossEntropyLoss(reduction="none")
        contenders["Liger"] = lambda: liger(weight, hidden, targets)
    flops = 2 * num_tokens * num_channels * vocab_size
    num_bytes = (num_tokens + vocab_size) * num_channels * dtype.itemsize
    floor_s = max(flops / rates.flops_per_s, num_bytes / rates.bytes_per_s)
    text = f"T={num_tokens} C={num_channels} V={vocab_size}"
    with torch.inference_mode():
        return _row("linear_nll", text, contenders, missing, floor_s, device, num_rounds)


def _layers(shapes: Shapes, device: torch.device, dtype: torch.dtype, rates: _Rates, num_rounds: int) -> Row:
    """All layers of RWKV-7 between embedding and head."""
    from evalkit.models.rwkv7.skeleton import network_skeleton

    network = network_skeleton(shapes.network).to(dtype)
    network = network.to_empty(device=device)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=parameter.shape[-1] ** -0.5)
    ids = torch.randint(0, shapes.network.vocab_size, shapes.ids, device=device)
    products = sum(
        parameter.numel()
        for name, parameter in network.blocks.named_parameters()
        if parameter.dim() == 2 and not name.endswith("r_k")
    )
    floor_s = 2 * products * ids.numel() / rates.flops_per_s
    num_batch, num_tokens = shapes.ids
    text = f"L={len(shapes.network.layers)} C={shapes.network.num_channels} B={num_batch} T={num_tokens}"
    with torch.inference_mode():
        return _row(
            "RWKV-7 layers",
            text,
            {"ours": lambda: network(ids), "operators in plain torch": lambda: network(ids, backend="torch")},
            {},
            floor_s,
            device,
            num_rounds,
        )


def _shape(shape: tuple[int, int, int, int]) -> str:
    return " ".join(f"{name}={size}" for name, size in zip("BTHN", shape, strict=True))
