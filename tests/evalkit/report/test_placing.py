"""What a site may replace and remove where it is put, and what is there when that is stopped."""

import functools
import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.analysis.site_listing import SITE_LISTING, SiteListing, listing_text, read_listing
from evalkit.errors import UsageError
from evalkit.files import TEMPORARY_SUFFIX, temporary_folder
from evalkit.report.placing import check_output, placed

OLD = {"index.html": "old entrance", "models/a.html": "a", "models/gone/b.html": "b", "data/x.js": "1"}
NEW = {"index.html": "new entrance", "models/a.html": "a", "models/c.html": "c", "data/x.js": "2"}
FOREIGN = {".git": "gitdir: elsewhere", "CNAME": "example.org", "notes.md": "mine", "models/c.txt": "notes"}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def build(output: Path, files: dict[str, str]) -> None:
    """As `build_site` does."""
    check_output(output, output.parent / "runs")
    with placed(output) as folder:
        write(folder, files)
        listing = SiteListing({name: digest(text) for name, text in files.items()})
        (folder / SITE_LISTING).write_text(listing_text(listing))


def read(folder: Path) -> dict[str, str]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != SITE_LISTING)
    return {path.relative_to(folder).as_posix(): path.read_text() for path in paths}


def test_what_evalkit_did_not_write_stays(tmp_path: Path) -> None:
    site = tmp_path / "site"
    build(site, OLD)
    write(site, FOREIGN)
    (site / "empty").mkdir()
    build(site, NEW)
    assert read(site) == NEW | FOREIGN
    assert (site / "empty").is_dir() and not (site / "models" / "gone").exists()
    assert read_listing(site) == SiteListing({name: digest(text) for name, text in NEW.items()})
    build(site, OLD)
    build(site, OLD)
    assert read(site) == OLD | FOREIGN
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site"]


def test_a_work_tree_is_a_place_for_a_site(tmp_path: Path) -> None:
    site = tmp_path / "site"
    subprocess.run(["git", "init", "--quiet", site], check=True)
    (site / "CNAME").write_text("example.org")
    (site / ".nojekyll").touch()
    build(site, OLD)
    build(site, NEW)
    status = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all"],
        cwd=site,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert {line[3:] for line in status.splitlines()} == {*NEW, "CNAME", ".nojekyll", SITE_LISTING}


def test_folders_of_other_programs_are_refused_whole(tmp_path: Path) -> None:
    for number, listing in enumerate(
        [
            "{}",
            "[]",
            '{"name": "my site", "pages": ["index.html"]}',
            '{"schema_version": 1, "files": ["index.html"]}',
            '{"schema_version": 1, "files": {"index.html": "no digest"}}',
            json.dumps({"schema_version": 1, "files": {"../outside": digest("outside")}}),
            json.dumps({"schema_version": 1, "files": {"/etc/hostname": digest("outside")}}),
            json.dumps(
                {"schema_version": 1, "files": {}, "replaced": {"a/../../outside": [digest("outside")]}}
            ),
            json.dumps({"schema_version": 1, "files": {"index\0.html": digest("outside")}}),
            json.dumps({"schema_version": 1, "files": {"\ud800.html": digest("outside")}}),
            "[" * 100_000,
        ]
    ):
        folder = tmp_path / str(number)
        write(folder, {"index.html": "of another program", SITE_LISTING: listing})
        (tmp_path / "outside").write_text("outside")
        with pytest.raises(UsageError, match="holds something else than a site"):
            build(folder, NEW)
        assert read(folder) == {"index.html": "of another program"}
        assert (folder / SITE_LISTING).read_text() == listing
        assert (tmp_path / "outside").read_text() == "outside"


def test_a_file_of_ours_that_was_changed_is_not_ours(tmp_path: Path) -> None:
    site = tmp_path / "site"
    build(site, OLD)
    (site / "models" / "gone" / "b.html").write_text("b, corrected by hand")
    with pytest.raises(UsageError, match=r"models/gone/b\.html was changed after the site was built; move"):
        build(site, NEW)
    assert read(site) == OLD | {"models/gone/b.html": "b, corrected by hand"}


@pytest.mark.parametrize("name", ["models/c.html", "models"])
def test_a_file_in_the_way_is_told_before_anything_is_replaced(tmp_path: Path, name: str) -> None:
    site = tmp_path / "site"
    old = {"index.html": "old entrance"}
    build(site, old)
    write(site, {name: "of another program"})
    with pytest.raises(UsageError, match=r"models/.*html is not of a site that evalkit built, and would be"):
        build(site, NEW)
    assert read(site) == old | {name: "of another program"}


def test_links_inside_a_site_lead_nowhere(tmp_path: Path) -> None:
    site, outside = tmp_path / "site", tmp_path / "outside"
    build(site, OLD)
    (site / "models").rename(outside)
    (site / "models").symlink_to(outside)
    with pytest.raises(UsageError, match=r"models/a\.html was changed after"):
        build(site, NEW)
    assert read(outside) == {"a.html": "a", "gone/b.html": "b"}


def test_a_build_that_fails_changes_nothing(tmp_path: Path) -> None:
    site = tmp_path / "site"
    for before in ({}, OLD):
        if before:
            build(site, before)
        with pytest.raises(KeyboardInterrupt), placed(site) as folder:
            write(folder, NEW)
            raise KeyboardInterrupt
        assert site.exists() == bool(before) and read(site) == before
        assert not any(path.name.endswith(TEMPORARY_SUFFIX) for path in tmp_path.rglob("*"))


def forked(function: Callable[[], None]) -> int:
    """The id of a process that does it, and ends with 0 or 1."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def _killed_at(output: Path, step: int) -> bool:
    """Put the new site in place in a process that dies at the step-th change of a file; False if it lived."""

    def build_and_die() -> None:
        num_steps, replace, unlink = 0, Path.replace, Path.unlink

        def count() -> None:
            nonlocal num_steps
            num_steps += 1
            if num_steps > step:
                os.kill(os.getpid(), signal.SIGKILL)

        def counted_replace(path: Path, target: Path) -> Path:
            count()
            return replace(path, target)

        def counted_unlink(path: Path, missing_ok: bool = False) -> None:
            count()
            unlink(path, missing_ok)

        Path.replace, Path.unlink = counted_replace, counted_unlink  # type: ignore[method-assign, assignment]
        build(output, NEW)

    return os.waitpid(forked(build_and_die), 0)[1] == signal.SIGKILL


def test_kills_between_any_two_steps_lose_neither_site(tmp_path: Path) -> None:
    for step in range(100):
        site = tmp_path / str(step)
        build(site, OLD)
        write(site, FOREIGN)
        is_killed = _killed_at(site, step)
        files = {name: text for name, text in read(site).items() if TEMPORARY_SUFFIX not in name}
        foreign = {name: files.pop(name) for name in FOREIGN}
        assert foreign == FOREIGN
        assert all(text in (OLD.get(name), NEW.get(name)) for name, text in files.items())
        # Nothing is missing of one of the two: no page is gone before all of the new ones are there.
        assert files.keys() >= OLD.keys() & NEW.keys()
        assert files.keys() >= OLD.keys() or files.keys() >= NEW.keys()
        again = OLD if step % 2 else NEW
        build(site, again)
        assert read(site) == again | FOREIGN
        if not is_killed:
            assert step > len(NEW)
            return
    pytest.fail("the process was killed at every step")


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_ours_are_replaced_and_foreign_ones_never(data: st.DataObject) -> None:
    """Whatever lies there, in whatever order sites are built: what evalkit did not write never changes."""
    names = st.sampled_from(["index.html", "a/b.html", "a/c.html", "d.js", "a", "notes"])
    texts = st.sampled_from(["one", "two", "three"])
    with temporary_folder(Path.cwd()) as folder:
        site, foreign = folder / "site", {}
        for _ in range(data.draw(st.integers(1, 4))):
            is_site = data.draw(st.booleans())
            name, text = data.draw(names), data.draw(texts)
            if (
                not is_site
                and not (site / name).exists()
                and not any((site / parent).is_file() for parent in Path(name).parents)
            ):
                write(site, {name: text})
                foreign[name] = text
            files = data.draw(st.dictionaries(names.filter(lambda n: n != "a"), texts, min_size=1))
            before = read(site)
            try:
                build(site, files)
            except UsageError:
                assert read(site) == before
            else:
                assert read(site) == foreign | files
                assert not foreign.keys() & files.keys()
            assert foreign.items() <= read(site).items()


def test_two_builds_at_once_leave_one_of_both_sites(tmp_path: Path) -> None:
    site = tmp_path / "site"
    build(site, OLD)
    pids = [forked(functools.partial(build, site, files)) for files in [OLD, NEW] * 3]
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * len(pids)
    assert read(site) in (OLD, NEW)
    listing = json.loads((site / SITE_LISTING).read_text())
    assert listing["files"] == {name: digest(text) for name, text in read(site).items()}
