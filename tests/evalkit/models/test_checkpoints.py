"""Checkpoints of training runs: steps, runs, order, and what a folder or a pattern stands for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit.models.checkpoints import CheckpointFacts, CheckpointName, checkpoint_facts, read_name
from evalkit.models.loading import locate_models
from evalkit.models.protocol import LoadOptions
from evalkit.models.targets import expand_spec, means_several
from tests.support.hub_server import hub_environment
from tests.support.local_hub import serve
from tests.support.rwkv7_files import save_official


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("step-1000", (1000, None, "")),
        ("step1000-tokens4B", (1000, 4 * 10**9, "")),
        ("stage1-step1000-tokens2B", (1000, 2 * 10**9, "stage1")),
        ("checkpoint-500", (500, None, "")),
        ("global_step0100", (100, None, "")),
        ("iter_0001000", (1000, None, "")),
        ("epoch=3-step=1000", (1000, None, "")),
        ("step-10k", (10_000, None, "")),
        ("run-a_step-20", (20, None, "run-a")),
        ("TinyLlama-1.1B-step-1195k-token-2.5T", (1_195_000, 25 * 10**11, "TinyLlama-1.1B")),
        ("ep1-ba5000", (5000, None, "")),  # LLM Foundry
        ("step1000-unsharded", (1000, None, "")),  # OLMo; no run is called unsharded
        ("model-step=0500", (500, None, "")),
        ("epoch=1-step=500-val_loss=2.10", (500, None, "")),  # Lightning; another loss at each step
        ("lr=0.001-step=500", (500, None, "lr=0.001")),
        ("rwkv-7", (7, None, "")),
        ("rwkv-init", (0, None, "")),
        ("1000", (1000, None, "")),
        ("model_021400", (21_400, None, "")),  # nanochat
        ("model_100000", (100_000, None, "")),
        ("state_step005100", (5100, None, "")),  # modded-nanogpt
        ("checkpoint_3_10000", (10_000, None, "")),  # fairseq: epoch and update
        ("ep0-ba1000-rank0", (1000, None, "")),
        ("iter-000500-ckpt", (500, None, "")),  # LitGPT
        ("step1250-seed-default", (1250, None, "seed-default")),  # DataDecide
        ("run-20250101-step-5", (5, None, "run-20250101")),
        ("10k-steps", (10_000, None, "")),
        # No steps: sizes, versions, dates and shards are not.
        ("model-512", (None, None, "model-512")),
        ("model-00001-of-00003", (None, None, "model-00001-of-00003")),
        ("ckpt-7b", (None, None, "ckpt-7b")),
        ("v2", (None, None, "v2")),
        ("20250101", (None, None, "20250101")),
        ("checkpoint-2025-01-01", (None, None, "checkpoint-2025-01-01")),
        ("model_20250101", (None, None, "model_20250101")),
        ("rwkv-final", (None, None, "")),
        ("final", (None, None, "final")),
        ("qwen2.5-0.5b", (None, None, "qwen2.5-0.5b")),
        ("rwkv7-g1d-0.1b-20260129-ctx8192", (None, None, "rwkv7-g1d-0.1b-20260129-ctx8192")),
        ("step3x", (None, None, "step3x")),
        ("misstep-5", (None, None, "misstep-5")),
        ("9" * 300, (None, None, "9" * 300)),
        ("step-" + "9" * 19, (None, None, "step-" + "9" * 19)),
    ],
)
def test_what_a_name_says(name: str, expected: tuple[int | None, int | None, str]) -> None:
    assert read_name(name) == CheckpointName(*expected)


def test_what_lies_around_a_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "run-a" / "checkpoints" / "step-20"
    folder.mkdir(parents=True)
    assert checkpoint_facts(folder, "", None) == CheckpointFacts("run-a", 20, None, None)
    state = {"global_step": 30, "num_input_tokens_seen": 4096, "total_flos": 1.5e15}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    assert checkpoint_facts(folder, "", None) == CheckpointFacts("run-a", 30, 4096, 1.5e15)
    (folder / "trainer_state.json").write_text("{half")  # being written
    assert checkpoint_facts(folder, "", None) == CheckpointFacts("run-a", 20, None, None)
    for number in ("1e400", "1" + "0" * 400, "NaN", "-1", "true"):  # no count, and no float
        content = f'{{"global_step": {number}, "num_input_tokens_seen": {number}, "total_flos": {number}}}'
        (folder / "trainer_state.json").write_text(content)
        assert checkpoint_facts(folder, "", None) == CheckpointFacts("run-a", 20, None, None)
    final = folder.with_name("final")
    final.mkdir()
    assert checkpoint_facts(final, "", None) is None
    (final / "trainer_state.json").write_text(json.dumps(state))
    assert checkpoint_facts(final, "", None) == CheckpointFacts("run-a", 30, 4096, 1.5e15)
    rwkv = tmp_path / "L2-D32" / "out" / "rwkv-5.pth"
    assert checkpoint_facts(rwkv, "", None) == CheckpointFacts("L2-D32", 5, None, None)
    snapshot = Path("/runs/nano/snapshots/step-5")
    assert checkpoint_facts(snapshot, "", None) == CheckpointFacts("nano", 5, None, None)
    for inner in ("step-00000500/lit_model.pth", "global_step500/mp_rank_00_model_states.pt", "step-500/hf"):
        assert checkpoint_facts(Path("/runs/nano") / inner, "", None) == CheckpointFacts(
            "nano", 500, None, None
        )
    assert checkpoint_facts(Path("/runs/500/model.pth"), "", None) is None  # an experiment's number
    olmo = checkpoint_facts(None, "owner/olmo", "stage1-step1000-tokens4B")
    assert olmo == CheckpointFacts("owner/olmo@stage1", 1000, 4 * 10**9, None)
    assert checkpoint_facts(None, "owner/olmo", "main") is None


def test_a_folder_of_checkpoints_stands_for_them_in_order(tmp_path: Path) -> None:
    run = tmp_path / "run-a"
    for name in ("checkpoint-900", "checkpoint-1000", "best", "runs"):
        (run / name).mkdir(parents=True)
        if name != "runs":  # of TensorBoard
            (run / name / "config.json").touch()
    (run / "best" / "trainer_state.json").write_text('{"global_step": 950}')
    names = ["checkpoint-900", "best", "checkpoint-1000"]
    assert expand_spec(f"hf:{run}") == [f"hf:{run}/{name}" for name in names]
    assert expand_spec(f"hf:{run}/*") == [f"hf:{run}/{name}" for name in [*names, "runs"]]
    for name in ("rwkv-init", "rwkv-2", "rwkv-10", "rwkv-final"):
        save_official(tmp_path / f"{name}.pth", vocab_size=257, num_channels=64, num_layers=1)
    expected = [f"rwkv7:{tmp_path}/rwkv-{name}.pth" for name in ("init", "2", "10", "final")]
    assert expand_spec(f"rwkv7:{tmp_path}") == expand_spec(f"rwkv7:{tmp_path}/rwkv-*.pth") == expected
    assert means_several(f"rwkv7:{tmp_path}") and not means_several(expected[0])
    located = locate_models([f"rwkv7:{tmp_path}"], LoadOptions())
    assert [model.identity.name for model in located] == [
        f"rwkv7:{tmp_path.name}/rwkv-{name}.pth" for name in ("init", "2", "10", "final")
    ]
    assert [model.identity.details.get("step") for model in located] == [0, 2, 10, None]
    assert located[1].identity.details["run"] == tmp_path.name


REVISIONS = """
import sys
from evalkit.errors import ModelError
from evalkit.models.hub import download, hub_files
from evalkit.models.targets import expand_spec
print(*expand_spec("hub:owner/run@step-*"))
for name in ("step-900", "step-1000-tokens2M"):
    download("owner/run", hub_files("owner/run", name).commit, ["config.json"])
try:
    expand_spec("hub:owner/run@stepp-*")
except ModelError as error:
    print(error)
"""


def test_a_pattern_of_revisions_on_the_hub(tmp_path: Path) -> None:
    """In processes of their own, since the hub's client reads its variables when it is imported."""

    def lines(**variables: str) -> list[str]:
        environment = hub_environment(tmp_path / "home", **variables)
        command = [sys.executable, "-c", REVISIONS]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return ended.stdout.splitlines()

    files = {"config.json": b"{}"}
    with serve({"owner/run": files}) as hub:
        hub.branches = {"owner/run": {"step-1000-tokens2M": files, "step-900": files, "wip": files}}
        online = lines(HF_ENDPOINT=hub.url)
    assert online == [
        "hub:owner/run@step-900 hub:owner/run@step-1000-tokens2M",
        "hub:owner/run@stepp-*: no branch or tag of owner/run matches stepp-*; it has step-900, "
        "step-1000-tokens2M, main, wip",
    ]
    assert lines(HF_HUB_OFFLINE="1")[0] == online[0]
