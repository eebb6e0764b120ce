"""A completions server on this machine, in the manner of vLLM or SGLang, and what may be wrong with one.

The costs are those of a small Llama of bytes, computed by transformers itself from one forward pass
over the whole prompt. The format is that of vLLM's ``entrypoints/openai/completion/serving.py`` and of
SGLang's ``entrypoints/openai/serving_completions.py``, as of October 2026.
"""

import functools
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.support.byte_llama import byte_llama
from tests.support.hub_server import HubHandler, HubServer

MODEL = "tiny/byte-llama"
CONTEXT_LENGTH = 514
"""So that evalkit reads 512 positions, as the checkpoint itself does."""

Costs = list[float | None]


class Manner(NamedTuple):
    """How a server answers; each part does no harm by default."""

    owner: str = "vllm"
    """``vllm`` names tokens by their ids where it is asked to; ``sglang`` says a prompt's ids beside their
    texts; any other says texts only, and no usage, and ``stripping`` without the blanks around them."""
    context_length: int | None = CONTEXT_LENGTH
    reads: Callable[[list[int]], list[int]] = lambda ids: ids
    """What the model gets of a prompt."""
    tells: Callable[[list[int]], slice] = lambda ids: slice(None)
    """Which of what was read is told of."""
    scores: Callable[[NDArray[np.float64]], NDArray[np.float64]] = lambda logprobs: logprobs
    """``[tokens, vocabulary]``: what comes after each token."""
    costs: Callable[[Costs, NDArray[np.float64]], Costs] = lambda costs, logprobs: costs
    """Of the tokens that are told of, the generated one included."""
    answers: Callable[[dict[str, Any]], object] = lambda answer: answer
    """The whole answer; bytes are sent as they are."""
    status: Callable[[int], int] = lambda number: 200
    """Of the request of this number, counted from 1; 0 closes the connection, -1 never answers."""
    trouble: str = "out of luck"
    """What is said with a status that tells of an error."""
    wants_key: str | None = None
    unknown_fields: tuple[str, ...] = ()
    """Of a request, those that the server refuses."""


@functools.cache
def _network() -> Any:
    import torch
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(byte_llama(), dtype=torch.float32).eval()


def next_logprobs(ids: Sequence[int]) -> NDArray[np.float64]:
    """``[len(ids), vocab_size]``: the logarithm of every token's probability after each token."""
    import torch

    with torch.no_grad():
        logits = _network()(torch.tensor([list(ids)])).logits[0]
    array: NDArray[np.float64] = logits.double().log_softmax(-1).numpy()
    return array


def token_text(token: int) -> str:
    """What servers make of a token that may be half a character: lossy."""
    return "<s>" if token >= 256 else bytes([token]).decode(errors="replace")


class CompletionsServer(HubServer):
    """Serves the Llama of bytes on a port of its own."""

    def __init__(self, manner: Manner = Manner()) -> None:  # noqa: B008  a constant
        super().__init__(_Handler)
        self.manner = manner
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.root = MODEL
        """Where the model's files are, as the server says."""
        self.stop_hanging = threading.Event()
        self.most_at_once, self._num_at_once = 0, 0
        self._lock = threading.Lock()

    def shutdown(self) -> None:
        self.stop_hanging.set()
        super().shutdown()

    @property
    def spec(self) -> str:
        return f"openai:{self.url}/v1?tokenizer={byte_llama()}#{MODEL}"

    def count(self, body: dict[str, Any]) -> int:
        """Write a request down; how many there were."""
        with self._lock:
            self.bodies.append(body)
            self._num_at_once += 1
            self.most_at_once = max(self.most_at_once, self._num_at_once)
            return len(self.bodies)

    def done(self) -> None:
        with self._lock:
            self._num_at_once -= 1

    def answer_to(self, body: dict[str, Any]) -> object:
        manner = self.manner
        ids = manner.reads(list(body["prompt"]))
        with self._lock:
            logprobs = manner.scores(next_logprobs(ids))
        generated = int(logprobs[-1].argmax())
        costs: Costs = [None, *(float(logprobs[i, token]) for i, token in enumerate([*ids[1:], generated]))]
        costs = manner.costs(costs, logprobs)
        told = manner.tells(ids)
        tokens = [*ids[told], generated]
        costs = [*costs[:-1][told], costs[-1]]
        best = [
            None,
            *(
                self._best(row, token, body)
                for row, token in zip(logprobs, [*ids, generated][1:], strict=True)
            ),
        ]
        best = [*best[:-1][told], best[-1]]
        if costs and best:
            best[0] = None if costs[0] is None else best[0]
        choice: dict[str, Any] = {
            "index": 0,
            "text": "".join(map(token_text, tokens)),
            "logprobs": {
                "text_offset": list(
                    np.cumsum([0, *(len(token_text(token)) for token in tokens[:-1])]).tolist()
                ),
                "token_logprobs": costs,
                "tokens": [self._name(token, body) for token in tokens],
                "top_logprobs": best,
            },
            "finish_reason": "length",
            "prompt_logprobs": None,
        }
        answer = {
            "id": "cmpl-1",
            "object": "text_completion",
            "created": 1,
            "model": MODEL,
            "choices": [choice],
        }
        if manner.owner in ("vllm", "sglang"):
            choice["prompt_token_ids"] = ids[told] if body.get("return_token_ids") else None
            answer["usage"] = {
                "prompt_tokens": len(ids),
                "completion_tokens": 1,
                "total_tokens": len(ids) + 1,
            }
        return manner.answers(answer)

    def _best(self, row: NDArray[np.float64], token: int, body: dict[str, Any]) -> dict[str, float]:
        ranked = np.argsort(-row)[: body["logprobs"]].tolist()
        if self.manner.owner == "vllm" and token not in ranked:
            ranked.append(token)
        return {self._name(token, body): float(row[token]) for token in ranked}

    def _name(self, token: int, body: dict[str, Any]) -> str:
        as_id = self.manner.owner == "vllm" and body.get("return_tokens_as_token_ids")
        text = token_text(token).strip() if self.manner.owner == "stripping" else token_text(token)
        return f"token_id:{token}" if as_id else text


class _Handler(HubHandler):
    server: CompletionsServer

    def do_GET(self) -> None:
        path = self.note()
        manner = self.server.manner
        self.server.headers.append(dict(self.headers))
        if manner.wants_key is not None and self.headers["Authorization"] != f"Bearer {manner.wants_key}":
            self.answer(401, {"error": {"message": f"Unauthorized: {self.headers['Authorization']}"}})
        elif path == "/version" and manner.owner == "vllm":
            self.answer(200, {"version": "0.11.0"})
        elif path == "/v1/models":
            root = self.server.root
            entry = {"id": root, "object": "model", "created": 1, "owned_by": manner.owner, "root": root}
            self.answer(200, {"object": "list", "data": [{**entry, "max_model_len": manner.context_length}]})
        else:
            self.answer(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        self.note()
        manner = self.server.manner
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._complete(body, manner.status(self.server.count(body)))

    def _complete(self, body: dict[str, Any], status: int) -> None:
        manner = self.server.manner
        refused = [name for name in manner.unknown_fields if name in body]
        answer = self.server.answer_to(body) if status == 200 and not refused else None
        self.server.done()  # whoever is answered may ask again at once
        if status == -1:
            self.server.stop_hanging.wait()
        elif status == 0:
            self.close_connection = True
        elif refused:
            self.answer(400, {"error": {"message": f"Unrecognized request argument supplied: {refused[0]}"}})
        elif 300 <= status < 400:
            self.answer(status, headers={"Location": "http://127.0.0.1:9/v1/completions"})
        elif status != 200:
            self.answer(status, {"error": {"message": manner.trouble}})
        else:
            self.answer(200, answer)


class LlamaCppManner(NamedTuple):
    """How a server in the manner of llama.cpp's answers; each part does no harm by default."""

    follows_bias: bool = True
    is_biased: bool = False
    """Whether probabilities are those of after the bias."""
    reads: Callable[[list[int]], list[int]] = lambda ids: ids
    logprobs: Callable[[NDArray[np.float64], int], NDArray[np.float64]] = lambda row, number: row
    """``[vocabulary]``: what comes after a prompt; and the number of the request."""
    cost: Callable[[float], float] = lambda logprob: logprob
    """Of the token that was chosen."""
    told: bool = True
    """Whether probabilities are told at all."""
    pieces: bool = True
    """Whether ``/tokenize`` tells the bytes of tokens."""


class LlamaCppServer(CompletionsServer):
    """Serves it as llama.cpp's server does, as of October 2026: ``tools/server/README.md``."""

    def __init__(self, manner: LlamaCppManner = LlamaCppManner()) -> None:  # noqa: B008  a constant
        super().__init__()
        self.RequestHandlerClass = _LlamaCppHandler
        self.llama_cpp_manner = manner

    @property
    def spec(self) -> str:
        return f"openai:{self.url}/v1"

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        manner, number = self.llama_cpp_manner, self.count(body)
        ids = manner.reads(body["prompt"])
        with self._lock:
            row = next_logprobs(ids)[-1]
        row = manner.logprobs(row, number)
        biased = row.copy()
        if manner.follows_bias:
            for token, bias in body["logit_bias"]:
                biased[token] += bias
        chosen = int(biased.argmax())
        if manner.is_biased:
            row = biased - np.log(np.exp(biased - biased.max()).sum()) - biased.max()
        best = np.argsort(-row)[: body["n_probs"]].tolist()
        entries = [{"id": token, "logprob": float(row[token])} for token in best]
        probability = {"id": chosen, "logprob": manner.cost(float(row[chosen])), "top_logprobs": entries}
        is_told = manner.told and chosen < 0xC0  # as of a token that begins a character
        answer = {"tokens_evaluated": len(ids), "truncated": False}
        return answer | ({"completion_probabilities": [probability]} if is_told else {})


class _LlamaCppHandler(_Handler):
    server: Any

    def do_GET(self) -> None:
        meta = {"n_vocab": 257, "n_ctx": CONTEXT_LENGTH}
        entry = {"id": "/srv/nano.gguf", "aliases": [], "owned_by": "llamacpp", "meta": meta}
        props = {"total_slots": 2, "build_info": "b7000", "bos_token": "<|start|>", "eos_token": "<|start|>"}
        self.answer(200, props if self.note() == "/props" else {"data": [entry]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.note() == "/tokenize":
            is_start = body["parse_special"] and body["content"] == "<|start|>"
            ids = [256] if is_start or body["add_special"] else list(body["content"].encode())
            has_pieces = self.server.llama_cpp_manner.pieces
            tokens = [{"id": token, "piece": [token] if token < 256 else ""} for token in ids]
            self.answer(200, {"tokens": tokens if has_pieces else ids})
        else:
            answer = self.server.complete(body)
            self.server.done()
            self.answer(200, answer)
