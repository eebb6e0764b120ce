"""What an audit says: a result for each check, and all of a model's together."""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Literal, NamedTuple

from evalkit.displayed import Displayed, Record
from evalkit.fields import FieldError, from_json, to_json

SCHEMA_VERSION = 1

PASSED, FAILED, NOT_APPLICABLE = "passed", "failed", "not applicable"
Outcome = Literal["passed", "failed", "not applicable"]


class Fault(NamedTuple):
    """A fault that can be named."""

    name: str
    meaning: str
    """What it usually comes of, in a sentence without its stop."""


FAULTS = {
    fault.name: fault
    for fault in (
        Fault(
            "scaled distribution",
            "all probabilities are off by one factor: mixed, smoothed or cut off and not normalised",
        ),
        Fault(
            "logits changed after normalisation",
            "a softcap, temperature or bias is on one side only: on the logit and not in the normaliser",
        ),
        Fault(
            "peeks ahead",
            "a token is seen before it is predicted: an attention mask or a shift that is off by one",
        ),
        Fault("off-by-one shift", "a token is predicted by the position before the right one"),
        Fault(
            "rows leak",
            "a text's costs depend on its neighbours in a batch: unmasked padding, or a state not reset",
        ),
        Fault("state is not carried", "reading on from a state or cache is not reading in one go"),
        Fault(
            "costs are not repeatable",
            "the same text costs something else the next time: dropout, or a state kept",
        ),
        Fault(
            "tokenizer loses bytes", "two texts have the same tokens, or a token stands for different bytes"
        ),
        Fault("prefix doubled", "the model adds its own start token to the one that it is given"),
        Fault("prefix missing", "the start token is not read, or there should be one and there is none"),
        Fault(
            "vocabulary order", "the ids of the tokenizer are not those that the weights were trained with"
        ),
        Fault(
            "context is lost", "costs rise at a boundary: a state that is reset, or a window that ends, there"
        ),
        Fault("numbers are not finite", "weights are damaged, or the precision cannot hold the activations"),
        Fault(
            "16-bit rounding",
            "the precision in use costs more than rounding should: an overflow or a 16-bit sum",
        ),
        Fault("another prefix", "the tokens before a document are not those of the fingerprint"),
        Fault(
            "another tokenizer", "the text is cut into other tokens: another version, normalisation or merges"
        ),
        Fault(
            "transposed low-rank matrix",
            "a matrix of RWKV-7's low-rank steps is read in the transposed shape",
        ),
        Fault("missing tanh", "the low-rank step of RWKV-7's decay has no tanh between its matrices"),
        Fault(
            "missing gate sigmoid", "the low-rank step of RWKV-7's gate has no sigmoid between its matrices"
        ),
        Fault("GroupNorm epsilon", "RWKV-7 normalises its heads with 64e-5, not with a library's default"),
        Fault("first values of the wrong layer", "the value residual has to take the values of layer 0"),
        Fault("missing value residual", "layers after the first have to mix in the values of layer 0"),
        Fault("decay constant", "the log decay is a sigmoid times e^-0.5 = 0.6065, not times 0.6"),
        Fault(
            "16-bit state", "the recurrent state is rounded to 16 bits at every token; it has to be float32"
        ),
        Fault("missing bonus", "what r_k adds of the current token is left out"),
        Fault("key is not scaled", "the key has to be scaled by k_a and the learning rate"),
        Fault("removal key of the scaled key", "the removal key is made of the key before k_a scales it"),
        Fault("ReLU is not squared", "the feed-forward layers of RWKV-7 square their ReLU"),
        Fault("missing embedding norm", "the first layer normalises the embedding (ln0)"),
        Fault("RoPE base", "the rotary embedding has another base, or another scaling, than the config says"),
        Fault(
            "RoPE pairs",
            "queries and keys pair neighbouring channels, not halves: a permutation was left out",
        ),
        Fault("missing RoPE", "queries and keys are not rotated by their position"),
        Fault("norm epsilon", "the normalisation has another epsilon than the config says"),
        Fault("other weights", "nothing explains the costs: another checkpoint, a matrix in the wrong place"),
        Fault("state grows", "the state's norm grows with the text: a removal or decay term is wrong"),
    )
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What one check found."""

    name: str
    outcome: Outcome
    measured: float | None
    """None where the check does not apply."""
    bound: float | None
    """What `measured` may be at most; None where the check does not apply."""
    text: str
    """What was measured, in a few words."""
    fault: str | None = None
    """Of `FAULTS`, what a failure usually is."""

    @property
    def meaning(self) -> str:
        """What the failure usually comes of; empty where nothing failed."""
        return FAULTS[self.fault].meaning if self.fault in FAULTS else ""


def result_of(name: str, measured: float, bound: float, text: str, fault: str) -> CheckResult:
    """A check that applies: it fails where ``measured`` is beyond ``bound`` or no number."""
    passed = measured <= bound  # false for NaN
    return CheckResult(
        name=name,
        outcome="passed" if passed else "failed",
        measured=measured if abs(measured) < float("inf") else None,
        bound=bound,
        text=text,
        fault=None if passed else fault,
    )


def not_applicable(name: str, reason: str) -> CheckResult:
    """A check that does not apply to a model."""
    return CheckResult(name=name, outcome="not applicable", measured=None, bound=None, text=reason)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuditedModel:
    """Of which model an audit is."""

    name: str
    loader: str
    revision: str | None
    weights_sha256: str
    tokenizer_sha256: str
    dtype: str
    prefix: str
    context_limit: int | None
    vocab_size: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerNorms:
    """Norms of a recurrent model's states, layer by layer."""

    num_tokens: tuple[int, ...]
    """Tokens that had been read."""
    norms: tuple[tuple[float, ...], ...]
    """For each of them, the root mean square of each layer's state."""


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class ModelAudit(Displayed):
    """All that an audit found."""

    schema_version: int
    created: str
    """When, in UTC, as ISO 8601 has it."""
    evalkit: str
    extent: str
    """``short``, ``standard`` or ``long``."""
    model: AuditedModel
    key: str
    """Digest of what the audit is of, see `evalkit.audit.records`."""
    checks: tuple[CheckResult, ...]
    states: LayerNorms | None
    num_tokens_read: int

    def headline(self) -> str:
        """The model and how many checks came out how."""
        outcomes = [check.outcome for check in self.checks]
        counts = [f"{outcomes.count(of)} {of}" for of in (PASSED, FAILED, NOT_APPLICABLE) if of in outcomes]
        return f"{self.model.name} in {self.model.dtype}: {', '.join(counts)}"

    def records(self) -> list[Record]:
        """A row per check."""
        return [dataclasses.asdict(check) for check in self.checks]

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[CheckResult, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.outcome == FAILED)

    @property
    def faults(self) -> tuple[str, ...]:
        """The faults that the failures usually are, each once."""
        return tuple(dict.fromkeys(check.fault for check in self.failures if check.fault))

    @property
    def likely_fault(self) -> str | None:
        """The first of `faults`: a check comes before those that its failure makes fail."""
        return next(iter(self.faults), None)

    def to_json(self) -> dict[str, object]:
        """The JSON object."""
        return to_json(self)


def audit_of(content: Mapping[str, object]) -> ModelAudit:
    """An audit from its JSON.

    Raises:
        FieldError: it is none.
    """
    if content.get("schema_version") != SCHEMA_VERSION:
        raise FieldError(f"schema_version is {content.get('schema_version')!r}, not {SCHEMA_VERSION}")
    return from_json(ModelAudit, content)


def now() -> str:
    """The time, in UTC, as ISO 8601 has it."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
