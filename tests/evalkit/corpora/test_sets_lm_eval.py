"""A set by categories under policy ``lm-eval`` against lm-evaluation-harness's own tasks of it."""

import importlib.resources
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.corpora.store import import_corpora
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.support.tiny_models import TEXTS, as_fast, byte_level_tokenizer, random_model, save_checkpoint

MAX_LENGTH = 64
CATEGORIES = ("arxiv_cs", "github_python")
TASK = """
include: {folder}/uncheatable_eval_{category}.yaml
task: local_{category}
dataset_path: parquet
dataset_kwargs: {{data_files: {{test: {table}}}}}
"""
"""A task of the harness with everything of its own but for where the table is."""


@pytest.mark.slow
def test_each_category_is_the_task_of_lm_eval(tmp_path: Path) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    table = tmp_path / "test.parquet"
    texts = [*TEXTS, "".join(TEXTS) * 3]
    rows = [
        {"content": f"{text}{category}", "category": category, "date": "2026-07-02", "metadata": "{}"}
        for place, text in enumerate(texts)
        for category in CATEGORIES[place % 2 :]  # the second has more of them
    ]
    pq.write_table(pa.Table.from_pylist(rows), table)
    corpora = import_corpora(table, "july", "category", license="LicenseRef-unstated", store=tmp_path)
    fast = as_fast(byte_level_tokenizer(adds_bos=False))
    folder = save_checkpoint(tmp_path / "llama", random_model("llama", len(fast)), fast)
    options = RunOptions(output=tmp_path / "runs", device="cpu", dtype="float32", max_context=MAX_LENGTH)
    result = run([f"hf:{folder}"], corpora, policy="lm-eval", options=options)
    ours = {cell.corpus.name.removeprefix("july-"): cell.bits_per_byte for cell in result.cells}

    tasks = tmp_path / "tasks"
    tasks.mkdir()
    package = importlib.resources.files("lm_eval.tasks") / "uncheatable_eval"
    for category in CATEGORIES:
        text = TASK.format(folder=package, category=category, table=table)
        (tasks / f"local_{category}.yaml").write_text(text)
    harness = HFLM(
        pretrained=str(folder),
        add_bos_token=False,
        softmax_dtype="float32",
        max_length=MAX_LENGTH,
        batch_size=1,
        dtype="float32",
        device="cpu",
    )
    scored = simple_evaluate(
        harness,
        tasks=[f"local_{category}" for category in CATEGORIES],
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        bootstrap_iters=0,
    )
    theirs = {
        category: scored["results"][f"local_{category}"]["bits_per_byte,none"] for category in CATEGORIES
    }
    assert theirs["arxiv_cs"] != theirs["github_python"]
    assert ours == pytest.approx(theirs, rel=1e-6)
