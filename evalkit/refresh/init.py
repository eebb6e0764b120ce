"""A new leaderboard's files: what it is made of, and what starts a refresh twice a month."""

import os
import shlex
import sys
from importlib import resources
from pathlib import Path
from string import Template

from evalkit.cells.object_store import check_is_local
from evalkit.contact import check_contact
from evalkit.errors import UsageError
from evalkit.files import create

FILES = ("leaderboard.toml", "leaderboard.service", "leaderboard.timer", "leaderboard.cron")


def init(folder: Path, contact: str) -> list[Path]:
    """Write `FILES` into a folder, all of them or none; returns their paths.

    In a git checkout the refresh that is started by the clock commits its results.

    Args:
        folder: of the leaderboard; made where there is none.
        contact: e-mail or web address that crawled sites are told.

    Raises:
        UsageError: the contact is none, the folder is in an object store, a file is there already, or the
            folder's name is one that neither systemd nor cron can be told.
    """
    contact = check_contact(contact, "--contact")
    check_is_local(folder, "the leaderboard's folder")
    place = Path(os.path.abspath(folder))  # noqa: PTH100  a link stays the name that it is known by
    unfit = [text for text in (str(place), sys.executable) if not _fits_in_a_line(text)]
    if unfit:
        raise UsageError(
            f"{unfit[0]!r} cannot stand in a line of systemd or cron; use a folder of another name"
        )
    paths = [folder / name for name in FILES]
    for path in paths:
        if os.path.lexists(path):
            raise UsageError(f"{path} is there already and is never overwritten; nothing was written")
    is_checkout = any((parent / ".git").exists() for parent in (place, *place.parents))
    command = [
        sys.executable,
        "-m",
        "evalkit",
        "leaderboard",
        "refresh",
        *(["--commit"] if is_checkout else []),
    ]
    values = {
        "contact": contact,
        "folder": shlex.quote(str(place)),
        "unit_folder": str(place).replace("%", "%%"),
        "unit_command": " ".join([_unit_program(command[0]), *command[1:]]),
        # Cron takes a plain % for the end of the command, in quotes too.
        "cron_command": f"cd {shlex.quote(str(place))} && {shlex.join(command)}".replace("%", r"\%"),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            template = resources.files("evalkit.refresh").joinpath("templates", path.name)
            create(path, Template(template.read_text(encoding="utf-8")).substitute(values))
    except OSError as error:
        raise UsageError(f"{error.filename or folder} cannot be written: {error.strerror}") from error
    return paths


def _fits_in_a_line(text: str) -> bool:
    return text.isprintable() and text == text.strip() and "\\" not in text


def _unit_program(path: str) -> str:
    """The first word of a systemd command line, in which nothing but ``%`` and quotes means anything."""
    escaped = path.replace('"', r"\"").replace("%", "%%")
    return f'"{escaped}"'
