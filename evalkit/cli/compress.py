"""``evalkit compress`` and ``evalkit decompress``: a number of bits, as a file that can be decoded."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.parsing import (
    DeviceOption,
    DtypeOption,
    MaxContextOption,
    PrefixOption,
    TrustOption,
    check_output_file,
    joined,
)
from evalkit.terminal import show

if TYPE_CHECKING:
    from evalkit.coding.compression import Compressed
    from evalkit.coding.container import Header
    from evalkit.models.loading import LocatedModel


def compress_command(
    file: Annotated[Path, typer.Argument(help="Any file.")],
    model: Annotated[str, typer.Option("--model", help="A model that shows distributions; no compressor.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The compressed file; FILE.ek by default.")
    ] = None,
    num_lanes: Annotated[
        int | None,
        typer.Option("--lanes", help="Segments read side by side; 1: smallest, and slow.", min=1, max=4096),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Decode it again before it is written.")] = False,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    max_context: MaxContextOption = None,
    prefix: PrefixOption = None,
    trust_remote_code: TrustOption = False,
) -> None:
    """Compress a file with a model's own distributions; `evalkit decompress` gives it back."""
    from evalkit.coding.compression import compress_bytes, decompress_bytes
    from evalkit.coding.container import SUFFIX, read_container
    from evalkit.files import atomic_write, is_stream
    from evalkit.models.loading import load_model

    data = _content(file)
    output = output or file.with_name(file.name + SUFFIX)
    _check_output(file, output)
    loaded = load_model(
        model,
        device=device,
        dtype=dtype,
        max_context=max_context,
        prefix=joined(prefix),
        trust_remote_code=trust_remote_code,
    )
    compressed = compress_bytes(data, loaded, num_lanes=num_lanes)
    if verify:
        decompress_bytes(read_container(compressed.content, str(output)), loaded, str(output))
    with atomic_write(output) as temporary:
        temporary.write_bytes(compressed.content)
    for line in _lines(file, output, len(data), compressed):
        show(line, err=is_stream(output))  # not among what went to a pipe


def decompress_command(
    file: Annotated[Path, typer.Argument(help="A file that `evalkit compress` wrote.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file; FILE without .ek by default.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Where the model is; by default its name in the file.")
    ] = None,
    trust_remote_code: TrustOption = False,
) -> None:
    """Give back what `evalkit compress` compressed, to the last bit, or say why not."""
    from evalkit.coding.compression import check_model, decompress_bytes
    from evalkit.coding.container import SUFFIX, read_container
    from evalkit.errors import UsageError
    from evalkit.files import atomic_write, is_stream

    if output is None:
        if file.suffix != SUFFIX:
            raise UsageError(f"{file} does not end in {SUFFIX}; say with --output where its content goes")
        output = file.with_suffix("")
    _check_output(file, output)
    container = read_container(_content(file), str(file))
    located = _located(container.header, model, trust_remote_code=trust_remote_code, file=file)
    check_model(container.header, located.identity, str(file))
    data = decompress_bytes(container, located.load(), str(file))
    with atomic_write(output) as temporary:
        temporary.write_bytes(data)
    text = f"{file}: {len(data):,} bytes to {output}, as they were (SHA-256 {container.header.sha256[:16]}…)"
    show(text, err=is_stream(output))


def _located(header: "Header", model: str | None, *, trust_remote_code: bool, file: Path) -> "LocatedModel":
    """The model that a file names, with the options that it was compressed under; not loaded yet.

    Raises:
        UsageError: the file names none of the catalog's, and the command line none.
        ModelError: it cannot be identified.
    """
    import torch

    from evalkit.errors import ModelError, UsageError
    from evalkit.models.catalog import load_catalog
    from evalkit.models.loading import locate_model
    from evalkit.models.prefixes import parse_rule
    from evalkit.models.protocol import LoadOptions

    facts = header.model
    # A file may name any server, repository or folder: none is looked at because a file of somebody says so.
    if model is None and facts.name not in load_catalog():
        raise UsageError(
            f"{file} was compressed with {facts.name}, which is in no list of models here; say where it is "
            "with --model"
        )
    if header.numerics.device == "cuda" and not torch.cuda.is_available():
        raise ModelError(
            f"{file} was compressed on a GPU ({header.numerics.processor}), and there is none here; "
            "decompress it on such a machine"
        )
    options = LoadOptions(
        device=header.numerics.device,
        dtype=facts.dtype if facts.dtype in ("float32", "bfloat16", "float16") else "auto",
        trust_remote_code=trust_remote_code,
        max_context=facts.context_limit,
    )

    def locate(options: LoadOptions) -> "LocatedModel":
        try:
            return locate_model(model or facts.name, options)
        except (ModelError, UsageError) as error:
            hint = (
                "" if model else f" ({file} was compressed with {facts.name}; say where it is with --model)"
            )
            raise type(error)(f"{error}{hint}") from error

    located = locate(options)
    if located.identity.prefix != facts.prefix:  # it was not the model's own
        located = locate(options._replace(prefix=parse_rule(facts.prefix, f"{file}: its prefix")))
    return located


def _content(file: Path) -> bytes:
    from evalkit.errors import UsageError, first_line

    if file.exists() and not (file.is_file() or file.is_dir()):
        raise UsageError(f"{file} is a pipe or a device, which might never end; save it to a file first")
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or first_line(error)}") from error


def _check_output(file: Path, output: Path) -> None:
    from evalkit.errors import UsageError

    if output.exists() and file.exists() and output.samefile(file):
        raise UsageError(f"{output} is the file itself; give --output another name")
    check_output_file(output, "--output")


def _lines(file: Path, output: Path, num_bytes: int, compressed: "Compressed") -> list[str]:
    size = len(compressed.content)
    rate = f", {8 * size / num_bytes:.4f} bits per byte" if num_bytes else ""
    lanes = "1 lane" if compressed.num_lanes == 1 else f"{compressed.num_lanes} lanes"
    stored = (
        f"; {compressed.num_stored_bytes:,} bytes are no text of the model's"
        if compressed.num_stored_bytes
        else ""
    )
    return [
        f"{file}: {num_bytes:,} bytes to {size:,} in {output}{rate}",
        f"  {compressed.num_tokens:,} tokens in {lanes}: {compressed.num_code_bytes:,} bytes of code, "
        f"{compressed.ideal_bits / 8:,.1f} by the model's distributions{stored}",
    ]
