"""`evalkit.Evaluator`: bits per byte of a model that is being trained, as it is in memory."""

import dataclasses
import hashlib
import operator
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from evalkit.cells.corpus_cell import CellSpec, write_cell
from evalkit.cells.provenance import cell_environment
from evalkit.cells.schema import CorpusCell
from evalkit.corpora.incomplete import mark_corpus_scored
from evalkit.corpora.store import Corpus, load_corpora
from evalkit.errors import UsageError
from evalkit.live.evaluation import CorpusScore, Evaluation, corpus_score
from evalkit.live.logs import Log, open_logs
from evalkit.live.tokenizers import LiveTokenizer, check_start, live_tokenizer
from evalkit.live.torch_module import TorchModel
from evalkit.live.untouched import bare_module, untouched, without_autocast
from evalkit.models.catalog import MIN_CONTEXT_LIMIT, CatalogEntry
from evalkit.models.prefixes import CHEAPEST, parse_rule, prefix_under
from evalkit.models.protocol import LoadOptions, ModelIdentity, TokenModel
from evalkit.runner.options import listed
from evalkit.scoring.documents import DocumentScore, score_documents
from evalkit.scoring.policy import DEFAULT_POLICY, check_policy

if TYPE_CHECKING:
    import transformers

    from evalkit.live.trainer import EvaluatorCallback

LOADER = "live"
"""What cells of live models have for the name of a loader."""


class Evaluator:
    """Scores live models on corpora that are read once.

    ::

        evaluator = evalkit.Evaluator(corpora=["val"], logs=["stdout", "scores.csv"])
        evaluator.score(model, tokenizer, step=1000)

    The numbers are those of ``evalkit run`` on the saved checkpoint in the same precision. The model is left
    as it was: its mode, its gradients, its random numbers.
    """

    def __init__(
        self,
        corpora: str | Corpus | Sequence[str | Corpus],
        *,
        policy: str = DEFAULT_POLICY,
        limit: int | None = None,
        prefix: str | None = None,
        max_context: int | None = None,
        run: str = "run",
        output: str | Path | None = None,
        logs: str | Log | Sequence[str | Log] = (),
    ) -> None:
        """Read the corpora and open the logs.

        Args:
            corpora: one or several: names, also of sets, paths, or `Corpus` objects.
            policy: one of `evalkit.scoring.policy.POLICIES` that does not try several prefixes.
            limit: how many documents of each corpus to score; None: all.
            prefix: what is read before a document: ``bos``, ``eos``, ``none`` or ``token:ID,ID``; None: what
                the tokenizer says.
            max_context: most token positions of one forward pass; None: what the model's config says, and
                for a plain torch module no limit.
            run: the run's name, in logs and cells.
            output: a folder for cells, which `evalkit curve` and `evalkit snr` read; None: none are
                written.
            logs: one or several: ``stdout``, the path of a ``.csv`` file, ``tensorboard:FOLDER``, ``wandb``,
                or what takes an `evalkit.live.evaluation.Evaluation`.

        Raises:
            UsageError: an argument is wrong, two corpora have one name, or a logger is not installed.
            CorpusError: a corpus cannot be read.
        """
        check_policy(policy)
        if policy == CHEAPEST:
            raise UsageError(f"the policy {policy} tries several prefixes, which takes a run of its own")
        if limit is not None and limit < 1:
            raise UsageError(f"limit {limit} leaves no document; give 1 or more")
        if max_context is not None and max_context < MIN_CONTEXT_LIMIT:
            raise UsageError(f"max_context {max_context} is too small; give {MIN_CONTEXT_LIMIT} or more")
        if not corpora:
            raise UsageError("nothing to do: name at least one corpus")
        for corpus in listed(corpora):
            if not isinstance(corpus, str | os.PathLike | Corpus):
                raise UsageError(f"{type(corpus).__name__} is no corpus; give a name, a path or a Corpus")
        self._policy, self._run, self._max_context = policy, run, max_context
        self._prefix = None if prefix is None else parse_rule(prefix, "prefix")
        self._output = None if output is None else Path(output)
        whole = load_corpora(listed(corpora))
        names = [corpus.name for corpus in whole]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise UsageError(f"several corpora are called {', '.join(repeated)}, and scores go by the names")
        self._corpora = [corpus if limit is None else corpus.limited(limit) for corpus in whole]
        self._limits = [
            limit if len(part.documents) < len(corpus.documents) else None
            for corpus, part in zip(whole, self._corpora, strict=True)
        ]
        self._before: dict[str, Sequence[DocumentScore]] = {}
        self._logs = open_logs(listed(logs))

    def score(
        self,
        model: nn.Module,
        tokenizer: object = None,
        *,
        step: int | None = None,
        num_tokens: int | None = None,
    ) -> Evaluation:
        """Score a model as it is now.

        Args:
            model: a causal language model of transformers, also within `torch.compile`, data parallelism or
                an adapter of PEFT; or any module that makes logits ``[B, T, V]`` of ids ``[B, T]``.
            tokenizer: a fast one of transformers, one like tiktoken's, an object whose ``encode(text)`` gives
                an `evalkit.Encoding`, or None: bytes are ids.
            step: of the training; needed where cells are written.
            num_tokens: that the training has read by now, for the cells.

        Raises:
            UsageError: the model is no module or its weights are spread over processes, the tokenizer is
                none, a count is no whole number, or there is no step and cells are written.
            ModelError: the model is no causal language model, or its tokenizer does not fit.
            ScoringError: no document of a corpus can be represented.
        """
        if self._output is not None and step is None:
            raise UsageError("cells of a run are told apart by their step: give step=…")
        step, num_tokens = _count("step", step), _count("num_tokens", num_tokens)
        started_s = time.perf_counter()
        module = bare_module(model)
        name = f"{LOADER}:{self._run}" + ("" if step is None else f"/step-{step}")
        with untouched(module), without_autocast(module):
            module.eval()
            live = self._model(module, live_tokenizer(tokenizer, self._prefix, name), name, step, num_tokens)
            scores = [
                self._score(live, corpus, limit)
                for corpus, limit in zip(self._corpora, self._limits, strict=True)
            ]
        evaluation = Evaluation(self._run, step, time.perf_counter() - started_s, tuple(scores))
        for log in self._logs:
            log(evaluation)
        return evaluation

    def callback(self, every_steps: int | None = None) -> "EvaluatorCallback":
        """A callback for the Trainer of transformers, which scores at each of its evaluations and at the end.

        Args:
            every_steps: score every so many steps, and not at evaluations.
        """
        from evalkit.live.trainer import EvaluatorCallback

        return EvaluatorCallback(self, every_steps)

    def _model(
        self, module: nn.Module, tokenizer: LiveTokenizer, name: str, step: int | None, num_tokens: int | None
    ) -> TokenModel:
        from transformers import PreTrainedModel

        details: dict[str, str | int | float | bool | None] = {"run": self._run}
        counted = {"step": step, "tokens_seen": num_tokens}
        details |= {key: value for key, value in counted.items() if value is not None}
        details["num_parameters"] = sum(parameter.numel() for parameter in module.parameters())
        parameter = next(module.parameters(), torch.empty(0))
        identity = ModelIdentity(
            name=name,
            loader=LOADER,
            revision=None,
            weights_sha256="" if self._output is None else _weights_sha256(module),
            tokenizer_sha256=tokenizer.digest,
            prefix=tokenizer.start.prefix.rule,
            dtype=str(parameter.dtype).removeprefix("torch."),
            context_limit=self._max_context,
            details=details,
            numerics=f"torch {torch.__version__.partition('+')[0]}",
            policy_prefixes=tokenizer.start.by_policy,
        )
        if not isinstance(module, PreTrainedModel):
            return TorchModel(module, tokenizer, identity)
        return _hf_model(module, tokenizer, identity, self._max_context)

    def _score(self, model: TokenModel, corpus: Corpus, limit: int | None) -> CorpusScore:
        prefix = prefix_under(model, self._policy)
        started_s = time.perf_counter()
        # In this process alone: a training has threads, and often a GPU.
        scores = score_documents(model, corpus.documents, self._policy, prefix=prefix, num_workers=1)
        seconds = time.perf_counter() - started_s
        score = corpus_score(corpus.name, scores, self._before.get(corpus.name))
        self._before[corpus.name] = scores
        if self._output is None:
            return score
        mark_corpus_scored(corpus)
        cell: CorpusCell = write_cell(
            CellSpec(model.identity, corpus, self._policy, limit),
            scores,
            self._output,
            seconds=seconds,
            prefix=prefix,
            environment=cell_environment("auto"),
        )
        return dataclasses.replace(score, cell=cell)


def _count(name: str, value: object) -> int | None:
    """A count that a training says, also as NumPy's or torch's.

    Raises:
        UsageError: it is no whole number from 0 on.
    """
    try:
        count = None if value is None else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        count = -1
    if count is not None and count < 0:
        raise UsageError(f"{name} {value!r} is no whole number from 0 on")
    return count


def _hf_model(
    module: "transformers.PreTrainedModel",
    tokenizer: LiveTokenizer,
    identity: ModelIdentity,
    max_context: int | None,
) -> TokenModel:
    """A model of transformers, computed as one that was loaded."""
    from evalkit.models.hf.checkpoint import context_limit
    from evalkit.models.hf.files import numerics
    from evalkit.models.hf.model import wrap

    if tokenizer.token_bytes is None:
        return TorchModel(module, tokenizer, identity)
    options = LoadOptions(max_context=max_context)
    limit = context_limit(module.config, CatalogEntry(identity.name, "hf", identity.name), options)
    identity = dataclasses.replace(
        identity, context_limit=limit, numerics=numerics(has_adapter=hasattr(module, "peft_config"))
    )
    start = tokenizer.start
    vocab_size = int(module.get_input_embeddings().weight.shape[0])
    check_start(start, vocab_size, identity.name)
    return wrap(
        module,
        tokenizer.token_bytes,
        identity=identity,
        prefix=start.prefix.ids,
        policy_prefixes=start.ids_by_policy,
    )


def _weights_sha256(module: nn.Module) -> str:
    """A digest of all weights as they are in memory."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if not isinstance(tensor, torch.Tensor):  # a module's `get_extra_state`, which is whatever it likes
            continue
        content = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode() + content.tobytes())
    return digest.hexdigest()
