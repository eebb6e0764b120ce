"""llama.cpp's server, which tells the cost of a token that it is made to choose, and of none in a prompt.

Its completions pass over ``echo``. But a bias on one token's logit makes it choose that token, and the cost
that it gives is of before the bias (``post_sampling_probs`` is off): exact, for one request a token. The
server keeps what it has read, so that each request computes one token. Of a token that ends within a
character it tells nothing when it is chosen: its cost is looked for among the likeliest beside another one,
see ``process_token`` in https://github.com/ggml-org/llama.cpp/tree/master/tools/server.
"""

import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ModelError
from evalkit.models.openai.answers import check_logprob, mapping, sequence
from evalkit.models.openai.client import MAX_ANSWER_BYTES, Client

_BIAS = 1e4
"""Added to a logit: more than any two of them differ by."""
_FIELDS = ["completion_probabilities", "tokens_evaluated", "truncated"]
_BYTES_PER_TOKEN = 1024
_NUM_LIKELIEST = (64, 1024)
"""Among how many a token is looked for, before it is among all."""
_ROUNDING = 1e-3
_MOST_DIFFERENCE = 0.05
"""By which a cost may differ with what the server had read before, in nats."""


class ForcedTokens:
    """Costs of tokens, from such a server; each worker reads in a slot of its own."""

    def __init__(self, client: Client, vocab_size: int, plain_token: int) -> None:
        """Ask nothing yet.

        Args:
            client: of the server, with as many workers as it has slots at most.
            vocab_size: number of tokens that the model chooses from.
            plain_token: one that stands for whole characters.
        """
        self._client, self._name, self._vocab_size = client, client.name, vocab_size
        self._plain_token = plain_token
        self._untold: set[int] = set()
        """Tokens of which the server tells nothing when they are chosen."""

    def nats(
        self, sequences: Sequence[Sequence[int]], contexts: Sequence[Sequence[int]]
    ) -> list[NDArray[np.float32]]:
        """Costs of sequences after contexts that are not empty.

        Raises:
            ModelError: the server cannot be reached, reads other prompts than it is sent, or does not choose
                the token that it is made to.
        """
        windows = zip(sequences, contexts, strict=True)
        return self._client.run([functools.partial(self._nats, *window) for window in windows])

    def check(self, ids: Sequence[int]) -> float:
        """Refuse a server whose costs are no logarithms of a distribution's probabilities.

        All probabilities of a place must sum to 1, and a token must cost the same when it is forced.

        Args:
            ids: a text, and what is read before it.

        Returns:
            Nats of the text without its first token.

        Raises:
            ModelError: they are none.
        """
        everything = functools.partial(self._likeliest, ids, self._vocab_size)
        logprobs = self._client.run([everything])[0]
        total = math.fsum(math.exp(min(value, 1.0)) for value in logprobs.values())
        if len(logprobs) != self._vocab_size or abs(total - 1) > _ROUNDING:
            raise ModelError(
                f"{self._name}: the server's probabilities of {len(logprobs)} of {self._vocab_size} tokens "
                "sum to "
                f"{total:.3f}: its costs are no natural logarithms of a distribution"
            )
        ranked = sorted(logprobs, key=lambda token: -logprobs[token])
        tokens = [ranked[0], ranked[len(ranked) // 10], ranked[len(ranked) // 2]]
        for token, costs in zip(
            tokens, self.nats([[token] for token in tokens], [ids] * len(tokens)), strict=True
        ):
            if abs(costs[0] + logprobs[token]) > _MOST_DIFFERENCE * max(1, costs[0] / 10):
                raise ModelError(
                    f"{self._name}: a forced token costs {costs[0]:.3f} nats, and by its probability "
                    f"{-logprobs[token]:.3f}: the server's costs are of after the bias"
                )
        first, again = self.nats([ids[1:]] * 2, [ids[:1]] * 2)
        if float(np.abs(first - again).mean()) > _MOST_DIFFERENCE:
            raise ModelError(f"{self._name}: the server gives the same text other costs when asked again")
        return float(first.sum(dtype=np.float64))

    async def _nats(self, targets: Sequence[int], context: Sequence[int], slot: int) -> NDArray[np.float32]:
        prompt = list(map(int, context))
        costs = np.empty(len(targets), np.float32)
        for place, token in enumerate(map(int, targets)):
            logprob = await self._logprob(prompt, token, slot)
            costs[place] = max(0.0, -check_logprob(logprob, len(prompt), self._name))
            prompt.append(token)
        return costs

    async def _logprob(self, prompt: Sequence[int], token: int, slot: int) -> object:
        """What the server says of a token after a prompt."""
        if token not in self._untold:
            chosen = await self._chosen(prompt, slot, token, 1)
            if chosen:
                return chosen.get("logprob")
            self._untold.add(token)
        for num_best in (*_NUM_LIKELIEST, self._vocab_size):
            logprobs = await self._likeliest(prompt, min(num_best, self._vocab_size), slot)
            if token in logprobs:
                return logprobs[token]
        return None

    async def _likeliest(self, prompt: Sequence[int], num_best: int, slot: int) -> dict[int, float]:
        """The logarithms of the likeliest tokens' probabilities after a prompt, by id."""
        chosen = await self._chosen(prompt, slot, self._plain_token, num_best)
        logprobs = {}
        for entry in map(mapping, sequence(chosen.get("top_logprobs"))):
            token, logprob = entry.get("id"), entry.get("logprob")
            if isinstance(token, int) and isinstance(logprob, int | float):
                logprobs[token] = float(logprob)
        return logprobs

    async def _chosen(
        self, prompt: Sequence[int], slot: int, token: int, num_best: int
    ) -> Mapping[str, object]:
        """What the server says of a token that it is made to choose; nothing, where it says nothing."""
        body = {
            "prompt": list(map(int, prompt)),
            "n_predict": 1,
            "logit_bias": [[token, _BIAS]],
            "n_probs": num_best,
            "temperature": 0,
            "samplers": [],
            "post_sampling_probs": False,
            "cache_prompt": True,
            "id_slot": slot,
            "response_fields": _FIELDS,
        }
        max_bytes = MAX_ANSWER_BYTES + _BYTES_PER_TOKEN * num_best
        url = f"{self._client.address.root_url}/completion"
        answer = mapping(await self._client.ask(url, body, max_bytes))
        num_read = answer.get("tokens_evaluated")
        if num_read != len(prompt) or answer.get("truncated"):
            raise ModelError(
                f"{self._name}: the server reads {num_read} tokens of a prompt of {len(prompt)}: it "
                "truncates prompts, or adds to them"
            )
        probabilities = sequence(answer.get("completion_probabilities"))
        chosen = mapping(probabilities[0] if probabilities else None)
        if chosen and chosen.get("id") != token:
            raise ModelError(
                f"{self._name}: the server chose token {chosen.get('id')} where it was made to choose "
                f"{token}: it does not follow logit_bias, without which nothing can be scored"
            )
        return chosen
