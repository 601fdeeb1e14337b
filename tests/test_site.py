"""The documentation as a site, and the report page, in a real browser."""

import html
import re
import subprocess
import sys

import pytest

from browser import CHROMIUM, browsing
from processes import REPOSITORY, run_quickly
from web import serving

needs_browser = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    line = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder]
    done = subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_no_picture_or_page_is_missing(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 15
    pictures = 0
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for link in re.findall(r'(?:src|href)="([^"#]+)[#"]', text):
            link = html.unescape(link).partition("?")[0]
            if re.match(r"(https?:|mailto:|data:|/)", link) or page.name == "404.html":
                continue
            assert (page.parent / link).exists(), f"{page.relative_to(site)}: {link}"
            pictures += link.endswith(".png")
    assert pictures > 6


@pytest.fixture(scope="module")
def browser():
    with browsing() as one:
        yield one


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("width", [1280, 400])
def test_pages_load_and_search_works(site, browser, width):
    with serving(directory=site) as base:
        for page in sorted(site.rglob("index.html")):
            path = page.parent.relative_to(site).as_posix()
            browser.open(f"{base}/{'' if path == '.' else path + '/'}", width)
            assert browser.evaluate("document.querySelector('h1').innerText"), path
            assert browser.evaluate("[...document.images].every(i => i.complete && i.naturalWidth)")
            # A page may be wider than a phone only in what scrolls by itself.
            assert browser.evaluate("document.documentElement.scrollWidth") <= width, path
            assert not browser.console, (path, browser.console)
            assert all(url.startswith((base, "data:")) for url in browser.urls), browser.urls
        browser.open(f"{base}/?q=checkpoint", width)
        browser.wait_for("document.querySelectorAll('.md-search-result__link').length > 3")


@pytest.mark.slow
@needs_browser
def test_the_report_opens_alone(browser, tmp_path):
    run = ["--id", "one", "--results", tmp_path / "results", "--logs", tmp_path / "logs"]
    small = ["--model", "resnet-test", "--max_num_steps", "4", "--batch_size", "4"]
    for line in (
        ["train-cifar", "--dataset", "synthetic", *small, "--log_every", "1", *run],
        ["report", "one", *run[2:], "--output", tmp_path / "report.html"],
    ):
        done = run_quickly(*line)
        assert done.returncode == 0, done.stderr
    browser.open((tmp_path / "report.html").as_uri())
    assert not browser.console, browser.console
    assert all(url.startswith(("file:", "data:")) for url in browser.urls), browser.urls
    assert browser.evaluate("document.images.length") > 2
    assert browser.evaluate("[...document.images].every(i => i.complete && i.naturalWidth)")
    assert "resnet-test" in browser.evaluate("document.body.innerText")
