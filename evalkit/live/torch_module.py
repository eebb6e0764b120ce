"""A plain torch module as a `TokenModel`: something that makes logits of ids."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from evalkit.errors import ModelError
from evalkit.live.tokenizers import LiveTokenizer, check_start
from evalkit.models.protocol import Encoding, ModelIdentity
from evalkit.models.rows import input_rows, padded, unpredicted_nats

_TOKENS_PER_BATCH = {"cpu": 8192, "cuda": 32768}
_NUM_TRIED = 16


class TorchModel:
    """A module whose call on ids, ``[B, T]``, gives logits, ``[B, T, V]``; see `TokenModel`.

    Rows are padded on the right, so that no token may see a later one, which is tried once.
    """

    def __init__(self, module: nn.Module, tokenizer: LiveTokenizer, identity: ModelIdentity) -> None:
        """Wrap a module in evaluation mode.

        Raises:
            ModelError: it gives no logits, or lets tokens see later ones.
        """
        self.identity = identity
        self.context_limit = identity.context_limit
        self.prefix = tokenizer.start.prefix.ids
        self.policy_prefixes: Mapping[str, tuple[int, ...]] = tokenizer.start.ids_by_policy
        self._module, self._encode = module, tokenizer.encode
        parameter = next(module.parameters(), None)
        self._device = torch.device("cpu") if parameter is None else parameter.device
        self.tokens_per_batch = _TOKENS_PER_BATCH.get(self._device.type, _TOKENS_PER_BATCH["cpu"])
        self.vocab_size = self._try()
        check_start(tokenizer.start, self.vocab_size, identity.name)

    def encode(self, text: str) -> Encoding:
        """See `TokenModel.encode`.

        Raises:
            ModelError: the module has no logits for one of the ids.
        """
        encoding = self._encode(text)
        most = int(encoding.ids.max(initial=0))
        if most >= self.vocab_size:
            raise ModelError(
                f"{self.identity.name}: {type(self._module).__name__} has logits for {self.vocab_size:,} "
                f"ids, and the tokenizer gives {most:,}; give the tokenizer that it is trained with"
            )
        return encoding

    @torch.inference_mode()
    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        """See `TokenModel.nats`."""
        if contexts is None:
            contexts = [self.prefix] * len(sequences)
        costs = unpredicted_nats(sequences, self.vocab_size)
        ids = padded(input_rows(contexts, sequences))
        if ids.size == 0:
            return costs
        logits = self._logits(torch.from_numpy(ids).to(self._device))
        for row, (context, targets) in enumerate(zip(contexts, sequences, strict=True)):
            first = max(0, len(context) - 1)
            skip = 0 if len(context) else 1  # nothing precedes the first: it keeps ln(V)
            paid = torch.as_tensor(np.asarray(targets, np.int64)[skip:]).to(self._device)
            part = logits[row, first : first + len(paid)].float()
            costs[row][skip:] = F.cross_entropy(part, paid, reduction="none").cpu().numpy()
        return costs

    def _logits(self, ids: Tensor) -> Tensor:
        output = self._module(ids)
        logits = getattr(output, "logits", output[0] if isinstance(output, tuple | list) else output)
        if not isinstance(logits, Tensor) or logits.shape[:2] != ids.shape or logits.dim() != 3:
            shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ModelError(
                f"{self.identity.name}: {type(self._module).__name__} gives {shape} for ids of "
                f"{tuple(ids.shape)}, and no logits for every id, [B, T, V]"
            )
        return logits

    @torch.inference_mode()
    def _try(self) -> int:
        """The size of the vocabulary.

        Raises:
            ModelError: the module looks ahead, or its logits are no numbers.
        """
        length = min(_NUM_TRIED, self.context_limit or _NUM_TRIED)
        ids = torch.arange(length, device=self._device)[None] % 8
        logits = self._logits(ids).float()
        if not torch.isfinite(logits).all():
            raise ModelError(f"{self.identity.name}: its logits are not finite")
        changed = ids.clone()
        changed[0, -1] = (changed[0, -1] + 1) % 8
        movement = (self._logits(changed).float() - logits)[0, :-1].abs().max().item()
        if movement > 1e-3 * logits.abs().max().item():
            raise ModelError(
                f"{self.identity.name}: {type(self._module).__name__} lets tokens see later ones (logits "
                f"move by {movement:.2g}), so it predicts no next token"
            )
        return int(logits.shape[-1])
