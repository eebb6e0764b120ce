"""Audits: right models pass, and each fault of an adapter is caught and named."""

import dataclasses
import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evalkit.audit.auditing import audit_model
from evalkit.audit.distribution import check_sum
from evalkit.audit.order import check_carried_state, check_causality, check_company, check_repetition
from evalkit.audit.positions import check_positions
from evalkit.audit.precision import check_precision
from evalkit.audit.prefix import check_prefix_is_right
from evalkit.audit.result import CheckResult, audit_of
from evalkit.audit.states import check_states
from evalkit.audit.subject import SHORT, STANDARD, Subject
from evalkit.audit.texts import nasty_texts, sections
from evalkit.errors import ModelError, ScoringError, UsageError
from evalkit.models.loading import load_model
from evalkit.models.protocol import Encoding
from tests.planted.ports import FAULTS, Port, counted_logits
from tests.support.toys import DistributionBigram, run_cli


def test_texts_are_ten_scripts_and_code() -> None:
    assert [section.name for section in sections()][0::10] == ["latin", "code"]
    assert len({section.name for section in sections()}) == 11
    assert all(2_700 <= len(section.text.encode()) <= 5_000 for section in sections())
    assert len(nasty_texts()) == len(set(nasty_texts())) > 250


@pytest.mark.parametrize(("name", "surprise"), [("rwkv7-nano", 0.4826), ("llama-nano", 0.5094)])
def test_right_models_pass_and_the_result_is_kept(name: str, surprise: float, tmp_path: Path) -> None:
    audit = audit_model(load_model(name), extent="short")
    assert not audit.failures, audit.failures
    results = {check.name: check for check in audit.checks}
    assert results["probabilities sum to 1"].measured < 1e-6
    assert results["the future changes nothing"].measured < 1e-4
    assert results["a text is no surprise"].measured == pytest.approx(surprise, abs=1e-3)
    content = json.loads(json.dumps(audit.to_json()))
    assert audit_of(content) == audit


@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_every_fault_of_an_adapter_is_caught_and_named(fault: str | None) -> None:
    audit = audit_model(Port(counted_logits(), "port", fault), extent="short")
    if fault is None:
        assert audit.passed, audit.failures
    else:
        assert audit.likely_fault == FAULTS[fault], audit.failures


class Recurrent:
    """A model whose state is lost after so many tokens, and grows if it is to."""

    vocab_size = 257
    prefix: tuple[int, ...] = (256,)
    carries_state = True
    tokens_per_batch = 1 << 16

    def __init__(
        self, *, reset: int = 1 << 30, growth: float = 1.0, nats_lost: float = 0.0, fails_after: int = 0
    ) -> None:
        port = Port(counted_logits(), "recurrent")
        self.identity, self.policy_prefixes = port.identity, port.policy_prefixes
        self.context_limit = None
        self.reset, self.growth, self.nats_lost, self.fails_after = reset, growth, nats_lost, fails_after

    def encode(self, text: str) -> Encoding:
        return Port(counted_logits(), "recurrent").encode(text)

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        contexts = contexts or [self.prefix] * len(sequences)
        return [self._costs(context, ids) for context, ids in zip(contexts, sequences, strict=True)]

    def _costs(self, context: Sequence[int], ids: Sequence[int]) -> NDArray[np.float32]:
        places = (np.arange(len(ids)) + len(context)) % self.reset
        costs = np.where(places < 32, 3.0, 2.0).astype(np.float32)
        if not context:
            costs[0] = math.log(257)
        return costs

    def read_on(self, ids: Sequence[int], reading: "Reading | None" = None) -> "Reading":
        num_read = len(ids) + (reading.num_read if reading else 0)
        return Reading(num_read, self.growth)

    def branch_nats(self, reading: "Reading", endings: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        lost = math.nan if reading.num_read == self.fails_after else self.nats_lost
        return [self._costs(range(reading.num_read), ids) + lost for ids in endings]


class Reading:
    def __init__(self, num_read: int, growth: float) -> None:
        import torch

        self.num_read = num_read
        self.wkv = torch.full((2, 1, 1, 4, 4), num_read**growth / 100)


def test_a_state_that_is_lost_is_seen_where_it_is() -> None:
    for reset, place in ((256, 256), (512, 512)):
        cliff, _ = check_positions(Subject(Recurrent(reset=reset), STANDARD))
        assert cliff.outcome == "failed" and cliff.fault == "context is lost"
        near = int(cliff.text.rsplit(" ", 1)[1])
        assert min(abs(near + 32 - place) % place, abs(near - place) % place) <= 64
    assert all(check.outcome == "passed" for check in check_positions(Subject(Recurrent(), STANDARD)))


def test_a_state_that_is_carried_wrongly_or_grows_fails() -> None:
    assert check_carried_state(Subject(Recurrent(), SHORT)).measured == 0
    carried = check_carried_state(Subject(Recurrent(nats_lost=0.01), SHORT))
    assert (carried.outcome, carried.fault) == ("failed", "state is not carried")
    assert carried.measured == pytest.approx(0.01, rel=1e-4)
    for num_read in (2, 17, 40):  # of several pieces one costs no number, which may not be passed over
        assert check_carried_state(Subject(Recurrent(fails_after=num_read), SHORT)).outcome == "failed"
    lost_states, _ = check_states(Subject(Recurrent(growth=math.inf), SHORT))
    assert (lost_states.outcome, lost_states.fault) == ("failed", "state grows")
    linear, norms = check_states(Subject(Recurrent(), SHORT))
    assert linear.outcome == "passed" and linear.measured == pytest.approx(2, rel=0.01)
    assert norms.num_tokens == (64, 128, 256)
    assert norms.norms[-1] == pytest.approx((2.56, 2.56), rel=0.02)
    assert check_states(Subject(Recurrent(growth=1.5), SHORT))[0].fault == "state grows"


def test_sums_are_taken_of_all_tokens_or_of_the_likeliest_and_some_others() -> None:
    """Both ways to the sum: a vocabulary of 257 one by one, and one beyond 4,096 by its logits."""
    model = DistributionBigram()
    assert check_sum(Subject(model, SHORT)).measured < 1e-6

    class Large(DistributionBigram):
        vocab_size = 5000

        def logits(self, head_inputs):  # type: ignore[no-untyped-def]
            import torch

            return torch.nn.functional.pad(super().logits(head_inputs), (0, 5000 - 257), value=-60.0)

        def nats(self, sequences, *, contexts=None):  # type: ignore[no-untyped-def]
            rows = [[min(token, 256) for token in row] for row in sequences]
            costs = super().nats(rows, contexts=contexts)
            return [
                np.where(np.array(row) > 256, 60.0, cost) - self.excess
                for row, cost in zip(sequences, costs, strict=True)
            ]

        excess = 0.0

    assert check_sum(Subject(Large(), SHORT)).measured < 1e-5
    scaled = Large()
    scaled.excess = math.log(1.02)
    result = check_sum(Subject(scaled, SHORT))
    assert result.measured == pytest.approx(0.02, rel=1e-3) and result.fault == "scaled distribution"


class WantsNothing(Port):
    """A model that was trained without the start that it is given: it is worse for some tokens after it."""

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        contexts = contexts or [self.prefix] * len(sequences)
        costs = super().nats(sequences, contexts=contexts)
        return [cost + len(context) for cost, context in zip(costs, contexts, strict=True)]


def test_a_prefix_that_the_model_does_not_want_is_told() -> None:
    right = check_prefix_is_right(Subject(Port(counted_logits(), "port"), STANDARD))
    assert right.outcome == "passed"
    wrong = check_prefix_is_right(Subject(WantsNothing(counted_logits(), "port"), STANDARD))
    assert (wrong.outcome, wrong.fault) == ("failed", "prefix doubled")


class DislikesSome(WantsNothing):
    """It is as much worse after its start, in sum, but in three of the eleven texts alone."""

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        contexts = contexts or [self.prefix] * len(sequences)
        costs = Port.nats(self, sequences, contexts=contexts)
        sizes = [11 / 3 * len(context) * (place % 4 == 0) for place, context in enumerate(contexts)]
        return [cost + np.float32(size) for cost, size in zip(costs, sizes, strict=True)]


def test_texts_that_begin_unlike_what_a_model_knows_are_no_fault() -> None:
    """What another prefix saves has to be more than what texts differ by."""
    result = check_prefix_is_right(Subject(DislikesSome(counted_logits(), "port"), STANDARD))
    match = re.search(r"without it -(\d+\.\d+)%", result.text)
    assert match is not None and float(match[1]) > 5
    assert result.outcome == "passed"


def test_precision_is_measured_beside_float32() -> None:
    model = Port(counted_logits(), "port")
    coarse = Port(lambda ids: counted_logits()(ids).mul(0.5), "port")
    result = check_precision(Subject(coarse, SHORT), model)
    assert result.outcome == "failed" and result.measured > 0.01
    assert check_precision(Subject(model, SHORT), model).measured == 0
    model.identity = dataclasses.replace(model.identity, dtype="bfloat16")
    assert check_precision(Subject(model, SHORT), None).text == "there is no float32 of it"


def test_what_has_no_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no tokens to audit"):
        audit_model(object())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="known: short, standard, long"):
        audit_model(Port(counted_logits(), "port"), extent="endless")
    outcome = run_cli("audit", "xz", "--output", tmp_path)
    assert outcome.exit_code == 2 and "compressor" in outcome.stderr


class Changing(Port):
    """A port some of whose costs are no numbers in one of its readings, or that raises something there."""

    def __init__(self, num_good: int, raises: Exception | None = None) -> None:
        super().__init__(counted_logits(), "changing")
        self.num_good, self.raises = num_good, raises

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        self.num_good -= 1
        if self.num_good == -1:
            if self.raises:
                raise self.raises
            return [np.full(len(ids), np.nan, np.float32) for ids in sequences]
        return super().nats(sequences, contexts=contexts)


@pytest.mark.parametrize(
    ("check", "num_good"),
    [(check_causality, 0), (check_causality, 2), (check_company, 4), (check_repetition, 2)],
)
def test_a_cost_that_is_no_number_is_not_passed_over(
    check: Callable[[Subject], CheckResult], num_good: int
) -> None:
    result = check(Subject(Changing(num_good), SHORT))
    assert (result.outcome, result.measured) == ("failed", None)


def test_what_a_model_raises_is_told_in_a_line() -> None:
    for num_good in (0, 40):
        with pytest.raises(ModelError, match=r"^changing cannot be audited: it raises ZeroDivisionError"):
            audit_model(Changing(num_good, ZeroDivisionError("mine")), extent="short")
    with pytest.raises(ScoringError, match="a context of 12 tokens is too short for an audit"):
        audit_model(Port(counted_logits(), "port", context_limit=12), extent="short")
