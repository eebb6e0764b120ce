from pathlib import Path

import pytest

from evalkit.errors import ModelError, UsageError
from evalkit.models.loading import load_model, locate_models
from evalkit.models.protocol import Codec, LoadOptions, TokenModel
from tests.support.toys import (
    BigramModel,
    SlowCodec,
    plugin_environment,
    run_process,
    write_plugin,
    write_texts,
)

OPTIONS = LoadOptions()


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write_plugin(tmp_path / "plugin")
    monkeypatch.syspath_prepend(folder)
    return folder


def test_a_plug_ins_loader_is_found_by_name(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = plugin / "log"
    monkeypatch.setenv("TOY_LOG", str(log))
    [located, codec] = locate_models(["toy:abc", "toy:codec"], OPTIONS)
    assert (located.identity.name, located.identity.loader) == ("toy:abc", "toy")
    assert located.identity.details["target"] == "abc"
    assert not log.exists()  # finding is not loading
    assert isinstance(located.load(), TokenModel)
    assert isinstance(codec.load(), Codec)
    assert log.read_text() == "abc\ncodec\n"
    assert isinstance(load_model("toy:abc"), BigramModel)


def test_no_package_takes_the_place_of_a_built_in_loader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(write_plugin(tmp_path / "plugin", loaders="codec = toy_plugin"))
    said = r"the package toy-plugin brings toy_plugin under the name 'codec' of evalkit\.loaders"
    with pytest.raises(UsageError, match=said):
        locate_models(["xz"], OPTIONS)


def test_two_loaders_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(write_plugin(tmp_path / "plugin"))
    second = write_plugin(tmp_path / "second", loaders="toy = another_plugin")
    (second / "toy_plugin-1.0.dist-info").rename(second / "another_plugin-1.0.dist-info")
    monkeypatch.syspath_prepend(second)
    said = r"two packages bring 'toy' of evalkit\.loaders: .*plugin and .*plugin; uninstall one"
    with pytest.raises(UsageError, match=said):
        locate_models(["toy:abc"], OPTIONS)


def test_objects_are_taken_as_they_are() -> None:
    model = BigramModel()
    [located] = locate_models([model], OPTIONS)
    assert located.load() is model
    assert located.identity is model.identity


def test_objects_need_no_catalog() -> None:
    Path("evalkit.toml").write_text("not toml")
    assert len(locate_models([BigramModel()], OPTIONS)) == 1
    with pytest.raises(UsageError, match="is not TOML"):
        locate_models(["xz"], OPTIONS)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(UsageError, match="is neither a model's name nor an object"):
        locate_models([object()], OPTIONS)  # type: ignore[list-item]
    with pytest.raises(UsageError, match="asked for twice: bigram; name each model once"):
        locate_models([BigramModel(), BigramModel(seed=1)], OPTIONS)
    assert len(locate_models([BigramModel(), SlowCodec("codec")], OPTIONS)) == 2


def test_every_name_is_checked_before_any_plug_in_is_asked(plugin: Path) -> None:
    with pytest.raises(UsageError, match="unknown model 'nonsense'"):
        locate_models(["toy:cannot-identify", "nonsense"], OPTIONS)


def test_a_plug_in_that_fails_to_identify_is_named(plugin: Path) -> None:
    with pytest.raises(ModelError, match=r"toy:cannot-identify: loader 'toy' failed .*KeyError") as raised:
        locate_models(["toy:cannot-identify"], OPTIONS)
    assert isinstance(raised.value.__cause__, KeyError)


class Panic(BaseException):
    """As libraries in Rust raise."""


@pytest.mark.parametrize("error", [KeyError("a name"), MemoryError(), SystemExit(3), Panic("index")])
def test_a_loader_that_fails_to_load_is_named(
    plugin: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise error

    load_model("toy:abc")
    monkeypatch.setattr("toy_plugin.load", fail)
    with pytest.raises(ModelError, match=r"^toy:abc: loader 'toy' failed to load abc: \w+\(") as raised:
        load_model("toy:abc")
    assert raised.value.__cause__ is error


def test_a_model_that_cannot_be_identified_fails_when_it_is_loaded_if_another_can_be(plugin: Path) -> None:
    broken, whole = locate_models(["toy:cannot-identify", "toy:abc"], OPTIONS)
    assert (broken.identity.name, whole.problem) == ("toy:cannot-identify", None)
    with pytest.raises(ModelError, match="failed to identify it"):
        broken.load()
    assert whole.load().identity.name == "toy:abc"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import no_such_module", "failed to import: ModuleNotFoundError"),
        ("raise ValueError('not today')", "failed to import: ValueError"),
        ("def load(entry, options): ...", "has no attribute 'identify'"),
    ],
)
def test_a_broken_plug_in_is_reported_and_the_others_work(source: str, says: str, tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts.json", ["one", "two"])
    folder = write_plugin(tmp_path / "plugin", source=source)
    env = plugin_environment(folder)
    usual = ["--corpora", texts, "--output", tmp_path / "runs"]
    broken = run_process("run", "--models", "toy:abc", *usual, env=env)
    assert (broken.exit_code, broken.stdout) == (1, "")
    [line] = broken.stderr.splitlines()
    assert line.startswith("evalkit: ")
    assert "'toy'" in line
    assert says in line
    if source.startswith("import"):
        assert run_process("run", "--models", "zstd", *usual, env=env).exit_code == 0


def test_a_folder_in_a_models_path_is_not_told(tmp_path: Path, plugin: Path) -> None:
    secret = tmp_path / "secret" / "model.bin"
    secret.parent.mkdir()
    secret.touch()
    [located] = locate_models([f"toy:{secret}"], OPTIONS)
    assert located.identity.details["target"] == "model.bin"


def test_a_folder_that_is_not_there_is_not_only_a_repository_out_of_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ckpt" / "step-1000").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    guess = r"no folder ckpt/stepp-1000 here \(did you mean ckpt/step-1000\?\), and as a repository: "
    for loader in ("hf", "rwkv7"):
        with pytest.raises(ModelError, match=guess + "cannot reach the hub"):
            load_model(f"{loader}:ckpt/stepp-1000")
    with pytest.raises(ModelError, match="there is no folder ckpt/epoch here, and as a repository"):
        load_model("hf:ckpt/epoch")
    with pytest.raises(ModelError, match=r"^cannot reach the hub for owner/stepp-1000"):
        load_model("hf:owner/stepp-1000")
