"""Several models by a pattern of the catalog's names."""

from pathlib import Path

import pytest

from evalkit.errors import UsageError
from evalkit.models.catalog import load_catalog
from evalkit.models.loading import locate_models
from evalkit.models.name_patterns import find_entries, only_spec
from evalkit.models.protocol import LoadOptions
from evalkit.runner.estimate import estimate
from evalkit.runner.throughput import find_device


def _names(*specs: str) -> list[str]:
    return [entry.name for entry in find_entries(specs, load_catalog())]


def test_a_pattern_gives_the_catalogs_names_in_its_order_and_each_once() -> None:
    catalog = list(load_catalog())
    assert _names("*") == catalog
    assert _names("*", "xz") == [name for name in catalog if name != "xz"] + ["xz"]
    assert _names("ppmd", "rwkv7-g1i-?.?b", "rwkv7-g1i-[12].*", "codec:xz") == (
        ["ppmd", "rwkv7-g1i-1.5b", "rwkv7-g1i-2.9b", "rwkv7-g1i-7.2b", "xz"]
    )
    assert only_spec("z*", load_catalog()) == "zstd"


def test_a_pattern_is_refused_where_nothing_matches_or_one_model_is_needed() -> None:
    with pytest.raises(UsageError, match=r"no model's name matches 'Qwen3-\*'\. Did you mean qwen3-\*\? "):
        _names("xz", "Qwen3-*")
    with pytest.raises(UsageError, match=r"files and folders are written hf:runs/step-\*"):
        _names("runs/step-*")
    with pytest.raises(
        UsageError, match=r"\*-nano matches 3 models, .*: rwkv7-nano, hybrid-nano, llama-nano$"
    ):
        only_spec("*-nano", load_catalog())


def test_of_a_patterns_matches_one_that_cannot_be_had_costs_itself_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = (
        '[models.our-a]\nloader = "hf"\ntarget = "./gone"\n[models.our-b]\nloader = "codec"\ntarget = "xz"\n'
    )
    (tmp_path / "evalkit.toml").write_text(tables)
    monkeypatch.chdir(tmp_path)
    gone, xz = locate_models(["our-*"], LoadOptions())
    assert (gone.identity.name, xz.identity.name, xz.problem) == ("our-a", "our-b", None)
    assert "gone" in str(gone.problem)
    [planned, _] = estimate(["our-*"], ["python-stdlib"], find_device("cpu"), dtype="auto", limit=1)
    assert planned.memory_gb is None and "gone" in str(planned.problem)
