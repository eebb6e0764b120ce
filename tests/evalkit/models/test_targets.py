"""Several models by one name: patterns of paths, adapters, and what results call them."""

import json
import re
from pathlib import Path

import pytest

from evalkit.errors import ModelError, UsageError
from evalkit.models.catalog import load_catalog, resolve_spec
from evalkit.models.loading import locate_models
from evalkit.models.protocol import LoadOptions
from evalkit.models.targets import expand_spec, short_names, split_adapter
from tests.support.rwkv7_files import random_tensors, save_fla_folder
from tests.support.tiny_models import as_fast, byte_level_tokenizer, random_model, save_checkpoint


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for run in ("a", "b"):
        for step in (900, 1000, 20):
            (tmp_path / "runs" / run / f"step-{step}").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "step-1000.log").touch()
    for name in ("9.pth", "10.pth", "10.txt"):
        (tmp_path / "runs" / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("hf:runs/a/step-*", ["hf:runs/a/step-20", "hf:runs/a/step-900", "hf:runs/a/step-1000"]),
        ("hf:~/runs/b/step-?00", ["hf:{home}/runs/b/step-900"]),
        ("hf:runs/*/step-20", ["hf:runs/a/step-20", "hf:runs/b/step-20"]),
        ("rwkv7:runs/*.pth", ["rwkv7:runs/9.pth", "rwkv7:runs/10.pth"]),
        ("rwkv7:runs/[0-9]*", ["rwkv7:runs/9.pth", "rwkv7:runs/10.pth"]),
        (
            "hf:owner/base@v1+runs/a/step-?0*",
            [
                "hf:owner/base@v1+runs/a/step-20",
                "hf:owner/base@v1+runs/a/step-900",
                "hf:owner/base@v1+runs/a/step-1000",
            ],
        ),
        ("hf:runs/a/step-20", ["hf:runs/a/step-20"]),
        ("hf:owner/name", ["hf:owner/name"]),
        ("toy:what*ever", ["toy:what*ever"]),
        ("xz", ["xz"]),
    ],
)
def test_patterns_stand_for_what_is_here_in_natural_order(spec: str, expected: list[str], runs: Path) -> None:
    assert expand_spec(spec) == [name.format(home=runs) for name in expected]


def test_a_pattern_that_nothing_matches_is_refused(runs: Path) -> None:
    for spec in ("hf:runs/a/stepp-*", "hf:runs/*.pth", "rwkv7:runs/*.txt"):
        with pytest.raises(ModelError, match=f"^{re.escape(spec)}: no folder.* here matches runs/"):
            expand_spec(spec)
    with pytest.raises(ModelError, match=r"no folder here matches"):
        locate_models(["hf:runs/a/stepp-*", "xz"], LoadOptions())


@pytest.mark.parametrize("spec", ["rwkv7:runs/a/rwkv-final.pth", "rwkv7:runs/a/deeper/rwkv-final.pth"])
def test_a_file_that_a_folder_here_lacks_is_not_looked_for_on_the_hub(spec: str, runs: Path) -> None:
    missing = re.escape(str(runs / spec.removeprefix("rwkv7:")))
    with pytest.raises(ModelError, match=rf"there is no file or folder {missing}"):
        locate_models([resolve_spec(spec, {})], LoadOptions())


def test_a_folder_whose_name_looks_like_a_pattern_is_itself(runs: Path) -> None:
    (runs / "step-[20]").mkdir()
    assert expand_spec("hf:step-[20]") == ["hf:step-[20]"]


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("owner/base+owner/adapter", ("owner/base", "owner/adapter")),
        ("owner/base@v1+owner/adapter@v2", ("owner/base@v1", "owner/adapter@v2")),
        ("runs/a+owner/adapter", ("runs/a", "owner/adapter")),
        ("owner/base+runs/b/step-20", ("owner/base", "runs/b/step-20")),
        ("c++/model", ("c++/model", None)),
        ("c++/model+runs/a", ("c++/model", "runs/a")),
        ("owner/base", ("owner/base", None)),
        ("nothing+here", ("nothing", "here")),
    ],
)
def test_where_a_model_ends_and_its_adapter_begins(
    target: str, parts: tuple[str, str | None], runs: Path
) -> None:
    (runs / "c++" / "model").mkdir(parents=True)
    assert split_adapter(target, runs) == parts


def test_an_adapter_of_a_spec(runs: Path) -> None:
    catalog = load_catalog()
    entry = resolve_spec("hf:owner/base@v1+runs/a/step-20", catalog)
    assert (entry.target, entry.revision) == ("owner/base", "v1")
    assert entry.adapter_path == runs / "runs" / "a" / "step-20"
    entry = resolve_spec("hf:runs/a/step-20+owner/adapter@v2", catalog)
    assert (entry.local_path, entry.adapter) == (runs / "runs" / "a" / "step-20", "owner/adapter@v2")
    with pytest.raises(UsageError, match=r"the adapter 'what' is neither a folder here nor a hub repository"):
        resolve_spec("hf:runs/a+what", catalog)
    with pytest.raises(ModelError, match=r"there is no file or folder .*/absent"):
        resolve_spec("hf:owner/base+./absent", catalog)
    with pytest.raises(UsageError, match=r"'hub:runs' .*'runs' is neither|'hub:runs': 'runs' is neither"):
        resolve_spec("hub:runs", catalog)


def test_what_training_runs_name_alike_is_told_apart() -> None:
    root = Path("/x")
    paths = [
        root / "runs" / "a" / "step-1000",
        root / "runs" / "b" / "step-1000",
        root / "old" / "b" / "step-1000",
        root / "model",
        None,
        root / "b" / "rwkv.pth",
        root / "c" / "rwkv.pth",
        root / "c" / "checkpoint-7",
    ]
    assert short_names(paths) == [
        "a/step-1000",
        "runs/b/step-1000",
        "old/b/step-1000",
        "model",
        None,
        "b/rwkv.pth",
        "c/rwkv.pth",
        "c/checkpoint-7",
    ]
    assert short_names(paths[:1]) == ["a/step-1000"]  # also by itself: its results stay its own
    assert short_names([root / "m", root / "m"]) == ["m", "m"]  # the same model twice


def test_checkpoints_of_two_runs_have_names_and_sizes(tmp_path: Path) -> None:
    tokenizer = byte_level_tokenizer()
    for number, run in enumerate(("a", "b")):
        model = random_model("llama", tokenizer.get_vocab_size(), seed=number)
        save_checkpoint(tmp_path / run / "step-1000", model, as_fast(tokenizer))
    save_fla_folder(tmp_path / "c" / "step-5", random_tensors(vocab_size=257, num_channels=64, num_layers=1))
    located = locate_models(
        [f"hf:{tmp_path}/[ab]/step-*", f"rwkv7:{tmp_path}/c/step-5"], LoadOptions(device="cpu")
    )
    names = [model.identity.name for model in located]
    assert names == ["hf:a/step-1000", "hf:b/step-1000", "rwkv7:c/step-5"]
    sizes = [model.identity.details["num_parameters"] for model in located]
    assert sizes[0] == sizes[1] == model_size(tmp_path / "a" / "step-1000")
    assert all(size for size in sizes)


def model_size(folder: Path) -> int:
    """From the shapes in the safetensors header, read here by hand."""
    data = (folder / "model.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    total = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            product = 1
            for size in tensor["shape"]:
                product *= size
            total += product
    return total


@pytest.mark.parametrize("name", ["a" * 300, "[" * 300, "~nosuch-user", "~nosuch-user/x"])
@pytest.mark.parametrize(
    "form", ["hf:{}", "hf:./{}", "hf:{}/b", "hf:{}+b", "hf:{}*", "rwkv7:{}.pth", "gguf:{}"]
)
def test_a_name_that_no_file_can_have_is_refused_in_one_line(form: str, name: str, runs: Path) -> None:
    spec = form.format(name)
    with pytest.raises((ModelError, UsageError)) as refused:
        locate_models([resolve_spec(part, {}) for part in expand_spec(spec)], LoadOptions())
    assert name in str(refused.value) and "\n" not in str(refused.value)


def test_a_file_of_models_may_name_what_cannot_be_a_file(runs: Path) -> None:
    catalog = runs / "models.toml"
    catalog.write_text(f'[models.far]\nloader = "hf"\ntarget = "{"[" * 300}"\n')
    with pytest.raises(UsageError, match=re.escape(str(catalog))):
        load_catalog(catalog)
