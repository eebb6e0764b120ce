"""What the precision in use costs, beside float32."""

import numpy as np

from evalkit.audit.result import CheckResult, not_applicable, result_of
from evalkit.audit.subject import Subject
from evalkit.models.protocol import TokenModel

_NUM_TOKENS = 384
_MAX_SURPRISE = 1.5
"""Of ln(V): random weights cost up to 1.4 of it, trained ones whose ids are exchanged 1.7."""
_MAX_SHARE = 0.01
"""Of the bits; bfloat16 costs RWKV-7 0.01 to 0.1 %."""


def check_finite(subject: Subject) -> CheckResult:
    """No cost is NaN or infinite."""
    costs = subject.alone(subject.ids[: max(filter(subject.fits, subject.extent.lengths), default=0)])
    num_bad = int((~np.isfinite(costs)).sum())
    mean = float(costs[np.isfinite(costs)].mean()) if num_bad < len(costs) else float("nan")
    text = f"{num_bad} of {len(costs)} costs are no numbers; {mean:.3g} nats a token"
    return result_of("costs are numbers", num_bad, 0, text, "numbers are not finite")


def check_knowledge(subject: Subject) -> CheckResult:
    """A text costs less than a draw from the whole vocabulary: the ids are those of the weights."""
    costs = subject.alone(subject.ids[: max(filter(subject.fits, subject.extent.lengths), default=0)])
    uniform = float(np.log(subject.model.vocab_size))
    measured = float(costs.mean()) / uniform
    text = f"English and code cost {costs.mean():.3g} nats a token, a random draw {uniform:.3g}"
    return result_of("a text is no surprise", measured, _MAX_SURPRISE, text, "vocabulary order")


def check_precision(subject: Subject, reference: TokenModel | None) -> CheckResult:
    """Costs in the precision in use beside those of the same model in float32.

    Args:
        subject: the model.
        reference: the same in float32; None: it is that already, or cannot be had.
    """
    name = "the precision costs little"
    dtype = subject.model.identity.dtype
    if reference is None:
        reason = "it is float32 already" if dtype in ("float32", "float64") else "there is no float32 of it"
        return not_applicable(name, reason)
    length = min(_NUM_TOKENS, len(subject.ids))
    if subject.context_limit is not None:
        length = min(length, subject.context_limit - len(subject.model.prefix))
    ids = subject.ids[:length]
    costs = subject.alone(ids)
    [expected] = reference.nats([ids])
    difference = costs - np.asarray(expected, np.float64)
    measured = abs(float(difference.sum())) / float(np.sum(expected))
    text = (
        f"{dtype} costs {float(difference.sum()) / float(np.sum(expected)):+.3%} of float32's bits, "
        f"{np.abs(difference).mean():.2g} nats a token either way, {np.abs(difference).max():.2g} at most"
    )
    return result_of(name, measured, _MAX_SHARE, text, "16-bit rounding")
