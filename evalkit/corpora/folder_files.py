"""The files of a folder that somebody gives as a corpus: plain ones, and none that lies outside of it.

A folder out of an archive may hold a link to ``/proc/self/environ`` or to a key, or a pipe that never ends.
What is not read is counted, and named up to a limit.
"""

import os
import stat
from collections import Counter
from pathlib import Path

from evalkit.corpora.file_kinds import readable_name
from evalkit.errors import CorpusError
from evalkit.files import parse_json

MAX_NAMED_FILES = 20
"""Of each reason; a manifest is read by people."""

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a link to a folder",
}


def folder_files(folder: Path, num_dropped: Counter[str]) -> list[Path]:
    """Plain files below a folder, sorted by relative path.

    Links to files count where they stay inside of the folder, or, where it is a snapshot in the cache of the
    hub's client, inside of the cached repository. Links to folders are not followed.

    Args:
        folder: where to look.
        num_dropped: here is counted what is hidden, linked elsewhere or no plain file.

    Raises:
        OSError: a folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise error

    root = _link_root(folder.resolve())
    files = []
    num_refused = 0
    for parent, folders, names in os.walk(folder, onerror=refuse):
        hidden = [name for name in folders if name.startswith(".")]
        links = [name for name in folders if name not in hidden and Path(parent, name).is_symlink()]
        folders[:] = sorted(set(folders) - {*hidden, *links})
        if hidden:
            num_dropped["hidden folder"] += len(hidden)
        if links:  # they may lead in a circle, or to what is here already
            num_dropped["link to a folder"] += len(links)
        for name in sorted(names):
            file = Path(parent, name)
            if name.startswith("."):
                num_dropped["hidden file"] += 1
            elif problem := _problem(file, root):
                num_refused += 1
                title = readable_name(file.relative_to(folder).as_posix())
                is_named = num_refused <= MAX_NAMED_FILES
                num_dropped[f"not read: {title}: {problem}" if is_named else "not read, not named"] += 1
            else:
                files.append(file)
    return sorted(files, key=lambda file: file.relative_to(folder).as_posix())


def check_saved_dataset(folder: Path) -> None:
    """Refuse a folder of ``datasets.save_to_disk`` that names files outside of it, or what is no plain file.

    Raises:
        CorpusError: it does.
        OSError: a file of it cannot be read.
        ValueError: a file of it is no JSON.
    """
    root = _link_root(folder.resolve())
    splits = folder / "dataset_dict.json"
    names: list[object] = []
    if os.path.lexists(splits):
        _check(splits, root)
        content = parse_json(splits.read_bytes())
        names = content.get("splits", []) if isinstance(content, dict) else []
    for part in [folder / str(name) for name in names] or [folder]:
        for name in ("dataset_info.json", "state.json"):
            _check(part / name, root)
        state = parse_json((part / "state.json").read_bytes())
        for entry in state.get("_data_files", []) if isinstance(state, dict) else []:
            _check(part / str(entry.get("filename") if isinstance(entry, dict) else entry), root)


def _check(file: Path, root: Path) -> None:
    if problem := _problem(file, root):
        raise CorpusError(f"{file}: {problem}; a dataset's files have to lie in its folder")


def _problem(file: Path, root: Path) -> str | None:
    """Why a file of a folder is not read; None if it is a plain one."""
    try:
        target = file.resolve(strict=True)
        mode = target.stat().st_mode
    except (OSError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
        return "a link to nothing" if file.is_symlink() else "not there"
    if not target.is_relative_to(root):
        return "a link to outside of the folder" if file.is_symlink() else "outside of the folder"
    return None if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "no plain file")


def _link_root(folder: Path) -> Path:
    """The folder, or the cached repository of which it is a snapshot: there all files are links to blobs."""
    for parent in folder.parents:
        if parent.name == "snapshots" and (parent.parent / "blobs").is_dir():
            return parent.parent
    return folder
