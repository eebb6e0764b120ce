"""A built site takes its place: only files that evalkit wrote are replaced or removed.

The folder of a site may hold other things: the ``.git`` and ``CNAME`` of a work tree from which pages are
served, notes, pages of other programs. A file is evalkit's if the site's listing names it with the digest
that it has. A site is built in a hidden folder and moved in file by file, after a listing of both sites:
whatever stops that, every file is of the old site or of the new one, and the next build goes on from there.
"""

import contextlib
import hashlib
from collections.abc import Iterator, Set
from pathlib import Path, PurePosixPath

from evalkit.analysis.site_listing import SITE_LISTING, SiteListing, listing_text, read_listing
from evalkit.cells.object_store import check_is_local
from evalkit.errors import UsageError
from evalkit.files import atomic_write, locked, temporary_folder

_OF_WORK_TREES = {"CNAME"}
"""Beside hidden files, what a folder may hold that is to become a site."""


def check_output(output: Path, results: Path | None) -> None:
    """Refuse a folder that a site must not go to.

    Args:
        output: where the site is to be.
        results: the folder of its cells; None: they are in an object store.

    Raises:
        UsageError: it is in an object store, holds the results, is a file, or holds something else than a
            site, or a file of the site there was changed.
    """
    check_is_local(output, "--output")
    if results is not None and results.resolve().is_relative_to(output.resolve()):
        raise UsageError(f"--output {output} holds the results themselves; give another folder")
    if output.exists() and not output.is_dir():
        raise UsageError(f"--output {output} is a file; give a folder")
    if not output.is_dir():
        return
    if read_listing(output) is None:
        names = sorted(path.name for path in output.iterdir())
        foreign = [name for name in names if not name.startswith(".") and name not in _OF_WORK_TREES]
        if foreign:
            raise UsageError(
                f"--output {output} holds something else than a site ({foreign[0]}); give a new or empty "
                "folder"
            )
        return
    with _told(output), locked(output):  # not while another build moves its files in
        listing = read_listing(output) or SiteListing({})
        target = output.resolve()
        changed = [name for name in listing.names() if not _is_free(target, name, listing.digests(name))]
    if changed:
        raise UsageError(
            f"--output {output}: {changed[0]} was changed after the site was built; move it away, or give "
            "another folder"
        )


@contextlib.contextmanager
def placed(output: Path) -> Iterator[Path]:
    """A folder to build a site in, with its listing, which becomes that of ``output`` at the end.

    Raises:
        UsageError: ``output`` cannot be written, or holds a file that the site would replace and evalkit did
            not write; nothing is changed then.
    """
    target = output.resolve()  # where a link leads, so that the link stays
    is_new = not target.exists()
    try:
        with contextlib.ExitStack() as stack:
            with _told(output):
                target.mkdir(parents=True, exist_ok=True)
                folder = stack.enter_context(temporary_folder(target))
            yield folder
            with _told(output), locked(target):
                _place(folder, target, output)
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):  # not empty, or gone
                target.rmdir()
        raise


@contextlib.contextmanager
def _told(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot write to {output}: {error.strerror}; give another --output") from error


def _place(folder: Path, target: Path, output: Path) -> None:
    site = read_listing(folder)
    assert site is not None, "a site has a listing"
    before = read_listing(target) or SiteListing({})
    for name in site.files:
        if not _is_free(target, name, before.digests(name)):
            raise UsageError(
                f"--output {output}: {name} is not of a site that evalkit built, and would be replaced; move "
                "it away, or give another folder"
            )
    both = SiteListing(site.files, {name: before.digests(name) for name in before.names()})
    with atomic_write(target / SITE_LISTING) as temporary:
        temporary.write_text(listing_text(both), encoding="utf-8")
    for name in sorted(site.files, key=lambda name: (name == "index.html", name)):  # the entrance last
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (folder / name).replace(path)
    for name in set(before.names()) - set(site.files):
        if _is_free(target, name, before.digests(name)):
            _remove(target, name)
    (folder / SITE_LISTING).replace(target / SITE_LISTING)


def _is_free(target: Path, name: str, digests: Set[str]) -> bool:
    """Whether nothing is there, or a file of one of these contents; never what a link leads to."""
    path = target / name
    for parent in PurePosixPath(name).parents[:-1]:
        folder = target / parent
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            return False
    if path.is_symlink() or (path.exists() and not path.is_file()):
        return False
    return not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() in digests


def _remove(target: Path, name: str) -> None:
    """Remove a file, and the folders that are empty then."""
    (target / name).unlink(missing_ok=True)
    for parent in PurePosixPath(name).parents[:-1]:
        try:
            (target / parent).rmdir()
        except OSError:  # something else is in it
            return
