"""The pictures of the committed results on the pages: one link serves the repository and the built site."""

from pathlib import Path
from typing import Any

from properdocs.structure.files import File, Files


def on_files(files: Files, config: Any) -> Files:
    """Add what lies in results/pictures, which is outside of the pages' folder."""
    for path in sorted((Path(config.config_file_path).parent / "results" / "pictures").iterdir()):
        files.append(File.generated(config, f"pictures/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point the links that are right in the repository to where the pictures are in the built site."""
    return markdown.replace("](../results/pictures/", "](pictures/")
