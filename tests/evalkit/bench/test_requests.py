"""What the benches refuse, in one line and before anything is timed."""

import os
from pathlib import Path

import pytest

from evalkit.bench.machine import processor
from evalkit.bench.shapes import checked_specs
from evalkit.errors import UsageError
from evalkit.models.protocol import LoadOptions
from tests.support.commands import run_cli
from tests.support.rwkv7_files import TINY

TOO_MANY = str((os.cpu_count() or 0) + 1)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("score --models rwkv7-nano,xz", "xz is a compressor"),
        ("score --models rwkv7-nano,nope", "unknown model 'nope'"),
        ("score --models ,", "name at least one model"),
        ("score --corpora ,", "name at least one corpus"),
        ("score --corpora python-stdlib,nope", "unknown corpus 'nope'"),
        ("score --dtype int8", "unknown dtype 'int8'"),
        ("score --device cuda:99", "cuda:99"),
        (f"score --threads {TOO_MANY}", f"--threads {TOO_MANY}: this machine has"),
        ("profile --models rwkv7-nano,nope", "unknown model 'nope'"),
        ("profile --limit 0", "--limit 0 leaves no document"),
        (f"profile --threads 1,{TOO_MANY}", f"--threads {TOO_MANY}: this machine has"),
        (f"compress --threads {TOO_MANY}", f"--threads {TOO_MANY}: this machine has"),
        ("compress --threads 100000000000", "--threads 100000000000: this machine has"),
        ("compress --hostile 3 --json", "--json goes with neither"),
        (f"--threads {TOO_MANY}", f"--threads {TOO_MANY}: this machine has"),
    ],
)
def test_a_bench_refuses_before_anything_is_timed(
    words: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def timed(*_: object, **__: object) -> None:
        raise AssertionError("something was timed")

    for name in (
        "machine.gemm_gflops",
        "score.bench_score",
        "profile.profile_run",
        "compression.bench_compression",
        "whole_model.bench_rwkv7",
    ):
        monkeypatch.setattr(f"evalkit.bench.{name}", timed)
    outcome = run_cli("bench", *words.split())
    assert (outcome.exit_code, outcome.stderr.count("\n")) == (2, 1), outcome
    assert reason in outcome.stderr


def test_a_pattern_is_every_model_that_it_means(tmp_path: Path) -> None:
    for name in ("one.pth", "two.pth"):
        (tmp_path / name).write_bytes(TINY.read_bytes() + name.encode())
    options = LoadOptions(device="cpu")
    specs = checked_specs([f"rwkv7:{tmp_path}/*.pth", "rwkv7-0.1b-shape"], options, compressors=False)
    assert specs == [f"rwkv7:{tmp_path}/one.pth", f"rwkv7:{tmp_path}/two.pth", "rwkv7-0.1b-shape"]
    assert checked_specs(["xz"], options, compressors=True) == ["xz"]
    with pytest.raises(UsageError, match="asked for twice"):
        checked_specs(["xz", "xz"], options, compressors=True)


@pytest.mark.parametrize(
    ("family", "model", "core"),
    [
        (25, 0x11, " (Zen 4)"),
        (25, 1, " (Zen 3)"),
        (25, 0x21, " (Zen 3)"),
        (25, 0x80, ""),
        (26, 2, " (Zen 5)"),
        (26, 0x50, " (Zen 6)"),
        (26, 0x30, ""),
    ],
)
def test_a_processor_is_named_by_family_and_model(tmp_path: Path, family: int, model: int, core: str) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"vendor_id\t: AuthenticAMD\ncpu family\t: {family}\nmodel\t\t: {model}\n")
    assert processor("AMD EPYC", cpuinfo) == f"AMD EPYC, family {family}, model {model}{core}"
    cpuinfo.write_text(cpuinfo.read_text().replace("AuthenticAMD", "GenuineIntel"))
    assert processor("Xeon", cpuinfo) == f"Xeon, family {family}, model {model}"
    assert processor("Apple M4", tmp_path / "none") == "Apple M4"
