"""Other programs that score the same weights on the same documents, each as its own users run it.

Every peer is built in this process from the weights that evalkit has loaded, in float32, so that nothing but
the program differs. What is not installed, or needs a GPU that is not there, is named with the reason.
"""

import contextlib
import copy
import dataclasses
import importlib.metadata
import importlib.util
import io
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from evalkit.corpora.document import Document
from evalkit.models.catalog import CatalogEntry
from evalkit.models.hf.model import HfModel
from evalkit.models.initialisation import Uninitialised
from evalkit.models.prefixes import prefix_under
from evalkit.models.protocol import LoadOptions, TokenModel
from evalkit.models.rwkv7.model import RWKV7Model
from evalkit.scoring.policy import windows

if TYPE_CHECKING:
    import transformers

Score = Callable[[], list[float]]
"""Nats of every document."""

UNCHEATABLE_CHUNK = 1024
_BATCH_SIZES = (1, 4, 16)


@dataclasses.dataclass(frozen=True)
class Peer:
    """Another program, ready to score the documents."""

    name: str
    """With its version and setting."""
    policy: str
    """What it computes, by evalkit's name: ours is run under the same beside it."""
    tolerance: float | None
    """How far a document's nats may lie from ours, relative; None: ours are of another precision."""
    score: Score


class Contest(NamedTuple):
    """What peers are built from."""

    model: TokenModel
    """evalkit's own, in float32."""
    entry: CatalogEntry
    documents: Sequence[Document]
    folder: Path
    """For files that peers read."""


class MissingPeer(Exception):
    """A peer that cannot run here; the message says why. It never leaves `peers_of`."""


def peers_of(contest: Contest) -> tuple[list[Peer], dict[str, str]]:
    """The peers that can score a model here, and by name why the others cannot."""
    builders: dict[str, Callable[[Contest], Peer]] = {}
    if isinstance(contest.model, HfModel):
        builders = {"lm_eval": _lm_eval, "Uncheatable Eval's loop": _plain_loop, "vLLM": _vllm}
    elif isinstance(contest.model, RWKV7Model):
        builders = {"rwkv": _rwkv, "fla": _fla}
    builders["llama.cpp"] = _llama_cpp
    peers, missing = [], {}
    for name, build in builders.items():
        try:
            peers.append(build(contest))
        except MissingPeer as reason:
            missing[name] = str(reason)
    return peers, missing


def _need(module: str, package: str) -> str:
    """The version of an installed package."""
    if importlib.util.find_spec(module) is None:
        raise MissingPeer(f"not installed (pip install {package})")
    return importlib.metadata.version(package)


# --- of transformers --------------------------------------------------------------------------------------


def _plain_network(model: HfModel) -> "transformers.PreTrainedModel":
    """The network as transformers alone runs it, over the same weights in memory."""
    network: Any = model.network
    config = copy.deepcopy(network.config)
    config._attn_implementation = "sdpa"
    with Uninitialised():
        plain: transformers.PreTrainedModel = type(network)(config)
    plain.load_state_dict(network.state_dict(), strict=False, assign=True)
    return plain.to(network.device).eval()


def _tokenizer(contest: Contest) -> "transformers.PreTrainedTokenizerBase":
    if contest.entry.loader == "gguf":
        from evalkit.models.gguf import tokenizer as gguf_tokenizer
        from evalkit.models.gguf.files import locate_file

        return gguf_tokenizer.read_tokenizer(locate_file(contest.entry).header())
    from evalkit.models.hf.checkpoint import open_checkpoint

    return open_checkpoint(contest.entry, LoadOptions(dtype="float32")).tokenizer


def _plain_loop(contest: Contest) -> Peer:
    """Chunks of `UNCHEATABLE_CHUNK` tokens one by one, all logits, the first token of each unpaid.

    So Uncheatable Eval scores models of transformers (github.com/Jellyfish042/uncheatable_eval,
    ``evaluator.py``); this is code of ours, after that description.
    """
    assert isinstance(contest.model, HfModel)
    network, tokenizer = _plain_network(contest.model), _tokenizer(contest)
    num_chunk = min(UNCHEATABLE_CHUNK, contest.model.context_limit or UNCHEATABLE_CHUNK)

    def document_nats(text: str) -> float:
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"].to(network.device)
        total = 0.0
        for first in range(0, ids.shape[1], num_chunk):
            chunk = ids[:, first : first + num_chunk]
            logits = network(input_ids=chunk).logits[0, :-1]
            log_p = torch.log_softmax(logits.float(), -1)
            total -= float(log_p.gather(-1, chunk[0, 1:, None]).double().sum())
        return total

    def score() -> list[float]:
        with torch.no_grad(), _silence():
            return [document_nats(document.text) for document in contest.documents]

    return Peer("Uncheatable Eval's loop (transformers, one by one)", "uncheatable", 1e-5, score)


def _lm_eval(contest: Contest) -> Peer:
    """lm_eval's ``hf`` model, rolling log-likelihoods, by the batch size that is fastest here."""
    version = _need("lm_eval", "lm_eval")
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    assert isinstance(contest.model, HfModel)
    network, tokenizer = _plain_network(contest.model), _tokenizer(contest)
    prefix_id = prefix_under(contest.model, "lm-eval").ids[-1]

    def scorer(batch_size: int) -> Score:
        with _silence():
            harness = HFLM(
                pretrained=network,
                tokenizer=tokenizer,
                add_bos_token=False,
                softmax_dtype="float32",
                max_length=contest.model.context_limit,
                batch_size=batch_size,
                prefix_token_id=prefix_id,
            )

        def score() -> list[float]:
            requests = [
                Instance("loglikelihood_rolling", {}, (document.text,), index)
                for index, document in enumerate(contest.documents)
            ]
            with _silence():
                return [-float(nats) for nats in harness.loglikelihood_rolling(requests, disable_tqdm=True)]

        return score

    best, best_s = 1, math.inf
    for batch_size in _BATCH_SIZES:  # what is slower than the one before gets no better
        seconds = _trial_s(scorer(batch_size))
        if seconds > best_s:
            break
        best, best_s = batch_size, seconds
    return Peer(f"lm_eval {version} (hf, batch size {best})", "lm-eval", 1e-5, scorer(best))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep a library's progress bars and its advice to itself."""
    with contextlib.redirect_stderr(io.StringIO()):
        level = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(level)


def _trial_s(score: Score) -> float:
    started_s = time.perf_counter()
    score()
    return time.perf_counter() - started_s


def _vllm(contest: Contest) -> Peer:
    """The log-probabilities of prompts by vLLM; it reads the checkpoint's folder itself. Not run so far."""
    if not torch.cuda.is_available():
        raise MissingPeer("needs a GPU")
    version = _need("vllm", "vllm")
    if contest.entry.loader != "hf":
        raise MissingPeer("reads checkpoints of transformers only")
    from vllm import LLM, SamplingParams

    engine = LLM(model=contest.entry.target, dtype="float32")
    settings = SamplingParams(max_tokens=1, prompt_logprobs=0)

    def score() -> list[float]:
        prompts, num_read = [], []
        for ids, prefix in _document_windows(contest):
            prompts.append({"prompt_token_ids": [*prefix, *ids]})
            num_read.append(max(1, len(prefix)))
        answers = engine.generate(prompts, settings, use_tqdm=False)
        return [
            -math.fsum(
                logprobs[token].logprob
                for token, logprobs in zip(
                    answer.prompt_token_ids[first:], answer.prompt_logprobs[first:], strict=True
                )
            )
            for answer, first in zip(answers, num_read, strict=True)
        ]

    return Peer(f"vLLM {version}", "document", 1e-4, score)


# --- of RWKV-7 --------------------------------------------------------------------------------------------


def _rwkv(contest: Contest) -> Peer:
    """The PyPI package ``rwkv``: ``cpu fp32``, or ``cuda fp32``, a document at a time, all logits."""
    version = _need("rwkv", "rwkv")
    from evalkit.bench.whole_model import rwkv_nats

    model = contest.model
    assert isinstance(model, RWKV7Model)
    path = contest.folder / "peer.pth"
    torch.save({name: value.cpu() for name, value in model.network.state_dict().items()}, path)
    strategy = f"{model.device.type} fp32"
    nats = rwkv_nats(path, strategy)
    prefix = list(prefix_under(model, "document").ids)

    def score() -> list[float]:
        return [
            float(nats(prefix, model.encode(document.text).ids.tolist()).astype(float).sum())
            for document in contest.documents
        ]

    return Peer(f"rwkv {version} ({strategy}, full_output)", "document", 1e-4, score)


def _fla(contest: Contest) -> Peer:
    """flash-linear-attention's RWKV-7, a document at a time. Not run so far."""
    if not torch.cuda.is_available():
        raise MissingPeer("needs a GPU")
    version = _need("fla", "flash-linear-attention")
    if not (Path(contest.entry.target) / "config.json").is_file():
        raise MissingPeer("reads checkpoints in its own format only")
    import fla  # noqa: F401  registers its models
    import transformers

    network = transformers.AutoModelForCausalLM.from_pretrained(contest.entry.target, dtype=torch.float32)
    network = network.to("cuda").eval()

    def score() -> list[float]:
        totals = []
        with torch.no_grad():
            for ids, prefix in _document_windows(contest):
                fed = torch.tensor([[*prefix, *ids]], device="cuda")
                log_p = torch.log_softmax(network(input_ids=fed[:, :-1]).logits[0].float(), -1)
                costs = log_p.gather(-1, fed[0, 1:, None])[max(0, len(prefix) - 1) :]
                totals.append(-float(costs.double().sum()))
        return totals

    return Peer(f"fla {version}", "document", 1e-3, score)


# --- of both ----------------------------------------------------------------------------------------------


def _llama_cpp(contest: Contest) -> Peer:
    """llama.cpp over a float32 GGUF file, which is written of the one that was given."""
    from evalkit.errors import ModelError
    from evalkit.models.llamacpp.library import LlamaCpp, open_library

    try:
        version = open_library().name
    except ModelError:
        raise MissingPeer("not installed (pip install llama-cpp-python, or xllamacpp)") from None
    if contest.entry.loader != "gguf":
        raise MissingPeer("reads GGUF files only: name the model as gguf:FILE")
    from evalkit.bench.gguf_float32 import write_float32
    from evalkit.models.gguf.files import locate_file

    path = contest.folder / "peer.gguf"
    write_float32(locate_file(contest.entry).path, path)
    llama_cpp = LlamaCpp(path, num_threads=torch.get_num_threads())
    model = contest.model
    prefix = prefix_under(model, "document")

    def document_nats(document: Document) -> float:
        total = 0.0
        for window in windows(
            "document",
            model.encode(document.text).ids,
            prefix=prefix.ids,
            context_limit=model.context_limit,
            chunk_prefix=prefix.chunk_ids,
        ):
            targets, done = torch.from_numpy(window.targets), 0
            for piece in llama_cpp.logits(window.context.tolist(), window.targets.tolist()):
                log_p = torch.log_softmax(torch.from_numpy(piece), -1)
                ids = targets[done : done + len(piece), None]
                total -= float(log_p.gather(-1, ids).double().sum())
                done += len(piece)
        return total

    def score() -> list[float]:
        return [document_nats(document) for document in contest.documents]

    return Peer(f"llama.cpp of {version} (float32 weights, its defaults)", "document", 1e-3, score)


def _document_windows(contest: Contest) -> list[tuple[list[int], list[int]]]:
    """The ids of every document and what is read before them; those that are too long are not cut here."""
    prefix = list(prefix_under(contest.model, "document").ids)
    return [(contest.model.encode(document.text).ids.tolist(), prefix) for document in contest.documents]
