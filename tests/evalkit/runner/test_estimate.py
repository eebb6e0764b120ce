import json
from pathlib import Path

import pytest

from evalkit.runner.throughput import DEVICES, MEASURED, find_device, memory_gb, throughput
from tests.support.toys import run_cli, write_texts


def test_a_speed_is_measured_or_computed_and_says_so() -> None:
    h100 = find_device("h100")
    computed = throughput(h100, 2.9e9)
    assert computed.tokens_per_s == pytest.approx(0.37 * 989e12 / 5.8e9)
    assert not computed.is_measured
    assert "computed" in computed.source
    assert "NVIDIA" in computed.source
    # A mixture of experts that somebody ran with 2 billion active parameters says nothing of a dense model.
    assert not throughput(h100, 2e9).is_measured
    for of in MEASURED:
        assert throughput(find_device(of.device), of.num_parameters * 1.1) == (
            of.tokens_per_s,
            True,
            of.source,
        )
        assert not throughput(find_device(of.device), of.num_parameters * 3).is_measured
    # A mixture of experts on eight of them says nothing of a dense model on one.
    assert throughput(h100, 1.7e9).tokens_per_s > throughput(h100, 2.9e9).tokens_per_s
    # The processor's peak is what its own measurement comes to.
    [cpu] = [of for of in MEASURED if of.device == "cpu"]
    assert DEVICES["cpu"].peak_tflops == pytest.approx(
        2e-12 * cpu.num_parameters * cpu.tokens_per_s, rel=0.01
    )
    assert memory_gb(3e9, "bfloat16") == 8.0


def test_plan_tells_what_a_run_would_take(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts.json", ["x" * 4_000, "y" * 8_000])
    words: list[str | Path] = ["plan", "--models", "rwkv7-2.9b,xz", "--corpora", texts, "--device", "h200"]
    plan = json.loads(run_cli(*words, "--json").stdout)
    model, codec = plan["models"]
    assert (model["num_cells"], model["num_tokens"], model["num_devices"]) == (1, 3_000, 1)
    assert model["hours"] * 3600 * model["speed"]["tokens_per_s"] == pytest.approx(3_000)
    assert (codec["speed"], codec["hours"]) == (None, None)
    limited = json.loads(run_cli(*words, "--limit", "1", "--json").stdout)
    assert limited["models"][0]["num_tokens"] == 1_000
    outcome = run_cli(*words)
    assert "rwkv7-2.9b" in outcome.stdout
    assert " c " in outcome.stdout
    assert "speed: computed: 37% of the peak of NVIDIA, H200 SXM data sheet" in outcome.stdout


def test_bad_requests_are_refused() -> None:
    for words in (
        ["--device", "h1000"],
        ["--models", "rwkv7-2.9bb"],
        ["--models", "no:where"],
        ["--dtype", "int8"],
    ):
        outcome = run_cli("plan", *words)
        assert (outcome.exit_code, outcome.stderr.count("\n")) == (2, 1), outcome
