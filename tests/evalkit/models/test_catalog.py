import dataclasses
import importlib.resources
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from evalkit.errors import EvalkitError, ModelError, UsageError
from evalkit.models import catalog as catalog_module
from evalkit.models.catalog import CatalogEntry, load_catalog, resolve_spec
from evalkit.models.hf import model as hf
from evalkit.models.installed_architectures import architecture_problem
from evalkit.models.protocol import LoadOptions
from tests.support.architectures import random_model
from tests.support.tiny_models import TEXTS, as_fast, byte_level_tokenizer, save_checkpoint
from tests.support.tiny_models import entry as tiny_entry
from tests.support.toys import run_cli

CATALOG = load_catalog()

# layers, width, ranks of the decay, in-context rate, value and gate LoRAs
RWKV7_SHAPES = {
    "0.1b": (12, 768, (64, 64, 32, 128)),
    "0.4b": (24, 1024, (64, 64, 32, 128)),
    "1.5b": (24, 2048, (96, 96, 64, 256)),
    "2.9b": (32, 2560, (96, 96, 64, 320)),
    "7.2b": (32, 4096, (128, 128, 96, 480)),
    "13.3b": (61, 4096, (192, 192, 128, 384)),
}


PILE_SIZES = {"168m": "0.1b", "1.47b": "1.5b"}
"""Of the same shapes but for the vocabulary."""


def rwkv7_entries() -> list[CatalogEntry]:
    return [entry for entry in CATALOG.values() if entry.loader == "rwkv7" and not entry.local_path]


def write_config(text: str, path: Path = Path("evalkit.toml")) -> Path:
    path.write_text(text, encoding="utf-8")
    return path.absolute()


# --- the built-in models


def test_the_catalog_is_package_data() -> None:
    assert importlib.resources.files("evalkit.models").joinpath("models.toml").is_file()
    assert len(CATALOG) >= 45


def mistakes(checks: Mapping[str, object]) -> list[str]:
    return [name for name, holds in checks.items() if not holds]


def offenders(check: Callable[[CatalogEntry], Mapping[str, object]]) -> dict[str, list[str]]:
    """Every entry of which something does not hold, with what that is."""
    return {name: wrong for name, entry in CATALOG.items() if (wrong := mistakes(check(entry)))}


def test_every_entry_says_what_where_when_and_under_which_license() -> None:
    def check(entry: CatalogEntry) -> dict[str, object]:
        unconfirmed = set((entry.unconfirmed or "").split())
        checks: dict[str, object] = {
            "loader": entry.loader in ("rwkv7", "hf", "gguf", "codec"),
            "target": entry.target,
            "license": entry.license or "license" in unconfirmed,
            "source": entry.source and (entry.local_path or entry.source.startswith("https://")),
            "released": entry.released or "released" in unconfirmed,
            "keys that are unconfirmed": unconfirmed <= vars(entry).keys(),
            "evidence": all(place.startswith("http") for place in (entry.evidence or "").split()),
            "architecture": (entry.model_type is not None) == (entry.loader == "hf"),
            "prefix": entry.prefix is None or re.fullmatch(r"bos|eos|none|token:\d+", entry.prefix),
            "source of the cutoff": (entry.knowledge_cutoff is None) == (entry.cutoff_source is None),
            "found by its name": resolve_spec(entry.name, CATALOG) is entry,
        }
        if entry.local_path:
            return checks | {"file": entry.local_path.exists(), "parameters": entry.num_parameters}
        if entry.loader == "codec":
            return checks
        if entry.loader == "gguf":
            package = entry.target.replace("_", "-")
            return checks | {"package": entry.source == f"https://pypi.org/project/{package}/"}
        return checks | {
            "repository": re.fullmatch(r"[\w.-]+/[\w.-]+", entry.target),
            "parameters": (entry.num_parameters is None) == ("num_parameters" in unconfirmed),
            "the repository is the source": entry.source == f"https://huggingface.co/{entry.target}",
        }

    assert not offenders(check)


def test_training_data_ends_before_the_release() -> None:
    def check(entry: CatalogEntry) -> dict[str, object]:
        cutoff, released = entry.knowledge_cutoff, entry.released
        return {"cutoff": not cutoff or (released and cutoff <= released)}

    assert not offenders(check)


def num_numbers(path: Path) -> int:
    with safe_open(path / "model.safetensors" if path.is_dir() else path, "pt") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


def test_parameters_are_what_the_name_the_file_or_the_shapes_say() -> None:
    def check(entry: CatalogEntry) -> dict[str, object]:
        size = re.search(r"-e?([\d.]+)([mb])(?:-a4b|-instruct-q4_1)?$", entry.name)
        if entry.local_path:
            return {"numbers in the file": entry.num_parameters == num_numbers(entry.local_path)}
        if entry.loader == "codec":
            return {"none": size is None and entry.num_parameters is None}
        if size is None:
            return {"a size in the name": False}
        if entry.num_parameters is None:
            return {"not confirmed": "num_parameters" in (entry.unconfirmed or "").split()}
        rounded = float(size[1]) * {"m": 1e6, "b": 1e9}[size[2]]
        # Makers round generously: RWKV's "0.1B" has 191 M, OLMo's "1B" 1.48 B.
        slack = 1.0 if size[0] == "-0.1b" else 0.5
        checks: dict[str, object] = {"the name's": entry.num_parameters == pytest.approx(rounded, rel=slack)}
        return checks | (rwkv7_checks(entry) if entry.loader == "rwkv7" else {})

    assert not offenders(check)


def rwkv7_checks(entry: CatalogEntry) -> dict[str, object]:
    """What follows from a size's shapes, and from the name of the file that its makers publish."""
    size = entry.name.rsplit("-", 1)[1]
    is_pile = "pile" in entry.name
    num_layers, width, ranks = RWKV7_SHAPES[PILE_SIZES.get(size, size)]
    vocab_size = 50304 if is_pile else 65536
    per_layer = 19 * width + 12 * width**2 + 2 * width * sum(ranks)
    file, released = entry.file or "", entry.released or "unknown"
    return {
        "the shapes'": entry.num_parameters == 2 * vocab_size * width + 4 * width + num_layers * per_layer,
        "size in the file's name": f"-{size}-" in file.lower(),
        "date in the file's name": released.replace("-", "") in file,
        "prefix": entry.prefix == "token:0",
        "tokenizer": (entry.tokenizer is not None) == is_pile,
        "no context limit": entry.context_limit is None,
    }


def test_rwkv7_sizes_are_all_there() -> None:
    names = {entry.name for entry in rwkv7_entries()}
    assert {"rwkv7-0.1b", "rwkv7-0.4b", "rwkv7-1.5b", "rwkv7-2.9b"} <= names
    g1_sizes = [name.rsplit("-", 1)[1] for name in names if re.match(r"rwkv7-g", name)]
    larger = list(RWKV7_SHAPES)[2:]
    # The first generation, G1d or G1i, G1j and G1k.
    assert sorted(g1_sizes) == sorted([*RWKV7_SHAPES] * 2 + larger * 2)


@pytest.mark.parametrize(
    ("name", "num_parameters"),
    [
        ("qwen2.5-3b", 3_085_938_688),
        ("qwen3-0.6b", 596_049_920),
        ("llama-3.1-8b", 8_030_261_248),
        ("smollm3-3b", 3_075_098_624),
        ("gemma-3-270m", 268_098_176),
        ("olmo2-7b", 7_298_617_344),
    ],
)
def test_published_parameter_counts(name: str, num_parameters: int) -> None:
    assert CATALOG[name].num_parameters == num_parameters


def hf_entries() -> list[CatalogEntry]:
    return [entry for entry in CATALOG.values() if entry.loader == "hf"]


def test_transformers_knows_every_architecture_of_the_catalog() -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    for entry in hf_entries():
        assert entry.model_type in CONFIG_MAPPING_NAMES, entry.name
        assert architecture_problem(entry.model_type) is None, entry.name


@pytest.mark.parametrize("model_type", sorted({str(entry.model_type) for entry in hf_entries()}))
def test_a_tiny_checkpoint_of_every_architecture_of_the_catalog_loads(
    model_type: str, tmp_path: Path
) -> None:
    fast = as_fast(byte_level_tokenizer())
    folder = save_checkpoint(tmp_path / "tiny", random_model(model_type, len(fast)), fast)
    assert json.loads((folder / "config.json").read_text())["model_type"] == model_type
    model = hf.load(
        tiny_entry(folder, model_type=model_type, context_limit=64), LoadOptions("cpu", "float32")
    )
    nats = model.nats([model.encode(TEXTS[0]).ids.tolist()])[0]
    assert np.isfinite(nats).all() and nats.std() > 0.1


def test_an_architecture_that_transformers_lacks_is_refused_and_not_listed() -> None:
    write_config('[models.later]\nloader = "hf"\ntarget = "a/later"\nmodel_type = "qwen9"\n')
    problem = r"transformers [\d.]+ has no architecture 'qwen9': install a version that has"
    with pytest.raises(ModelError, match=f"model later: {problem}"):
        resolve_spec("later", load_catalog())
    lines = run_cli("models", "list").stdout.splitlines()
    assert not [line for line in lines if line.startswith("later")]
    assert re.search(f"^cannot be scored here: later: {problem}$", "\n".join(lines), re.MULTILINE)
    rows = {row["name"]: row["problem"] for row in json.loads(run_cli("models", "list", "--json").stdout)}
    assert re.fullmatch(problem, rows.pop("later")) and set(rows.values()) == {None}
    write_config(
        '[models.own]\nloader = "hf"\ntarget = "a/own"\nmodel_type = "own"\ntrust_remote_code = true\n'
    )
    assert resolve_spec("own", load_catalog()).target == "a/own"


def test_a_list_says_where_no_cutoff_is_stated_and_where_none_was_read() -> None:
    lines = {line.split()[0]: line for line in run_cli("models", "list").stdout.splitlines() if line}
    assert "not stated  " in lines["qwen3-8b"]
    assert "not stated ?" in lines["olmo3-7b"]
    assert "2023-12" in lines["llama-3.1-8b"] and "?" not in lines["llama-3.1-8b"]
    assert "not stated" not in lines["xz"]
    shown = run_cli("models", "show", "olmo3-7b").stdout
    assert re.search(r"^unconfirmed: +num_parameters knowledge_cutoff$", shown, re.MULTILINE)
    assert re.search(r"^evidence: +https://", shown, re.MULTILINE)


# --- the user's file


def test_a_users_file_adds_and_replaces() -> None:
    write_config(
        """
        [models."my-model-1.5b"]
        loader = "rwkv7"
        target = "checkpoints/my.pth"
        released = 2026-03-01
        prefix = "token:0"

        [models.my-zstd]
        loader = "hf"
        target = "me/zstd"
        tokenizer = "./tok"
        """
    )
    catalog = load_catalog()
    mine = catalog["my-model-1.5b"]
    assert mine.target == str(Path("checkpoints/my.pth").absolute())
    assert mine.local_path == Path("checkpoints/my.pth").absolute()
    assert mine.released == "2026-03-01"
    assert catalog["my-zstd"] == CatalogEntry(
        name="my-zstd", loader="hf", target="me/zstd", tokenizer=str(Path("tok").absolute())
    )
    assert {name: catalog[name] for name in CATALOG} == CATALOG


@pytest.mark.parametrize("name", ["xz", "XZ", "ｘｚ", "rwkv7-nano", "RWKV7-2.9b"])
def test_a_built_in_name_means_what_evalkit_says(name: str) -> None:
    write_config(f'[models."{name}"]\nloader = "hf"\ntarget = "./evil"\n')
    with pytest.raises(UsageError, match=r"evalkit\.toml, model .* is a model of evalkit's") as caught:
        load_catalog()
    assert "give yours another name" in str(caught.value)


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "weights" / "a").mkdir(parents=True)
    config = write_config('[models.a]\nloader = "hf"\ntarget = "weights/a"\n', tmp_path / "x.toml")
    assert load_catalog(config)["a"].local_path == tmp_path / "weights" / "a"
    # The same text elsewhere is a repository, because nothing of that name lies there.
    config = write_config('[models.a]\nloader = "hf"\ntarget = "weights/a"\n')
    assert load_catalog(config)["a"].target == "weights/a"


def test_where_the_users_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_catalog() == CATALOG
    entry = '[models.{}]\nloader = "codec"\ntarget = "xz"\n'
    write_config(entry.format("cwd"))
    by_variable = write_config(entry.format("variable"), tmp_path / "variable.toml")
    by_argument = write_config(entry.format("argument"), tmp_path / "argument.toml")
    assert "cwd" in load_catalog()
    monkeypatch.setenv("EVALKIT_CONFIG", str(by_variable))
    assert "variable" in load_catalog()
    assert "cwd" not in load_catalog()
    assert "argument" in load_catalog(by_argument)
    monkeypatch.setenv("EVALKIT_CONFIG", str(tmp_path / "absent.toml"))
    with pytest.raises(UsageError, match=r"cannot read .*absent\.toml"):
        load_catalog()


LOADS = 'loader = "hf"\ntarget = "a/b"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models = [", "is not TOML"),
        ("models = 3", "models must be tables"),
        ("[model.m]\n" + LOADS, "unknown table 'model'. Did you mean models?"),
        ("[models]\nm = 3", "model m: must be a table"),
        ("[models.'a:b']\n" + LOADS, "model 'a:b': a name must not"),
        ("[models.'a, b']\n" + LOADS, "model 'a, b': a name must not"),
        ("[models.' a']\n" + LOADS, "model ' a': a name must not"),
        ('[models."a\\nb"]\n' + LOADS, r"model 'a\nb': a name must not"),
        ("[models.m]\ncontext_limit = 3\n" + LOADS, "model m: context_limit 3 is too small; give 4 or more"),
        ("[models.m]\nfile = 'x'\n" + LOADS, "model m: file means nothing to the loader hf; leave it out"),
        (
            "[models.m]\nloader = 'codec'\ntarget = 'xz'\nprefix = 'bos'\n",
            "model m: prefix means nothing to the loader codec; leave it out",
        ),
        (
            "[models.m]\nloader = 'rwkv7'\ntarget = 'a/b'\ntrust_remote_code = true\n",
            "model m: trust_remote_code means nothing to the loader rwkv7; leave it out",
        ),
        ("[models.m]\ntarget = 'a/b'", "model m: loader is missing"),
        ("[models.m]\nloader = 'hf'", "model m: target is missing"),
        ("[models.m]\nlicence = 'MIT'\n" + LOADS, "model m: unknown key 'licence'. Did you mean license"),
        ("[models.m-1.5b]\n" + LOADS, 'A name with a dot needs quotes: [models."m-1.5b"]'),
        ("[models.m]\nname = 'x'\n" + LOADS, "model m: unknown key 'name'"),
        ("[models.m]\nloader = 'fh'\ntarget = 'a/b'", "model m: unknown loader 'fh'. Did you mean hf?"),
        ("[models.m]\nloader = 'hf'\ntarget = 'b'", "model m: target must be a path or a hub repository"),
        ("[models.m]\nloader = 'hf'\ntarget = 3", "model m: target must be text, not 3"),
        ("[models.m]\nloader = 'hf'\ntarget = ''", "model m: target must not be ''"),
        ("[models.m]\nrevision = true\n" + LOADS, "model m: revision must be text, not True"),
        ("[models.m]\nrevision = 2026-01-01\n" + LOADS, "model m: revision must be text"),
        ("[models.m]\nnum_parameters = 1.5\n" + LOADS, "model m: num_parameters must be a whole number"),
        ("[models.m]\nnum_parameters = true\n" + LOADS, "model m: num_parameters must be a whole number"),
        ("[models.m]\ncontext_limit = 0\n" + LOADS, "model m: context_limit must not be 0"),
        ("[models.m]\ntrust_remote_code = 1\n" + LOADS, "model m: trust_remote_code must be true or false"),
        ("[models.m]\nprefix = 'token:x'\n" + LOADS, "model m: prefix must be bos, eos, none or token:ID"),
        ("[models.m]\nprefix = 'BOS'\n" + LOADS, "model m: prefix must be bos, eos, none or token:ID"),
        ("[models.m]\nreleased = 'May 2026'\n" + LOADS, "model m: released must be YYYY, YYYY-MM or"),
        ("[models.m]\nknowledge_cutoff = '2026-13'\n" + LOADS, "model m: knowledge_cutoff must be YYYY"),
    ],
)
def test_a_bad_file_is_refused_in_one_line_that_names_it(text: str, said: str) -> None:
    write_config(text)
    with pytest.raises(UsageError) as caught:
        load_catalog()
    message = str(caught.value)
    assert "\n" not in message
    assert "evalkit.toml" in message
    assert said in message


def test_a_file_that_is_not_utf_8_is_refused() -> None:
    Path("evalkit.toml").write_bytes(b'x = "\xff"')
    with pytest.raises(UsageError, match=r"evalkit\.toml is not TOML"):
        load_catalog()


# --- specs


@pytest.mark.parametrize(
    ("spec", "guess"),
    [
        ("qwen2.5-3", "qwen2.5-3b"),
        ("rwkv7-3b", "rwkv7-2.9b"),
        ("zst", "zstd"),
        ("lama-3.2-1b", "llama-3.2-1b"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(spec: str, guess: str) -> None:
    with pytest.raises(UsageError, match=rf"unknown model '{spec}'\. Did you mean .*{guess}"):
        resolve_spec(spec, CATALOG)


def test_a_name_that_is_near_nothing_is_answered_with_the_syntax() -> None:
    with pytest.raises(UsageError, match=r"evalkit models list.*hf:PATH_OR_REPO"):
        resolve_spec("gpt2", {})


@pytest.mark.parametrize(
    ("spec", "target", "file", "revision"),
    [
        ("hf:Qwen/Qwen2.5-3B", "Qwen/Qwen2.5-3B", None, "main"),
        ("hf:Qwen/Qwen2.5-3B@v1.0", "Qwen/Qwen2.5-3B", None, "v1.0"),
        ("hf:a/b@refs/pr/3", "a/b", None, "refs/pr/3"),
        ("rwkv7:RWKV/RWKV7-Goose-World2.8-0.1B-HF", "RWKV/RWKV7-Goose-World2.8-0.1B-HF", None, "main"),
        ("rwkv7:BlinkDL/rwkv7-g1/x.pth", "BlinkDL/rwkv7-g1", "x.pth", "main"),
        ("rwkv7:BlinkDL/temp/sub/x.pth@" + "a" * 40, "BlinkDL/temp", "sub/x.pth", "a" * 40),
    ],
)
def test_repositories(spec: str, target: str, file: str | None, revision: str) -> None:
    entry = resolve_spec(spec, CATALOG)
    loader = spec.partition(":")[0]
    assert entry == CatalogEntry(name=spec, loader=loader, target=target, file=file, revision=revision)
    assert entry.local_path is None


@pytest.mark.parametrize(
    "spec", ["hf:./m", "hf:m", "hf:owner/m", "hf:.", "rwkv7:owner/m/x.pth", "rwkv7:x.pth", "hf:m@2"]
)
def test_what_exists_here_is_a_path(spec: str) -> None:
    for folder in ("m", "owner/m", "m@2"):
        Path(folder).mkdir(parents=True)
    for file in ("x.pth", "owner/m/x.pth"):
        Path(file).touch()
    entry = resolve_spec(spec, CATALOG)
    assert entry.name == spec
    assert entry.file is None
    assert entry.local_path == (Path.cwd() / spec.partition(":")[2])


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "x.pth").touch()
    assert resolve_spec("rwkv7:~/x.pth", CATALOG).local_path == tmp_path / "x.pth"


@pytest.mark.parametrize(
    "spec",
    ["hf:./absent", "hf:../absent", "hf:/absent/here", "hf:~/absent", "hf:a/b/c.safetensors", "rwkv7:x.pth"],
)
def test_a_path_where_nothing_is(spec: str) -> None:
    with pytest.raises(ModelError, match=r"there is no file or folder /"):
        resolve_spec(spec, CATALOG)


@pytest.mark.parametrize("loader", ["hf", "rwkv7", "gguf", "llamacpp"])
@pytest.mark.parametrize("kind", ["device", "pipe"])
def test_a_path_that_is_no_file(tmp_path: Path, loader: str, kind: str) -> None:
    path = tmp_path / "model.pth"
    os.mkfifo(path)
    path = {"device": Path("/dev/zero"), "pipe": path}[kind]
    with pytest.raises(ModelError, match=rf"model {loader}:/.*: {path} is a pipe or a device; write"):
        resolve_spec(f"{loader}:{path}", CATALOG)


def test_a_catalog_path_where_nothing_is_matters_only_when_asked_for() -> None:
    write_config('[models.m]\nloader = "rwkv7"\ntarget = "gone.pth"\n')
    catalog = load_catalog()
    with pytest.raises(ModelError, match=r"model m: there is no file or folder .*gone\.pth"):
        resolve_spec("m", catalog)
    Path("folder").mkdir()
    write_config('[models.m]\nloader = "rwkv7"\ntarget = "./folder"\nfile = "gone.pth"\n')
    with pytest.raises(ModelError, match=r"folder/gone\.pth"):
        resolve_spec("m", load_catalog())


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("fh:a/b", "unknown loader 'fh'. Did you mean hf?"),
        ("hf:", "names no model"),
        ("hf:gpt2", "neither a file or folder here nor a hub repository"),
        ("hf:a/b/c", "neither a file or folder here nor a hub repository"),
        ("hf:a/b@", "no revision"),
        ("codec:zst", "unknown codec 'zst'. Did you mean zstd?"),
        ("", "unknown model ''"),
    ],
)
def test_specs_that_cannot_be_understood(spec: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_spec(spec, CATALOG)
    assert said in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_codec_has_one_name() -> None:
    assert resolve_spec("codec:xz", CATALOG) is CATALOG["xz"]


def test_a_registered_loader_takes_any_target(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint(name="ngram", value="somewhere:load", group="evalkit.loaders")
    monkeypatch.setattr(catalog_module, "entry_points", lambda group: [point] if group == point.group else [])
    entry = resolve_spec("ngram:what@it:wants", CATALOG)
    assert entry == CatalogEntry(name="ngram:what@it:wants", loader="ngram", target="what@it:wants")
    write_config('[models.n]\nloader = "ngram"\ntarget = "5"\n')
    assert load_catalog()["n"].target == "5"


def test_entries_are_values() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        CATALOG["xz"].target = "zstd"  # type: ignore[misc]
    assert issubclass(ModelError, EvalkitError)
