"""Hooks of mkdocs.yml: pages that stand outside of docs/ are pages of the site, too."""

import pathlib
import re

from mkdocs.structure.files import File

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
# File of the repository -> page of the site.
PAGES = {
    "README.md": "index.md",
    "RESULTS.md": "results.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
}
FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files, config):
    """Adds the pages and pictures from outside of docs/."""
    for source, target in PAGES.items():
        text = (REPOSITORY / source).read_text(encoding="utf-8")
        files.append(File.generated(config, target, content=_linked(text, REPOSITORY)))
    for picture in (REPOSITORY / "examples" / "plots").glob("*.png"):
        target = picture.relative_to(REPOSITORY).as_posix()
        files.append(File.generated(config, target, abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown, page, **_):
    """Links of a page of docs/ as the site has them."""
    if page.file.src_uri in PAGES.values():
        return markdown
    return _linked(markdown, REPOSITORY / "docs")


def _linked(text, folder):
    """A page's text with links to where their targets are in the site.

    Links to files that are no pages, such as logs, become their text.
    """

    def one(match):
        sign, words, link = match.groups()
        if re.match(r"\w+:", link) or link.startswith("#"):
            return match[0]
        path, separator, anchor = link.partition("#")
        place = (folder / path).resolve().relative_to(REPOSITORY).as_posix()
        target = PAGES.get(place) or place.removeprefix("docs/")
        if not target.endswith((".md", ".png")):
            return words
        return f"{sign}[{words}]({target}{separator}{anchor})"

    parts = FENCE.split(text)  # code stays as it is
    return "".join(part if i % 2 else LINK.sub(one, part) for i, part in enumerate(parts))
