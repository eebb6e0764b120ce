"""Delta rules: DeltaNet, Gated DeltaNet, DeltaProduct.

Shape legend: B = batch, T = time, H = heads, N = head size, C = H N channels, J = products per token.

What is written to a matrix-valued state replaces what a key held there, so a transition is a product of
generalised Householder matrices ``I - beta k k^T``. With beta up to 2 they reflect (arXiv 2411.12537): one
swaps two of a permutation's places, n - 1 per token make any permutation of n (arXiv 2502.10297). All are
`evalkit_kernels.wkv7` with ``a = -k`` and ``b = beta k``, whose backends are chunked or native, and whose
reference goes token by token.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evalkit_kernels import wkv7
from evalkit_tasks.training.networks.parts import Mixer, ShortConvolution, State, step_bias

_NORM_EPS = 1e-5
_LENGTH_EPS = 1e-6


class DeltaNet(Mixer):
    """The delta rule (arXiv 2406.06484): ``S_t = S_{t-1} (I - beta k k^T) + beta v k^T``, ``y_t = S_t q_t``.

    As in fla's layer: short convolutions with SiLU on q, k and v, q and k of length 1, RMSNorm on each head's
    output. It differs from that layer in three ways, which are those of the committed cells: the convolutions
    have a bias, the norm's epsilon is float32's (fla: 1e-5), and lengths are divided by at least 1e-12 where
    fla adds 1e-6 under the root. `GatedDeltaProduct` has none of these.

    Args:
        width: C.
        head_size: N.
        beta_bound: 1 keeps the transition's eigenvalues within [0, 1], 2 within [-1, 1].
    """

    def __init__(self, width: int, head_size: int, beta_bound: float) -> None:
        super().__init__()
        self.num_heads, self.head_size, self.beta_bound = width // head_size, head_size, beta_bound
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.convolution = ShortConvolution(3 * width)
        self.beta = nn.Linear(width, self.num_heads, bias=False)
        self.norm = nn.RMSNorm(head_size)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Output ``[B, T, C]`` and the state after it; see `Mixer.forward`."""
        seen, memory = (None, None) if state is None else state
        qkv, seen = self.convolution(self.qkv(x), seen)
        heads = (*x.shape[:2], self.num_heads, self.head_size)
        q, k, v = (part.reshape(heads) for part in qkv.chunk(3, -1))
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        beta = self.beta_bound * torch.sigmoid(self.beta(x))[..., None]
        y, memory = wkv7(q, torch.zeros_like(q), k, beta * v, -k, beta * k, memory)
        return self.output(self.norm(y).reshape(x.shape)), (seen, memory)


class GatedDeltaProduct(Mixer):
    """DeltaProduct (arXiv 2502.10297), and with one product and gates Gated DeltaNet (arXiv 2412.06464).

    For each token the state decays once by ``alpha`` (1 without gates), then for each of the J products
    ``S = S (I - beta_j k_j k_j^T) + beta_j v_j k_j^T``, and ``y = S q``. As in fla's layers of these names,
    and for J = 1 in transformers' Qwen3-Next: short convolutions without bias and SiLU on q, k and v, q and
    k of length 1 (epsilon 1e-6), ``alpha = exp(-A softplus(a + dt_bias))`` per head, RMSNorm per head
    (epsilon 1e-5) and with gates a SiLU gate on its output. Values are as wide as keys; fla's default is
    twice as wide.

    Args:
        width: C.
        head_size: N.
        num_products: J.
        beta_bound: 1 keeps the eigenvalues of every factor within [0, 1], 2 within [-1, 1].
        gated: whether the state decays and the output has a gate.
    """

    def __init__(
        self, width: int, head_size: int, *, num_products: int, beta_bound: float, gated: bool
    ) -> None:
        super().__init__()
        self.num_heads, self.head_size, self.num_products = width // head_size, head_size, num_products
        self.beta_bound = beta_bound
        self.sizes = (width, num_products * width, num_products * width)
        self.qkv = nn.Linear(width, sum(self.sizes), bias=False)
        self.convolution = ShortConvolution(sum(self.sizes), bias=False)
        self.beta = nn.Linear(width, num_products * self.num_heads, bias=False)
        self.norm = nn.RMSNorm(head_size, eps=_NORM_EPS)
        self.output = nn.Linear(width, width, bias=False)
        self.gate = nn.Linear(width, width, bias=False) if gated else None
        if gated:
            self.decay = nn.Linear(width, self.num_heads, bias=False)
            # As in fla, but for the least of the rates, of which a logarithm is taken.
            self.log_rate = nn.Parameter(torch.empty(self.num_heads).uniform_(0.01, 16).log())
            self.step_bias = nn.Parameter(step_bias(self.num_heads))

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Output ``[B, T, C]`` and the state after it; see `Mixer.forward`."""
        seen, memory = (None, None) if state is None else state
        qkv, seen = self.convolution(self.qkv(x), seen)
        q, k, v = qkv.split(self.sizes, -1)
        num_batch, num_tokens, _ = x.shape
        heads = (num_batch, num_tokens, self.num_heads, self.head_size)
        steps = (num_batch, num_tokens * self.num_products, self.num_heads, self.head_size)
        q = _unit(q.reshape(heads)) * self.head_size**-0.5
        k, v = _unit(k.reshape(steps)), v.reshape(steps)
        beta = self.beta_bound * torch.sigmoid(self.beta(x)).reshape(*steps[:-1], 1)
        log_decay = x.new_zeros(*steps[:2], self.num_heads)
        if self.gate is not None:
            log_alpha = -self.log_rate.exp() * F.softplus(self.decay(x) + self.step_bias)
            later = x.new_zeros(num_batch, num_tokens, self.num_products - 1, self.num_heads)
            log_decay = torch.cat((log_alpha[:, :, None], later), 2).reshape(log_decay.shape)
        log_decay = log_decay[..., None].expand(steps)
        # The state is read after a token's last product; what is read before is thrown away.
        queries = q[:, :, None].expand(-1, -1, self.num_products, -1, -1).reshape(steps)
        y, memory = wkv7(queries, log_decay, k, beta * v, -k, beta * k * log_decay.exp(), memory)
        y = self.norm(y[:, self.num_products - 1 :: self.num_products]).reshape(x.shape)
        if self.gate is not None:
            y = y * F.silu(self.gate(x))
        return self.output(y), (seen, memory)


def _unit(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + _LENGTH_EPS)
