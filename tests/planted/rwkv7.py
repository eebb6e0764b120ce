"""RWKV-7 as a port might have it: written from the paper, a token at a time, with a fault if that is to be.

Nothing of evalkit's network, kernels or tokenizers is used: arXiv 2503.14456, equations 3 to 20, on the
tensors of an official file.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor


def tensors_of(path: Path) -> dict[str, Tensor]:
    """The tensors of an official file, in float32."""
    loaded = (
        load_file(path)
        if path.suffix == ".safetensors"
        else torch.load(path, weights_only=True, map_location="cpu")
    )
    return {name: tensor.float() for name, tensor in loaded.items()}


class Rwkv7Port:
    """Logits of texts side by side."""

    def __init__(self, tensors: Mapping[str, Tensor], fault: str | None = None) -> None:
        self.w = dict(tensors)
        self.fault = fault
        self.num_layers = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks."))
        self.num_heads, self.head_size = tensors["blocks.0.att.r_k"].shape
        if fault == "transposed LoRA":
            # The file's [C, rank] taken for the [rank, C] of a Linear, as it lies in memory.
            for name, tensor in tensors.items():
                if name.rsplit(".", 1)[-1] in ("w1", "a1", "v1", "g1"):
                    self.w[name] = tensor.reshape(tensor.shape[1], tensor.shape[0]).T

    def logits(self, ids: Tensor) -> Tensor:
        """``[B, T, V]``: what is said after each of the ids, ``[B, T]``."""
        w = self.w
        x = F.embedding(ids, w["emb.weight"])
        x = self._norm(x, "blocks.0.ln0")
        v_first: Tensor | None = None
        for layer in range(self.num_layers):
            at = f"blocks.{layer}."
            y, v = self._time_mix(self._norm(x, at + "ln1"), at + "att.", v_first)
            v_first = v if v_first is None or self.fault == "v-first from the wrong layer" else v_first
            x = x + y
            h = self._norm(x, at + "ln2")
            mixed = h + (_before(h) - h) * w[at + "ffn.x_k"]
            x = x + torch.relu(mixed @ w[at + "ffn.key.weight"].T) ** 2 @ w[at + "ffn.value.weight"].T
        return self._norm(x, "ln_out") @ w["head.weight"].T

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.w[name + ".weight"], self.w[name + ".bias"])

    def _time_mix(self, h: Tensor, at: str, v_first: Tensor | None) -> tuple[Tensor, Tensor]:
        w, heads = self.w, (*h.shape[:2], self.num_heads, self.head_size)
        difference = _before(h) - h
        r, d, k, v, a, g = (h + difference * w[f"{at}x_{letter}"] for letter in "rwkvag")
        r, k, value = (
            m @ w[f"{at}{name}.weight"].T for m, name in ((r, "receptance"), (k, "key"), (v, "value"))
        )
        hidden = d @ w[at + "w1"]
        hidden = hidden if self.fault == "missing tanh" else torch.tanh(hidden)
        c = 0.6 if self.fault == "c = 0.6" else 0.6065306597126334
        decay = torch.exp(-c * torch.sigmoid(w[at + "w0"] + hidden @ w[at + "w2"]))
        rate = torch.sigmoid(w[at + "a0"] + a @ w[at + "a1"] @ w[at + "a2"])
        gate = torch.sigmoid(g @ w[at + "g1"]) @ w[at + "g2"]
        raw = value
        if v_first is not None and self.fault != "missing value residual":
            mix = torch.sigmoid(w[at + "v0"] + v @ w[at + "v1"] @ w[at + "v2"])
            value = value + (v_first - value) * mix
        kk = (k * w[at + "k_k"]).view(heads)
        kk = kk / kk.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        k = k * (1 + (rate - 1) * w[at + "k_a"])
        r, k, value, decay, rate = (part.view(heads) for part in (r, k, value, decay, rate))
        y = self._recurrence(r, decay, k, value, kk, rate)
        eps = 1e-5 if self.fault == "wrong GroupNorm eps" else 64e-5
        y = F.group_norm(
            y.flatten(0, 1).flatten(1), self.num_heads, w[at + "ln_x.weight"], w[at + "ln_x.bias"], eps
        )
        y = y.view(h.shape) + ((r * k * w[at + "r_k"]).sum(-1, keepdim=True) * value).flatten(2)
        return (y * gate) @ w[at + "output.weight"].T, raw

    def _recurrence(
        self, r: Tensor, decay: Tensor, k: Tensor, value: Tensor, kk: Tensor, rate: Tensor
    ) -> Tensor:
        s = torch.zeros(len(r), self.num_heads, self.head_size, self.head_size)
        y = []
        for t in range(r.shape[1]):
            removed = s @ kk[:, t, :, :, None]
            s = (
                s * decay[:, t, :, None, :]
                - removed * (kk[:, t] * rate[:, t])[:, :, None, :]
                + value[:, t, :, :, None] * k[:, t, :, None, :]
            )
            if self.fault == "bf16 state":
                s = s.bfloat16().float()
            y.append((s @ r[:, t, :, :, None])[..., 0])
        return torch.stack(y, 1)


def _before(h: Tensor) -> Tensor:
    return F.pad(h, (0, 0, 1, -1))
