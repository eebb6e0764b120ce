"""llama.cpp's own server on this machine, from the package xllamacpp."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import xllamacpp


@contextlib.contextmanager
def llamacpp_server(path: Path, *, num_slots: int = 2, context_length: int = 512) -> Iterator[str]:
    """The address of a server of a GGUF file, which attends in float32.

    Args:
        path: the file.
        num_slots: how many prompts it reads side by side.
        context_length: of all slots together.
    """
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.hostnames, parameters.port = ["127.0.0.1"], 0
    parameters.n_parallel, parameters.n_ctx = num_slots, context_length
    parameters.warmup, parameters.verbosity = False, -1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.n_threads_http = num_slots + 1
    parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = xllamacpp.Server(parameters)
    try:
        yield server.listening_address
    finally:
        del server
