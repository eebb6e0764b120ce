"""llama.cpp without its roundings: attention in float32, so that it can be compared closely."""

import ctypes

from evalkit.models.llamacpp.library import ContextParameters, LlamaCpp

# Places of 32-bit fields in llama_context_params of October 2026.
FLASH_ATTENTION, TYPE_OF_KEYS, TYPE_OF_VALUES = 13, 26, 27
AUTO, OFF, FLOAT16, FLOAT32 = -1, 0, 1, 0


class ExactLlamaCpp(LlamaCpp):
    """By default it keeps keys and values in float16, and its flash attention rounds queries as well."""

    def _context_parameters(self) -> ContextParameters:
        parameters = super()._context_parameters()
        fields = (ctypes.c_int32 * (ctypes.sizeof(parameters) // 4)).from_buffer(parameters)
        assert fields[FLASH_ATTENTION] == AUTO
        assert fields[TYPE_OF_KEYS] == fields[TYPE_OF_VALUES] == FLOAT16
        fields[FLASH_ATTENTION] = OFF
        fields[TYPE_OF_KEYS] = fields[TYPE_OF_VALUES] = FLOAT32
        return parameters
