"""Whatever is wrong with a request, one clear line says so, and what is there already stays as it is."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from evalkit.models.rwkv7.network import RWKV7, LayerShape, NetworkShape
from tests.support.tiny_models import as_fast, byte_level_tokenizer, random_model, save_checkpoint
from tests.support.toys import (
    TEXTS,
    Outcome,
    plugin_environment,
    run_cli,
    run_process,
    snapshot,
    write_plugin,
    write_texts,
)


class Request(NamedTuple):
    """What to ask for in the place of ``run --models zstd --corpora texts.json --output runs``."""

    options: dict[str, Any]
    exit_code: int
    says: tuple[str, ...]
    """Parts of the message: the thing, and what to do."""


def write_rwkv7(path: Path, vocab_size: int = 257) -> Path:
    layer = LayerShape(decay_rank=4, gate_rank=4, value_rank=4, learning_rate_rank=4, ffn_width=16)
    network = RWKV7(NetworkShape(vocab_size, num_channels=8, head_size=8, layers=(layer, layer)))
    torch.save(network.state_dict(), path)
    return path


def truncated_pth(folder: Path) -> Request:
    path = write_rwkv7(folder / "cut.pth")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return Request({"--models": f"rwkv7:{path}"}, 1, (str(path), "is truncated", "fetch the file again"))


def rwkv6_pth(folder: Path) -> Request:
    names = ["emb.weight", "blocks.0.ln1.weight", "blocks.0.att.time_maa_x", "blocks.0.att.time_faaaa"]
    torch.save({name: torch.zeros(4, 4) for name in names}, folder / "old.pth")
    return Request(
        {"--models": f"rwkv7:{folder / 'old.pth'}"},
        1,
        (str(folder / "old.pth"), "RWKV-6 (x060)", "time_maa_x", "evalkit reads RWKV-7"),
    )


class Bomb:
    """A pickle of this makes a file when it is loaded."""

    def __init__(self, crater: Path) -> None:
        self.crater = crater

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.crater,)


def bomb_in_zip(folder: Path) -> Request:
    torch.save({"emb.weight": Bomb(folder / "crater")}, folder / "bomb.pth")
    return Request(
        {"--models": f"rwkv7:{folder / 'bomb.pth'}"}, 1, ("was refused and nothing in it was run",)
    )


def bare_bomb(folder: Path) -> Request:
    (folder / "bomb.pth").write_bytes(pickle.dumps(Bomb(folder / "crater")))
    return Request(
        {"--models": f"rwkv7:{folder / 'bomb.pth'}"}, 1, ("was refused and nothing in it was run",)
    )


def no_tensors(folder: Path) -> Request:
    torch.save({"emb.weight": "not a tensor"}, folder / "words.pth")
    return Request(
        {"--models": f"rwkv7:{folder / 'words.pth'}"}, 1, ("entry 'emb.weight' is a str, not a tensor",)
    )


def wrong_vocabulary(folder: Path) -> Request:
    path = write_rwkv7(folder / "pile.pth", vocab_size=50277)
    return Request({"--models": f"rwkv7:{path}"}, 1, (str(path), "vocabulary of 50277 rows", "65536"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = byte_level_tokenizer()
    model = random_model("llama", tokenizer.get_vocab_size())
    return save_checkpoint(tmp_path_factory.mktemp("hf") / "tiny", model, as_fast(tokenizer))


def empty_corpus(folder: Path) -> Request:
    (folder / "empty.txt").touch()
    return Request({"--corpora": folder / "empty.txt"}, 1, ("empty.txt: no documents in it",))


def empty_list(folder: Path) -> Request:
    (folder / "empty.json").write_text("[]")
    return Request({"--corpora": folder / "empty.json"}, 1, ("empty.json: no documents in it",))


def not_utf8(folder: Path) -> Request:
    (folder / "latin.txt").write_bytes("Straße".encode("latin-1"))
    return Request({"--corpora": folder / "latin.txt"}, 1, ("latin.txt: not UTF-8 at byte 4", "convert it"))


def corrupt_parquet(folder: Path) -> Request:
    (folder / "texts.parquet").write_bytes(b"PAR1" + bytes(range(256)) + b"PAR1")
    return Request(
        {"--corpora": folder / "texts.parquet"}, 1, ("texts.parquet: not a readable Parquet file",)
    )


def broken_json(folder: Path) -> Request:
    (folder / "broken.json").write_text('["one", "two')
    return Request({"--corpora": folder / "broken.json"}, 1, ("broken.json: not valid JSON",))


def unwritable_output(folder: Path) -> Request:
    (folder / "file").touch()
    output = folder / "file" / "runs"
    return Request({"--output": output}, 2, (f"cannot write to the output folder {output}", "--output"))


def output_is_a_file(folder: Path) -> Request:
    (folder / "file").touch()
    return Request({"--output": folder / "file"}, 2, ("cannot write to the output folder", "--output"))


def output_that_is_no_utf8(folder: Path) -> Request:
    return Request({"--output": folder / "r\udcfa"}, 2, ("is no UTF-8", "--output"))


def config_with_an_unknown_key(folder: Path) -> Request:
    Path("evalkit.toml").write_text('[models.mine]\nloader = "hf"\ntarget = "a/b"\nlicence = "MIT"\n')
    return Request({}, 2, ("evalkit.toml, model mine: unknown key 'licence'", "Did you mean license"))


def config_that_is_no_toml(folder: Path) -> Request:
    Path("evalkit.toml").write_text("[models.mine\n")
    return Request({}, 2, ("evalkit.toml is not TOML",))


def plain(options: dict[str, Any], exit_code: int, *says: str) -> Callable[[Path], Request]:
    return lambda _: Request(options, exit_code, says)


def plugin_that_cannot_identify(folder: Path) -> Request:
    return Request(
        {"--models": "toy:cannot-identify"}, 1, ("toy:cannot-identify: loader 'toy' failed", "no such")
    )


REQUESTS: dict[str, Callable[[Path], Request]] = {
    "unknown model": plain(
        {"--models": "rwkv7-2.9"}, 2, "unknown model 'rwkv7-2.9'", "Did you mean rwkv7-2.9b", "models list"
    ),
    "unknown loader": plain({"--models": "rwvk7:x.pth"}, 2, "unknown loader 'rwvk7'", "Did you mean rwkv7"),
    "missing file": plain({"--models": "rwkv7:/no/x.pth"}, 1, "there is no file or folder /no/x.pth"),
    "unknown codec": plain({"--models": "codec:zip"}, 2, "unknown codec 'zip'", "Known: xz"),
    "unknown corpus": plain(
        {"--corpora": "python-stdlb"}, 2, "unknown corpus 'python-stdlb'", "Did you mean python-stdlib"
    ),
    "missing corpus file": plain({"--corpora": "./no.json"}, 2, "corpus ./no.json: no such file or folder"),
    "unpinned dataset": plain({"--corpora": "hub:a/b"}, 2, "hub:a/b"),
    "unknown policy": plain({"--policy": "uncheatabel"}, 2, "unknown policy", "Did you mean uncheatable"),
    "limit 0": plain({"--limit": 0}, 2, "--limit 0 leaves no document", "give 1 or more"),
    "negative limit": plain({"--limit": -3}, 2, "--limit -3 leaves no document", "give 1 or more"),
    "small context": plain({"--max-context": 2}, 2, "--max-context 2 is too small", "give 4 or more"),
    "unknown dtype": plain({"--dtype": "float99"}, 2, "unknown dtype 'float99'", "bfloat16"),
    "unknown device": plain({"--device": "gpu"}, 2, "unknown device 'gpu'", "cuda:N"),
    "device of another kind": plain({"--device": "meta"}, 2, "device 'meta' is not supported", "cuda:N"),
    "model twice": plain({"--models": "zstd,xz,zstd"}, 2, "asked for twice: ", "zstd", "once"),
    "no models": plain({"--models": " , "}, 2, "name at least one model"),
    "no network": plain(
        {"--models": "hf:nobody/nothing"}, 1, "cannot reach the hub for nobody/nothing", "give a local path"
    ),
    "no network for rwkv7": plain(
        {"--models": "rwkv7-0.1b"}, 1, "cannot reach the hub for BlinkDL/", "give a local path"
    ),
    "empty corpus": empty_corpus,
    "empty list": empty_list,
    "not UTF-8": not_utf8,
    "corrupt Parquet": corrupt_parquet,
    "broken JSON": broken_json,
    "truncated pth": truncated_pth,
    "RWKV-6": rwkv6_pth,
    "pickle bomb in a zip": bomb_in_zip,
    "bare pickle bomb": bare_bomb,
    "no tensors": no_tensors,
    "wrong vocabulary": wrong_vocabulary,
    "unwritable output": unwritable_output,
    "output is a file": output_is_a_file,
    "output is no UTF-8": output_that_is_no_utf8,
    "unknown key": config_with_an_unknown_key,
    "no TOML": config_that_is_no_toml,
    "plug-in": plugin_that_cannot_identify,
}
FAULTS_OF_A_MODEL = {
    "no network",
    "no network for rwkv7",
    "truncated pth",
    "RWKV-6",
    "pickle bomb in a zip",
    "bare pickle bomb",
    "no tensors",
    "wrong vocabulary",
    "plug-in",
}
"""Requests that name a model well which then cannot be read: beside others it fails alone."""


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scored")
    write_texts(folder / "texts.json", TEXTS)
    outcome = run_cli(*arguments(folder, {}))
    assert outcome.exit_code == 0, outcome.stderr
    return folder


@pytest.fixture
def finished(scored: Path, tmp_path: Path) -> Path:
    """An output folder with a cell in it; beside it the texts that were scored."""
    shutil.copytree(scored, tmp_path, dirs_exist_ok=True)
    return tmp_path / "runs"


def arguments(folder: Path, options: dict[str, Any]) -> list[str]:
    usual = {"--models": "zstd", "--corpora": folder / "texts.json", "--output": folder / "runs"}
    return ["run", *(str(part) for pair in (usual | options).items() for part in pair)]


def assert_refused(outcome: Outcome, request: Request) -> None:
    assert outcome.exit_code == request.exit_code, outcome
    assert outcome.stdout == ""
    assert outcome.stderr.endswith("\n")
    [line] = outcome.stderr.splitlines()
    assert line.startswith("evalkit: ")
    for part in request.says:
        assert part in line


def assert_fails_alone(outcome: Outcome, request: Request) -> None:
    assert outcome.exit_code == 1, outcome
    assert "Traceback" not in outcome.stderr
    [failure] = [line for line in outcome.stdout.splitlines() if line.startswith("FAILED ")]
    for part in request.says:
        assert part in failure


def ask(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, program: Callable[..., Outcome] = run_cli
) -> None:
    """Make a request twice, alone and beside a good model, and see that nothing has come of it.

    Where the fault is the model's own, the good model is scored all the same.
    """
    monkeypatch.syspath_prepend(write_plugin(folder / "plugin"))
    request = REQUESTS[name](folder)
    before = snapshot(folder / "runs")
    # Another corpus, so that there is something to score and to write.
    options = {"--corpora": write_texts(folder / "more.json", TEXTS[:2])} | request.options
    assert_refused(program(*arguments(folder, options)), request)
    if "--models" in request.options and name != "no models":
        both = options | {"--models": f"xz,{request.options['--models']}"}
        outcome = program(*arguments(folder, both))
        if name in FAULTS_OF_A_MODEL:
            assert_fails_alone(outcome, request)
            after = snapshot(folder / "runs")
            added = {Path(path) for path in after.keys() - before.keys()} - {Path("more"), Path("more/xz")}
            assert {path.parent for path in added} == {Path("more/xz")}
            assert sorted(path.suffix for path in added) == [".json", ".parquet"]
            assert {path: after[path] for path in before if path != "."} | {".": before["."]} == before
            return
        assert_refused(outcome, request)
    assert snapshot(folder / "runs") == before


@pytest.mark.parametrize("name", REQUESTS)
def test_a_bad_request_gets_one_clear_line_and_changes_nothing(
    name: str, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = finished.parent
    ask(name, folder, monkeypatch)
    assert not (folder / "crater").exists()


@pytest.mark.parametrize("make", [bomb_in_zip, bare_bomb])
def test_the_bombs_are_live(make: Callable[[Path], Request], tmp_path: Path) -> None:
    make(tmp_path)
    if make is bare_bomb:
        pickle.loads((tmp_path / "bomb.pth").read_bytes())
    else:
        torch.load(tmp_path / "bomb.pth", weights_only=False)
    assert (tmp_path / "crater").exists()


def _lose_tokenizer(folder: Path) -> None:
    for path in folder.glob("*token*"):
        path.unlink()


def _lose_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _lose_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _break_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def _make_encoder(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "architectures": ["BertModel"]}))


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (_lose_tokenizer, "has no tokenizer files; put tokenizer.json beside config.json"),
        (_lose_config, "has no config.json, so it is not a Hugging Face checkpoint"),
        (_lose_weights, "has no model.safetensors or pytorch_model.bin"),
        (_break_config, "config.json is not JSON"),
        (_make_encoder, "is not a causal language model"),
    ],
)
def test_an_incomplete_checkpoint_gets_one_clear_line(
    break_it: Callable[[Path], None], says: str, finished: Path, checkpoint: Path
) -> None:
    folder = Path(shutil.copytree(checkpoint, finished.parent / "tiny"))
    break_it(folder)
    before = snapshot(finished)
    outcome = run_cli(*arguments(finished.parent, {"--models": f"hf:{folder}"}))
    assert_refused(outcome, Request({}, 1, ("hf:tiny: ", says)))
    assert snapshot(finished) == before


def test_damaged_weights_are_a_named_failure_of_that_model_only(finished: Path, checkpoint: Path) -> None:
    folder = Path(shutil.copytree(checkpoint, finished.parent / "tiny"))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    before = snapshot(finished)
    outcome = run_cli(*arguments(finished.parent, {"--models": f"hf:{folder},zstd,xz"}))
    assert outcome.exit_code == 1
    [line] = [line for line in outcome.stderr.splitlines() if line.startswith("FAILED")]
    assert line.startswith("FAILED hf:tiny on texts: hf:tiny: damaged weights in ")
    assert "Traceback" not in outcome.stderr
    after = snapshot(finished)
    assert all(after[name] == state for name, state in before.items() if (finished / name).is_file())
    assert [path.name for path in sorted((finished / "texts").iterdir())] == ["xz", "zstd"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("models", ["zstd", "rwkv7"])
@pytest.mark.parametrize("dtype", ["auto", "float32"])
def test_a_gpu_that_is_not_there(models: str, dtype: str, finished: Path) -> None:
    if models == "rwkv7":
        models = f"rwkv7:{write_rwkv7(finished.parent / 'tiny.pth')}"
    options = {"--models": models, "--device": "cuda", "--dtype": dtype}
    outcome = run_cli(*arguments(finished.parent, options))
    assert_refused(outcome, Request({}, 2, ("device 'cuda' was asked for, but torch sees 0 CUDA device(s)",)))


@pytest.mark.parametrize("words", [["run", "--modles", "xz"], ["rnu"], ["run", "--limit", "ten"]])
def test_what_typer_refuses(words: list[str], finished: Path) -> None:
    before = snapshot(finished)
    outcome = run_cli(*words)
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "Traceback" not in outcome.stderr
    assert words[-2 if len(words) == 3 else 0] in outcome.stderr
    assert snapshot(finished) == before


def test_debug_shows_the_traceback_and_keeps_the_exit_code(finished: Path) -> None:
    for options, code in (({"--models": "xzz"}, 2), ({"--models": "rwkv7:/no/x.pth"}, 1)):
        outcome = run_cli("--debug", *arguments(finished.parent, options))
        assert outcome.exit_code == code
        lines = outcome.stderr.splitlines()
        assert lines[0] == "Traceback (most recent call last):"
        assert lines[-1].startswith("evalkit: ")


@pytest.mark.parametrize("name", ["unknown model", "bare pickle bomb", "unwritable output"])
def test_a_process_of_its_own_says_the_same(
    name: str, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = plugin_environment(finished.parent / "plugin")
    ask(name, finished.parent, monkeypatch, lambda *words: run_process(*words, env=env))
    assert not (finished.parent / "crater").exists()
