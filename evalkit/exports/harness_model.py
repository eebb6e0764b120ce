"""A model class for lm-evaluation-harness: ``lm_eval --model evalkit --model_args spec=rwkv7-0.1b``.

Its tasks are then answered by whatever evalkit loads. The class is registered under the name ``evalkit`` when
this module is imported, which the entry point ``lm_eval.models`` has done by versions after 0.4.13, and
``evalkit lm-eval`` by any.

What is computed is what its Hugging Face class computes with ``softmax_dtype=float32``: whole texts with
``add_bos_token=False``, continuations behind what the tokenizer puts before a text by itself. Special tokens
that a text spells are text. Beginnings that requests share are read once where a model goes on from there.
"""

import math
from collections.abc import Mapping, Sequence

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.utils import simple_parse_args_string
from tqdm import tqdm

from evalkit.corpora.document import make_document
from evalkit.errors import LossyTextError, ScoringError, UsageError
from evalkit.models.continuations import Request, continuation_nats
from evalkit.models.distributions import DistributionModel
from evalkit.models.loading import load_model
from evalkit.models.prefixes import WITH_CONTEXT, parse_rule, prefix_under
from evalkit.models.protocol import TokenModel
from evalkit.scoring.documents import score_documents
from evalkit.terminal import complain

_REQUESTS_AT_ONCE = 512
"""Neighbours mostly share their beginnings; after each lot, progress is told."""
_POLICY = "lm-eval"

TokenizedRequest = tuple[tuple[str, str] | None, list[int], list[int]]
"""A context and a continuation as texts, and the ids of both."""


@register_model("evalkit")
class EvalkitLM(TemplateLM):  # type: ignore[misc]  # its package has no types
    """Any model of evalkit's, asked for likelihoods; it does not generate."""

    def __init__(
        self,
        spec: str = "",
        device: str | None = None,
        dtype: str = "auto",
        max_length: int | None = None,
        prefix: str | None = None,
        trust_remote_code: bool = False,
        **ignored: object,
    ) -> None:
        """Load a model.

        Args:
            spec: a catalog name or ``LOADER:TARGET``, see `evalkit.load_model`.
            device: ``cpu``, ``cuda`` or ``cuda:N``; None: a GPU where there is one.
            dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
            max_length: cap on the model's context, in tokens.
            prefix: what stands before every text: ``bos``, ``eos``, ``none`` or ``token:ID``. None: before a
                context what the tokenizer puts there by itself, before a text without one BOS, else EOS.
            trust_remote_code: whether a hub repository may run its own Python.
            ignored: ``batch_size`` and ``max_batch_size``, which the harness passes: batches are sized here.

        Raises:
            UsageError: no spec, an argument that is not known, a compressor.
            ModelError: the model cannot be found or read.
        """
        super().__init__()
        unknown = sorted(ignored.keys() - {"batch_size", "max_batch_size"})
        if unknown or not spec:
            said = f"unknown argument {', '.join(unknown)}" if unknown else "no model is named"
            raise UsageError(
                f"--model evalkit: {said}; --model_args takes spec=NAME (a catalog name or LOADER:TARGET), "
                "device, dtype, max_length, prefix and trust_remote_code"
            )
        model = load_model(
            str(spec),
            device=device or "auto",
            dtype=dtype,
            trust_remote_code=trust_remote_code,
            max_context=max_length,
            prefix=prefix,
        )
        if not isinstance(model, TokenModel):
            raise UsageError(f"--model evalkit: {spec} is a compressor, which answers no questions")
        self.model = model
        self.start = prefix_under(model, _POLICY).ids
        """What stands before a text without a context."""
        self._before_context = prefix_under(model, WITH_CONTEXT).ids
        if prefix is not None and parse_rule(prefix, "prefix") == "none":
            self.start = ()

    @classmethod
    def create_from_arg_obj(
        cls, arg_dict: Mapping[str, object], additional_config: Mapping[str, object] | None = None
    ) -> "EvalkitLM":
        """As the harness makes one: what ``--model_args`` says stands before its own options."""
        options = {name: value for name, value in (additional_config or {}).items() if value is not None}
        if options.get("device") == "cuda:0":  # the harness's own default, also where there is no GPU
            del options["device"]
        return cls(**{**options, **arg_dict})  # type: ignore[arg-type]  # whatever the user has written

    @classmethod
    def create_from_arg_string(
        cls, arg_string: str, additional_config: Mapping[str, object] | None = None
    ) -> "EvalkitLM":
        """The same from ``spec=NAME,device=cpu``."""
        return cls.create_from_arg_obj(simple_parse_args_string(arg_string), additional_config)

    @property
    def eot_token_id(self) -> int:
        """The token before a text without a context.

        Raises:
            UsageError: the model has none, or several.
        """
        if len(self.start) != 1:
            raise UsageError(
                f"--model evalkit: {self.model.identity.name} has no single token to stand before a text; "
                "give prefix=bos, eos or token:ID in --model_args"
            )
        return self.start[0]

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: object) -> list[int]:
        """Ids of a text, by default behind what stands before a context.

        Raises:
            ScoringError: the tokens cannot represent it.
        """
        try:
            ids: list[int] = self.model.encode(string).ids.tolist()
        except LossyTextError as error:
            raise ScoringError(f"{self.model.identity.name}: a text of the task: {error}") from error
        return ids if add_special_tokens is False else [*self._before_context, *ids]

    def _loglikelihood_tokens(
        self, requests: Sequence[TokenizedRequest], disable_tqdm: bool = False, **_: object
    ) -> list[tuple[float, bool]]:
        """Log-likelihoods, and whether greedy decoding would say the same."""
        answers: list[tuple[float, bool]] = []
        with tqdm(total=len(requests), disable=disable_tqdm, desc="evalkit: loglikelihood") as bar:
            for first in range(0, len(requests), _REQUESTS_AT_ONCE):
                lot = requests[first : first + _REQUESTS_AT_ONCE]
                answers += self._answers([self._fitting(context, targets) for _, context, targets in lot])
                bar.update(len(lot))
        for request, answer in zip(requests, answers, strict=True):
            if request[0] is not None:
                self.cache_hook.add_partial("loglikelihood", request[0], answer)
        return answers

    def _fitting(self, context: list[int], continuation: list[int]) -> Request:
        """A request without the beginning of its context that the model has no room for."""
        limit = self.model.context_limit
        num_beyond = 0 if limit is None else len(context) + len(continuation) - 1 - limit
        if num_beyond <= 0:
            return Request(tuple(context), tuple(continuation))
        if num_beyond >= len(context):
            raise ScoringError(
                f"{self.model.identity.name}: a continuation has {len(continuation)} tokens, the model's "
                f"context holds {limit}"
            )
        complain(
            f"{self.model.identity.name}: {num_beyond} tokens of a context of {len(context)} are left out: "
            f"the model's holds {limit}"
        )
        return Request(tuple(context[num_beyond:]), tuple(continuation))

    def _answers(self, requests: Sequence[Request]) -> list[tuple[float, bool]]:
        costs = continuation_nats(self.model, requests).nats
        sums = [-math.fsum(map(float, cost)) for cost in costs]
        greedy = self._greedy(requests, [list(map(float, cost)) for cost in costs])
        return list(zip(sums, greedy, strict=True))

    def _greedy(self, requests: Sequence[Request], costs: Sequence[Sequence[float]]) -> list[bool]:
        """Whether each continuation is all likeliest tokens; the model is asked where costs do not tell.

        They do where every token has more than half of the probability, or where another request shows a
        likelier token at the same place.
        """
        least: dict[tuple[int, ...], float] = {}
        places = [
            [(*request.context, *request.continuation[:done]) for done in range(len(cost))]
            for request, cost in zip(requests, costs, strict=True)
        ]
        for of_request, cost in zip(places, costs, strict=True):
            for place, nats in zip(of_request, cost, strict=True):
                least[place] = min(nats, least.get(place, math.inf))
        greedy = []
        for request, of_request, cost in zip(requests, places, costs, strict=True):
            may_be = all(nats <= least[place] for place, nats in zip(of_request, cost, strict=True))
            greedy.append(may_be and (max(cost) < math.log(2) or self._is_likeliest(request)))
        return greedy

    def _is_likeliest(self, request: Request) -> bool:
        model: object = self.model
        if not isinstance(model, DistributionModel):
            raise ScoringError(
                f"{self.model.identity.name}: its loader gives no distributions "
                "(evalkit.models.distributions.DistributionModel), without which it is not known whether "
                "greedy decoding would give a continuation"
            )
        done = 0
        for inputs in model.head_inputs(request.context, request.continuation):
            targets = request.continuation[done : done + len(inputs)]
            if model.logits(inputs).argmax(-1).tolist() != list(targets):
                return False
            done += len(inputs)
        return True

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Log-likelihoods of whole texts in the harness's rolling windows: policy ``lm-eval``.

        Raises:
            ScoringError: the tokens cannot represent a text.
        """
        texts = [text for (text,) in (request.args for request in requests)]
        documents = [make_document(text, source="lm_eval", id=str(i)) for i, text in enumerate(texts)]
        prefix = prefix_under(self.model, _POLICY)._replace(ids=self.start)
        likelihoods = []
        with tqdm(total=len(texts), disable=disable_tqdm, desc="evalkit: rolling") as bar:
            for score in score_documents(
                self.model,
                documents,
                _POLICY,
                prefix=prefix,
                progress=lambda progress: bar.update(progress.num_documents - bar.n),
            ):
                if score.total_bits is None:
                    raise ScoringError(f"{self.model.identity.name}: a text of the task: {score.lossy}")
                likelihoods.append(-score.total_bits * math.log(2))
        for text, likelihood in zip(texts, likelihoods, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", (text,), likelihood)
        return likelihoods

    def generate_until(self, requests: list[Instance], **_: object) -> list[str]:
        """Refused.

        Raises:
            UsageError: always.
        """
        names = sorted({str(request.task_name) for request in requests})
        raise UsageError(
            f"--model evalkit scores texts and generates none: leave out {', '.join(names)}, whose output "
            "type is generate_until"
        )

    def apply_chat_template(self, *_: object, **__: object) -> str:
        """Refused.

        Raises:
            UsageError: always.
        """
        raise UsageError("--model evalkit applies no chat template; leave out --apply_chat_template")

    def get_model_info(self) -> dict[str, object]:
        """What the harness writes beside its results."""
        identity = self.model.identity
        return {
            "model_dtype": identity.dtype,
            "model_revision": identity.revision,
            "model_weights_sha256": identity.weights_sha256,
        }
