"""llama.cpp's C interface, from whichever installed package brings the library.

llama-cpp-python ships ``libllama.so``, xllamacpp (which has wheels for Linux) an extension that exports the
same functions. Of their structures only what has stayed in its place since 2024 is named, after ``llama.h``:
the first four sizes of a context's parameters, and the arrays of a batch.
"""

import ctypes
import functools
import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int8, c_int32, c_uint32, c_void_p
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ModelError

_PACKAGES = {"llama_cpp": "lib/libllama.so", "xllamacpp": "xllamacpp.abi3.so"}
"""Import names and the library in each, in order of preference."""
_LOGITS_BYTES = 64 << 20
"""What the logits of one call may take."""


class _ModelParameters(ctypes.Structure):
    _fields_ = [("opaque", c_int8 * 512)]


class ContextParameters(ctypes.Structure):
    """``llama_context_params``."""

    _fields_ = [
        ("n_ctx", c_uint32),
        ("n_batch", c_uint32),
        ("n_ubatch", c_uint32),
        ("n_seq_max", c_uint32),
        ("opaque", c_int8 * 512),
    ]


class _Batch(ctypes.Structure):
    _fields_ = [
        ("n_tokens", c_int32),
        ("token", POINTER(c_int32)),
        ("embd", c_void_p),
        ("pos", POINTER(c_int32)),
        ("n_seq_id", POINTER(c_int32)),
        ("seq_id", POINTER(POINTER(c_int32))),
        ("logits", POINTER(c_int8)),
    ]


_LOG_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_int, c_char_p, c_void_p)


class Library(NamedTuple):
    """The functions, and what computes them."""

    functions: ctypes.CDLL
    name: str
    """Package and version, e.g. ``xllamacpp 2026.10.11549``."""


@functools.cache
def open_library() -> Library:
    """llama.cpp, loaded once and told to log nothing.

    Raises:
        ModelError: no package that brings it is installed.
    """
    for module, file in _PACKAGES.items():
        spec = importlib.util.find_spec(module)
        folders = [] if spec is None else spec.submodule_search_locations or []
        paths = [path for folder in folders if (path := Path(folder) / file).is_file()]
        if paths:
            functions = ctypes.CDLL(str(paths[0]))
            _declare(functions)
            functions.llama_log_set(_SILENT, None)
            functions.llama_backend_init()
            return Library(functions, f"{module} {importlib.metadata.version(module)}")
    raise ModelError("llama.cpp is not installed; pip install xllamacpp (or llama-cpp-python)")


_SILENT = _LOG_CALLBACK(lambda _level, _text, _data: None)
"""Kept for as long as the library may call it."""


def _declare(functions: ctypes.CDLL) -> None:
    signatures: dict[str, tuple[object, list[object]]] = {
        "llama_log_set": (None, [_LOG_CALLBACK, c_void_p]),
        "llama_backend_init": (None, []),
        "llama_model_default_params": (_ModelParameters, []),
        "llama_context_default_params": (ContextParameters, []),
        "llama_model_load_from_file": (c_void_p, [c_char_p, _ModelParameters]),
        "llama_model_free": (None, [c_void_p]),
        "llama_model_get_vocab": (c_void_p, [c_void_p]),
        "llama_model_n_ctx_train": (c_int32, [c_void_p]),
        "llama_model_is_recurrent": (c_bool, [c_void_p]),
        "llama_vocab_n_tokens": (c_int32, [c_void_p]),
        "llama_vocab_bos": (c_int32, [c_void_p]),
        "llama_vocab_eos": (c_int32, [c_void_p]),
        "llama_vocab_get_add_bos": (c_bool, [c_void_p]),
        "llama_tokenize": (
            c_int32,
            [c_void_p, c_char_p, c_int32, POINTER(c_int32), c_int32, c_bool, c_bool],
        ),
        "llama_token_to_piece": (c_int32, [c_void_p, c_int32, c_char_p, c_int32, c_int32, c_bool]),
        "llama_init_from_model": (c_void_p, [c_void_p, ContextParameters]),
        "llama_free": (None, [c_void_p]),
        "llama_set_n_threads": (None, [c_void_p, c_int32, c_int32]),
        "llama_get_memory": (c_void_p, [c_void_p]),
        "llama_memory_clear": (None, [c_void_p, c_bool]),
        "llama_decode": (c_int32, [c_void_p, _Batch]),
        "llama_get_logits": (POINTER(c_float), [c_void_p]),
    }
    for name, (result, arguments) in signatures.items():
        function: Callable[..., object] = getattr(functions, name)
        function.restype = result  # type: ignore[attr-defined]
        function.argtypes = arguments  # type: ignore[attr-defined]


class LlamaCpp:
    """A model of llama.cpp: its tokenizer and its logits, on the processor."""

    def __init__(self, path: Path, *, num_threads: int) -> None:
        """Load a file.

        Args:
            path: a GGUF file.
            num_threads: of the processor.

        Raises:
            ModelError: llama.cpp is not installed, or does not load the file.
        """
        self._functions = functions = open_library().functions
        self._num_threads = num_threads
        self._context: int | None = None
        self._context_length = 0
        parameters = functions.llama_model_default_params()
        self._model: int | None = functions.llama_model_load_from_file(str(path).encode(), parameters)
        if not self._model:
            raise ModelError(f"llama.cpp does not load {path}; `llama-cli -m` says why")
        self._vocabulary = functions.llama_model_get_vocab(self._model)
        self.vocab_size: int = functions.llama_vocab_n_tokens(self._vocabulary)
        self.bos_id: int = functions.llama_vocab_bos(self._vocabulary)
        """-1 where there is none, as `eos_id`."""
        self.eos_id: int = functions.llama_vocab_eos(self._vocabulary)
        self.adds_bos: bool = functions.llama_vocab_get_add_bos(self._vocabulary)
        self.is_recurrent: bool = functions.llama_model_is_recurrent(self._model)
        self.context_length: int = functions.llama_model_n_ctx_train(self._model)
        """That of training, by the file's metadata."""
        self._chunk = max(16, min(512, _LOGITS_BYTES // 4 // self.vocab_size))

    def close(self) -> None:
        """Give the memory back; the model cannot be used any more."""
        if self._context:
            self._functions.llama_free(self._context)
        if self._model:
            self._functions.llama_model_free(self._model)
        self._context = self._model = None

    def __del__(self) -> None:
        """As `close`."""
        if hasattr(self, "_model"):
            self.close()

    def tokenize(self, text: str) -> list[int]:
        """Ids of a text, without special tokens in it or around it."""
        data = text.encode()
        ids = (c_int32 * (len(data) + 16))()
        count = self._functions.llama_tokenize(self._vocabulary, data, len(data), ids, len(ids), False, False)
        return list(ids[:count])

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token stands for."""
        buffer = ctypes.create_string_buffer(256)
        length = self._functions.llama_token_to_piece(
            self._vocabulary, token_id, buffer, len(buffer), 0, True
        )
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = self._functions.llama_token_to_piece(
                self._vocabulary, token_id, buffer, len(buffer), 0, True
            )
        return buffer.raw[:length]

    def nats(self, context: Sequence[int], targets: Sequence[int]) -> NDArray[np.float32]:
        """Nats of every target after a context that is not empty, read from the start.

        Raises:
            ModelError: llama.cpp cannot compute so many tokens.
        """
        costs = np.empty(len(targets), np.float32)
        done = 0
        for piece in self.logits(context, targets):
            logits = piece.astype(np.float64)
            ids = np.asarray(targets[done : done + len(logits)], np.int64)
            shifted = logits - logits.max(axis=1, keepdims=True)
            chosen = shifted[np.arange(len(ids)), ids]
            costs[done : done + len(ids)] = np.log(np.exp(shifted).sum(axis=1)) - chosen
            done += len(ids)
        return costs

    def logits(self, context: Sequence[int], targets: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Logits that predict each target after a context that is not empty, ``[N, vocab_size]`` a piece.

        A piece is memory of llama.cpp's that the next one overwrites.

        Raises:
            ModelError: llama.cpp cannot compute so many tokens.
        """
        inputs = [*context, *targets][:-1]
        self._reserve(len(inputs))
        self._functions.llama_memory_clear(self._functions.llama_get_memory(self._context), True)
        first = len(context) - 1
        for start in range(0, len(inputs), self._chunk):
            logits = self._logits(inputs[start : start + self._chunk], start)
            if start + len(logits) > first:
                yield logits[max(0, first - start) :]

    def _logits(self, ids: Sequence[int], start: int) -> NDArray[np.float32]:
        """``[len(ids), vocab_size]``, in memory of llama.cpp's that the next call overwrites."""
        count = len(ids)
        sequence = (c_int32 * 1)(0)
        batch = _Batch(
            count,
            (c_int32 * count)(*ids),
            None,
            (c_int32 * count)(*range(start, start + count)),
            (c_int32 * count)(*[1] * count),
            (POINTER(c_int32) * count)(*[ctypes.cast(sequence, POINTER(c_int32))] * count),
            (c_int8 * count)(*[1] * count),
        )
        status = self._functions.llama_decode(self._context, batch)
        if status:
            raise ModelError(f"llama.cpp could not compute {count} tokens from {start} on: status {status}")
        return np.ctypeslib.as_array(
            self._functions.llama_get_logits(self._context), (count, self.vocab_size)
        )

    def _context_parameters(self) -> ContextParameters:
        """llama.cpp's own defaults, for a context of `_context_length`."""
        parameters: ContextParameters = self._functions.llama_context_default_params()
        parameters.n_ctx = self._context_length
        parameters.n_batch = parameters.n_ubatch = self._chunk
        return parameters

    def _reserve(self, num_tokens: int) -> None:
        """A context that holds as many tokens, in steps so that few are made."""
        if self._context and num_tokens <= self._context_length:
            return
        if self._context:
            self._functions.llama_free(self._context)
        self._context_length = max(512, 1 << (num_tokens - 1).bit_length())
        parameters = self._context_parameters()
        self._context = self._functions.llama_init_from_model(self._model, parameters)
        if not self._context:
            raise ModelError(f"llama.cpp cannot make a context of {num_tokens} tokens; pass --max-context")
        self._functions.llama_set_n_threads(self._context, self._num_threads, self._num_threads)
