"""The page in a browser: nothing is fetched, a phone's width is enough, and axe finds no fault."""

import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from mlseg.report.__main__ import main
from tests.report.made_outcomes import add_outcomes
from tests.report.made_runs import make_run

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
BEST = "variance+class_balanced_dice"
VIEWS = [
  (width, scheme, media)
  for width, scheme, media in (
    (360, "light", "screen"),
    (360, "dark", "screen"),
    (1280, "light", "screen"),
    (1280, "dark", "screen"),
    (800, "dark", "print"),
  )
]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
  """Thirteen runs of ten seeds, as large as the largest study of the papers."""
  folder = tmp_path_factory.mktemp("study")
  names = [f"{s}+{a}" for s in ("variance", "mad", "bayesian") for a in "abcd"]
  names[0] = BEST
  first = folder / "runs" / "fixed"
  make_run(first, num_seeds=10, num_lines=140, num_cases=98, size=128, cosines=True)
  for place, name in enumerate(names):
    copy = folder / "runs" / name
    if place in (0, 1):  # the others are copies of these, which are quickly made
      make_run(copy, num_seeds=10, num_lines=140, num_cases=98, size=128, dice=0.7 - 0.1 * place)
    else:
      shutil.copytree(folder / "runs" / names[1], copy)
  for name in ("fixed", BEST):
    add_outcomes(folder / "runs" / name, num_seeds=6)
  words = [str(folder / "runs"), f"--out={folder / 'report'}", "--reference=fixed"]
  assert main(["report", *words]) == 0
  return folder / "report"


@pytest.fixture(scope="module")
def browser():
  if CHROMIUM is None:
    pytest.skip("Chromium is not here: on Debian, apt-get install --no-install-recommends chromium")
  with sync_playwright() as playwright:
    # Without its sandbox, which needs rights that containers do not have; the page is our own.
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    yield browser
    browser.close()


@pytest.fixture
def opened(browser, report):
  """Returns a function that opens the page and watches what it asks for and says."""
  pages = []

  def open_page(width, scheme="light", media="screen"):
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.faults = []
    address = (report / "index.html").as_uri()
    page.on("request", lambda r: r.url.startswith("data:") or page.faults.append(r.url))
    page.on("console", lambda message: page.faults.append(message.text))
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.emulate_media(media=media, color_scheme=scheme)
    page.goto(address)
    page.faults.remove(address)
    pages.append(page)
    return page

  yield open_page
  for page in pages:
    page.close()


def test_the_largest_report_is_below_8_megabytes(report):
  assert (report / "index.html").stat().st_size < 8e6
  assert len(list((report / "figures").glob("weights-*.svg"))) == 13


@pytest.mark.parametrize(("width", "scheme", "media"), VIEWS)
def test_axe_finds_nothing_serious_and_nothing_is_fetched(opened, width, scheme, media):
  page = opened(width, scheme, media)
  result = Axe().run(page)
  found = [v["id"] for v in result.response["violations"] if v["impact"] in ("serious", "critical")]
  assert not found, result.generate_report()
  assert len(result.response["passes"]) > 20  # it has looked
  assert page.faults == []


@pytest.mark.parametrize("width", [320, 360, 800, 1280])
def test_the_page_never_scrolls_sideways(opened, width):
  page = opened(width)
  assert page.evaluate("document.scrollingElement.scrollWidth") <= width


def test_wide_tables_scroll_by_keyboard(opened):
  page = opened(360)
  region = page.locator("#scores .scroll").first
  assert region.evaluate("e => e.scrollWidth > e.clientWidth")
  region.focus()
  assert region.evaluate("e => document.activeElement === e")
  page.keyboard.press("ArrowRight")
  for _ in range(100):  # it moves smoothly; the page allows no script that would wait in it
    if region.evaluate("e => e.scrollLeft") > 0:
      return
    page.wait_for_timeout(50)
  pytest.fail("the arrow key moved nothing")


def test_a_phone_shows_a_cue_and_a_shadow_where_a_table_goes_on(opened):
  phone, wide = opened(360), opened(1280)
  assert phone.locator("#scores .cue").first.is_visible()
  assert not wide.locator("#scores .cue").first.is_visible()
  region = phone.locator("#scores .scroll").first
  assert region.evaluate("e => getComputedStyle(e).backgroundAttachment").count("local") == 2


def test_every_class_has_a_sample_in_the_legend(opened):
  legend = opened(1280).locator("#cases .legend")
  assert legend.locator("li").count() == 2  # truth and prediction of the only class
  strokes = legend.locator("path").evaluate_all("all => all.map(p => getComputedStyle(p).stroke)")
  assert strokes == ["rgb(86, 180, 233)", "rgb(230, 159, 0)"]


def test_every_picture_is_drawn(opened):
  page = opened(1280)
  sizes = page.locator("img").evaluate_all("all => all.map(image => image.naturalWidth)")
  # Weights, losses, cosines, learning, two data sets, pairs; ROC and calibration of two runs.
  assert len(sizes) == 13 + 13 + 1 + 2 + 2 + 1 + 1 + 2
  assert min(sizes) > 100
  panels = page.locator(".cases svg")
  assert panels.count() == 3 * 15
  boxes = panels.evaluate_all("all => all.map(one => one.getBBox().width)")
  assert min(boxes) == 128  # the picture is there, though only the first panel holds it


def test_paper_takes_the_whole_page(opened, tmp_path):
  page = opened(1280, scheme="dark", media="print")
  assert page.locator("nav").is_hidden()
  assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
  content = page.pdf(format="A4")
  assert content.startswith(b"%PDF")
  assert len(content) > 100_000


def test_the_watch_sees_what_a_page_fetches(browser, tmp_path):
  (tmp_path / "index.html").write_text('<img src="https://example.invalid/a.png">')
  page = browser.new_page()
  seen = []
  page.on("request", lambda request: seen.append(request.url))
  page.goto((tmp_path / "index.html").as_uri())
  page.close()
  assert "https://example.invalid/a.png" in seen
