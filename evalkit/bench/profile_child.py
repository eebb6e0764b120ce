"""A whole run that times itself: ``profile_child RESULT STARTED_S THREADS LOADER run …``.

`evalkit.bench.profile` runs it. Functions of the program are replaced by ones that tell a stopwatch, and
torch's operators are told apart as they are called; then the program runs as ever. What the looking costs,
some ten microseconds an operator, is in "Python between operators".
"""

import functools
import importlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evalkit.bench.stopwatch import Stopwatch

START = "interpreter, command line"
IMPORTS = "imports (torch, transformers)"
DIGESTS = "digests of files"
TOKENIZER = "tokenizer read and checked"
WEIGHTS = "weights"
TRIALS = "trials of a loaded model"
TOKENISATION = "tokenisation"
PRODUCTS = "matrix products of layers"
MIXING = "attention, WKV"
ELEMENTWISE = "elementwise, copies"
HEAD = "head and log-softmax"
BETWEEN = "Python between operators"
WRITING = "cell written"
REMAINDER = "everything else"
LOOKING = "looking"
"""What the first of the looking brings with it; it is no part of a run and not shown."""
PARTS = (
    *(START, IMPORTS, DIGESTS, TOKENIZER, WEIGHTS, TRIALS, TOKENISATION),
    *(PRODUCTS, MIXING, ELEMENTWISE, HEAD, BETWEEN, WRITING, REMAINDER),
)

_MODULES = {
    "rwkv7": ("evalkit.models.rwkv7.model",),
    "hf": ("evalkit.models.hf.model",),
    "gguf": ("evalkit.models.gguf.model",),
}
_FUNCTIONS = (
    ("evalkit.models.model_files", "file_sha256", DIGESTS),
    ("evalkit.models.hf.apart", "file_sha256", DIGESTS),
    ("evalkit.models.hf.checkpoint", "read_tokenizer", TOKENIZER),
    ("evalkit.models.gguf.model", "read_tokenizer", TOKENIZER),
    ("evalkit.models.hf.token_bytes", "TokenBytes.__init__", TOKENIZER),
    ("evalkit.models.rwkv7.model", "load_network", WEIGHTS),
    ("evalkit.models.hf.model", "load_weights", WEIGHTS),
    ("evalkit.models.gguf.model", "load_weights", WEIGHTS),
    ("evalkit.models.hf.model", "HfModel.__init__", TRIALS),
    ("evalkit.models.hf.token_bytes", "TokenBytes.encode", TOKENISATION),
    ("evalkit.models.rwkv7.model", "RWKV7Model.encode", TOKENISATION),
    ("evalkit.models.rwkv7.model", "linear_nll", HEAD),
    ("evalkit.models.hf.model", "linear_nll", HEAD),
    ("evalkit.cells.files", "write", WRITING),
)
"""Modules, what is replaced in them if they are imported, and the part that it belongs to."""
_ATTENTION = ("scaled_dot_product", "bmm", "_softmax")


def main(arguments: Sequence[str]) -> None:
    """Run ``evalkit run`` with the arguments after the first four, and write the times as JSON."""
    result, started_s, num_threads, loader, *words = arguments
    watch = Stopwatch(REMAINDER)
    watch.wall_s[START] = time.time() - float(started_s)
    watch.cpu_s[START] = time.process_time()
    with watch.during(IMPORTS):
        import torch

        for name in _MODULES.get(loader, ()):
            importlib.import_module(name)
    torch.set_num_threads(int(num_threads))
    with watch.during(START):
        importlib.import_module("evalkit.cells.files")
        program = importlib.import_module("evalkit.cli.main").main
    _replace(watch)
    sys.argv = ["evalkit", *words]
    exit_code: object = 0
    try:
        program(forks=False)  # what a fork does is not seen
    except SystemExit as end:
        exit_code = end.code
    watch.settle()
    times = {
        name: {part: seconds for part, seconds in by_part.items() if part != LOOKING}
        for name, by_part in (("wall_s", watch.wall_s), ("cpu_s", watch.cpu_s))
    }
    Path(result).write_text(json.dumps(times), encoding="utf-8")
    sys.exit(exit_code)  # type: ignore[arg-type]


def _replace(watch: Stopwatch) -> None:
    with watch.during(LOOKING):
        importlib.import_module("evalkit.bench.products")
    for module_name, path, part in _FUNCTIONS:
        module = sys.modules.get(module_name)
        if module is None:
            continue
        *owners, name = path.split(".")
        owner = functools.reduce(getattr, owners, module)
        setattr(owner, name, watch.timed(part, getattr(owner, name)))
    for module_name, class_name in (
        ("evalkit.models.rwkv7.model", "RWKV7Model"),
        ("evalkit.models.hf.model", "HfModel"),
    ):
        if module_name in sys.modules:
            owner = getattr(sys.modules[module_name], class_name)
            owner.nats = _watched_nats(watch, owner.nats)
    from evalkit_kernels import native_calls

    native_calls.run = _watched_native(watch, native_calls.run)
    with watch.during(LOOKING):
        _watched_nats(watch, _first_operator)()


def _first_operator() -> None:
    import torch

    torch.nn.functional.linear(torch.zeros(1, 1), torch.zeros(1, 1))


def _watched_nats(watch: Stopwatch, nats: Callable[..., Any]) -> Callable[..., Any]:
    from evalkit.bench.products import OperatorHook

    def timed(func: object, args: Sequence[Any], compute: Callable[[], object]) -> object:
        if watch.part in (HEAD, TRIALS, LOOKING):
            return compute()
        with watch.during(_part_of(func, args)):
            return compute()

    @functools.wraps(nats)
    def call(*args: Any, **kwargs: Any) -> Any:
        if watch.part == TRIALS:
            return nats(*args, **kwargs)
        with watch.during(LOOKING if watch.part == LOOKING else BETWEEN), OperatorHook(timed):
            return nats(*args, **kwargs)

    return call


def _part_of(func: object, args: Sequence[Any]) -> str:
    from evalkit.bench.products import product_of

    if product_of(func, args) is not None:
        return PRODUCTS
    return MIXING if any(word in str(func) for word in _ATTENTION) else ELEMENTWISE


def _watched_native(watch: Stopwatch, run: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(run)
    def call(function: str, *args: Any) -> None:
        is_mixing = function in ("evalkit_time_mix", "evalkit_wkv7")
        with watch.during(MIXING if is_mixing else ELEMENTWISE):
            run(function, *args)

    return call


if __name__ == "__main__":
    main(sys.argv[1:])
