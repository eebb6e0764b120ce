"""Training runs: paired changes between checkpoints, and laws through their levels."""

import math
from pathlib import Path

import numpy as np
import pytest

from evalkit.analysis.compare import compare_cells
from evalkit.analysis.curve_fits import fit
from evalkit.analysis.curves import CurveOptions, curves
from evalkit.analysis.results import read_results
from evalkit.analysis.training_runs import training_runs
from evalkit.cells.schema import CorpusCell
from evalkit.errors import UsageError
from tests.support.training_runs import corpus_of_lengths, write_checkpoint

STEPS = (0, 100, 200, 400, 800, 1600)


def level(step: int) -> float:
    return 1.5 + 4.0 * max(step, 1) ** -0.25


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[tuple[str, int], CorpusCell]]:
    """Two runs on documents of very different difficulty, which both runs and all checkpoints share."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    num_bytes = rng.integers(200, 2000, 30)
    corpus = corpus_of_lengths(num_bytes)
    difficulty = rng.uniform(0.5, 1.5, 30)
    written = {}
    for run, gap in (("a", 0.0), ("b", 0.02)):
        for step in STEPS:
            noise = 0.01 * rng.standard_normal(30)
            bits = num_bytes * (level(step) * difficulty + gap + noise)
            details = {} if run == "b" else {"tokens_seen": 1000 * step, "training_flops": 6e9 * step}
            written[run, step] = write_checkpoint(folder, run, step, corpus, bits, **details)
    return folder, written


def test_changes_are_paired_between_checkpoints(
    cells: tuple[Path, dict[tuple[str, int], CorpusCell]],
) -> None:
    folder, written = cells
    results = read_results(folder, warn=lambda line: pytest.fail(line))
    drawn = curves(results)
    assert [(curve.run.name, curve.subject) for curve in drawn] == [("a", "val"), ("b", "val")]
    for curve in drawn:
        assert [point.checkpoint.step for point in curve.points] == list(STEPS)
        for before, point in zip(curve.points[:-1], curve.points[1:], strict=True):
            # `evalkit compare` resamples the differences themselves.
            cell = written[curve.run.name, point.checkpoint.step]
            comparison = compare_cells(cell, written[curve.run.name, before.checkpoint.step])
            assert point.level.value == pytest.approx(cell.bits_per_byte, abs=1e-6)
            assert point.change is not None and comparison.interval is not None
            assert point.change.value == pytest.approx(comparison.difference, abs=1e-6)
            assert point.change.low == pytest.approx(comparison.interval.low, abs=1e-6)
            assert point.change.high == pytest.approx(comparison.interval.high, abs=1e-6)
        # The last two are 0.12 apart and documents' difficulty moves levels by more: paired, it is clear.
        last, gap = curve.points[-1].level.half_width, curve.points[-1].change
        assert last is not None and gap is not None and gap.half_width is not None
        assert last > abs(gap.value) > 5 * gap.half_width


def test_a_run_stands_along_steps_tokens_or_flops(
    cells: tuple[Path, dict[tuple[str, int], CorpusCell]],
) -> None:
    results = read_results(cells[0], warn=lambda line: pytest.fail(line))
    [curve] = curves(results, CurveOptions(runs=["a"], axis="tokens"))
    assert [point.x for point in curve.points] == [1000.0 * step for step in STEPS]
    [curve] = curves(results, CurveOptions(runs=["a"], axis="flops"))
    assert [point.x for point in curve.points] == [6e9 * step for step in STEPS]
    [curve] = curves(results, CurveOptions(runs=["b"], axis="tokens", tokens_per_step=512))
    assert [point.x for point in curve.points] == [512.0 * step for step in STEPS]
    for options, message in (
        (CurveOptions(axis="tokens"), "run b: nothing says how many tokens .*--tokens-per-step"),
        (CurveOptions(axis="flops", runs=["b"], tokens_per_step=1), "how many parameters"),
        (CurveOptions(axis="epochs"), "unknown axis 'epochs'"),
        (CurveOptions(runs=["c"]), "unknown run 'c'"),
        (CurveOptions(corpora=["vall"]), "unknown corpus 'vall'"),
        (CurveOptions(fit="cubic"), "unknown fit 'cubic'"),
        (CurveOptions(fit_from=-1), "--fit-from -1"),
        (CurveOptions(fit_from=math.nan), "--fit-from nan"),
        (CurveOptions(fit_from=math.inf), "--fit-from inf"),
        (CurveOptions(policy="lm-eval"), "no cell under the policy lm-eval is of a checkpoint"),
    ):
        with pytest.raises(UsageError, match=message):
            curves(results, options)


def test_runs_of_older_cells_go_by_their_names(tmp_path: Path) -> None:
    corpus = corpus_of_lengths(np.full(6, 100))
    for run, step in (("a", 2), ("a", 10), ("b", 10)):
        write_checkpoint(tmp_path, run, step, corpus, np.full(6, 100.0), is_old=True)
    runs = training_runs(read_results(tmp_path, warn=lambda line: pytest.fail(line)), "document")
    assert [(run.name, [each.step for each in run.checkpoints]) for run in runs] == [
        ("a", [2, 10]),
        ("b", [10]),
    ]


def test_a_law_is_found_again_and_its_interval_holds_it() -> None:
    xs = np.geomspace(1e6, 1e9, 12)
    truth = 0.7 + 60.0 * xs**-0.3
    [power] = [fit("auto", xs, truth[:, None], 30)]
    assert power is not None and power.kind == "power"
    found = {name: value.value for name, value in power.parameters.items()}
    assert found == pytest.approx({"floor": 0.7, "scale": 60.0, "exponent": 0.3}, rel=2e-3)
    assert power.at(1e10).value == pytest.approx(0.7 + 60.0 * 1e10**-0.3, abs=1e-4)
    logarithm = fit("log", xs, (3.0 - 0.1 * np.log(xs))[:, None], 30)
    assert logarithm is not None
    assert logarithm.parameters["slope"].value == pytest.approx(-0.1)
    assert fit("power", xs[:4], truth[:4, None], 30) is None
    assert fit("auto", np.array([0.0, 1.0, 2.0]), np.ones((3, 1)), 30) is None  # 0 is on no law
    # Points off the law, and corpora that move all points together: the law's value a factor of 3 further on.
    rng = np.random.default_rng(1)
    num_held = 0
    for _ in range(60):
        corpus = 0.03 * rng.standard_normal()
        levels = truth + corpus + 0.01 * rng.standard_normal(12)
        resamples = levels[:, None] + 0.03 * rng.standard_normal(400)
        law = fit("power", xs, np.column_stack((levels, resamples)), 1000)
        assert law is not None
        value = law.at(3e9)
        assert value.low is not None and value.high is not None
        num_held += value.low <= 0.7 + 60.0 * 3e9**-0.3 <= value.high
    assert 53 <= num_held <= 60  # 95 % of 60 are 57; 53 or fewer come in 2 of 100 cases
