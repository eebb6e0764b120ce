"""Completions endpoints that repeat the prompt with the costs of its tokens (``echo`` and ``logprobs``).

As vLLM and SGLang serve them; the prompt is sent as token ids, so that nothing is tokenised twice:
https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html,
https://docs.sglang.ai/basic_usage/openai_api_completions.html.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ModelError
from evalkit.models.openai.answers import PromptCosts, read_completion
from evalkit.models.openai.client import MAX_ANSWER_BYTES, Client, Job, RefusedRequest

_BYTES_PER_TOKEN = 4096
"""Room for what a server may say of a token."""
_STATE_IDS = {"return_tokens_as_token_ids": True, "return_token_ids": True, "add_special_tokens": False}
"""Extensions of vLLM's: with them the answer says which tokens were read. Others pass over them."""
NUM_BEST = 5
"""Likeliest tokens beside each token that a check asks for; OpenAI's own limit."""


class Completions:
    """Costs of prompts, from such an endpoint."""

    def __init__(self, client: Client) -> None:
        """Ask nothing yet.

        Args:
            client: of the server; its address names the model.
        """
        self._client, self._name = client, client.name
        self._extensions: dict[str, bool] = dict(_STATE_IDS)

    def negotiate(self, ids: Sequence[int]) -> PromptCosts:
        """Ask for the costs of a prompt, and find out whether the server will say which tokens it read.

        Raises:
            ModelError: it takes no token ids with ``echo`` and ``logprobs``, or see `read_completion`.
        """
        try:
            return self.explore([ids])[0]
        except RefusedRequest as refusal:
            if refusal.status not in (400, 422) or not any(name in refusal.reason for name in _STATE_IDS):
                raise self._not_scoring(refusal) from None
        self._extensions = {}
        try:
            return self.explore([ids])[0]
        except RefusedRequest as refusal:
            raise self._not_scoring(refusal) from None

    def explore(self, prompts: Sequence[Sequence[int]], num_best: int = NUM_BEST) -> list[PromptCosts]:
        """What the server says of prompts, with the likeliest tokens beside each.

        Raises:
            ModelError: it cannot be reached, or see `read_completion`.
        """
        return self._client.run([self._job(ids, num_best) for ids in prompts])

    def nats(
        self, sequences: Sequence[Sequence[int]], contexts: Sequence[Sequence[int]]
    ) -> list[NDArray[np.float32]]:
        """Costs of sequences after contexts that are not empty.

        Raises:
            ModelError: as `explore`.
        """
        prompts = [[*context, *targets] for targets, context in zip(sequences, contexts, strict=True)]
        explored = self.explore(prompts, num_best=1)
        return [
            np.maximum(0, -np.asarray(costs.logprobs[len(context) - 1 :], np.float64)).astype(np.float32)
            for costs, context in zip(explored, contexts, strict=True)
        ]

    def _job(self, ids: Sequence[int], num_best: int) -> Job[PromptCosts]:
        async def ask(_worker: int) -> PromptCosts:
            address = self._client.address
            body = {
                "model": address.model,
                "prompt": list(map(int, ids)),
                "max_tokens": 1,
                "temperature": 0,
                "echo": True,
                "logprobs": num_best,
                **self._extensions,
            }
            max_bytes = MAX_ANSWER_BYTES + _BYTES_PER_TOKEN * len(ids)
            answer = await self._client.ask(f"{address.url}/completions", body, max_bytes)
            return read_completion(answer, ids, self._name)

        return ask

    def _not_scoring(self, refusal: RefusedRequest) -> ModelError:
        if refusal.status in (401, 403, 404):
            return refusal
        return ModelError(
            f"{self._name}: the server takes no prompt of token ids with echo and logprobs, without which "
            "nothing can "
            f"be scored: HTTP {refusal.status}: {refusal.reason}"
        )
