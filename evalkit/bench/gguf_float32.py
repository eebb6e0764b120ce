"""A GGUF file with the same weights in float32, for programs that would round what they multiply."""

from pathlib import Path

import torch

from evalkit.models.gguf.dequantise import read_tensor
from evalkit.models.gguf.parts import read_parts

_FILE_TYPE_F32 = 0
_SET_BY_THE_WRITER = ("general.architecture", "general.file_type", "general.quantization_version")


def write_float32(source: Path, target: Path) -> None:
    """Copy a GGUF file of one part with every tensor dequantised; the metadata stay as they are.

    Raises:
        ModelError: the file cannot be read.
    """
    from gguf import GGUFReader, GGUFWriter

    fields = GGUFReader(source).fields
    writer = GGUFWriter(target, fields["general.architecture"].contents())
    for name, field in fields.items():
        if name.startswith("GGUF.") or name in _SET_BY_THE_WRITER:
            continue
        sub_type = field.types[1] if len(field.types) > 1 else None
        writer.add_key_value(name, field.contents(), field.types[0], sub_type)
    writer.add_file_type(_FILE_TYPE_F32)
    for name, info in read_parts((source,)).tensors.items():
        writer.add_tensor(name, read_tensor(info, torch.float32).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
