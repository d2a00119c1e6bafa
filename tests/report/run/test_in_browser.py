"""The page as a real browser shows it: from a file, by day and by night, wide and narrow, on paper."""

import io
from collections.abc import Iterator
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from numpy.typing import NDArray

from biofm.report.run import Table
from tests.report.run.browser import NEEDS_BROWSER, Browser, Page
from tests.report.run.conftest import MakeReport, page_of

pytestmark = [pytest.mark.slow, NEEDS_BROWSER]

DEVICES = [(1200, "light"), (1200, "dark"), (390, "light"), (390, "dark")]
LONG = "a_name_without_a_space_" * 20


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def url(make_report: MakeReport, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a file with one of everything, some of it too wide for a phone, and some of it hostile."""
    wide = Table(title="Wide", header=("name", *map(str, range(30))), rows=[(LONG, *range(30_000, 30_030))])
    hostile = {"<img src=x onerror=alert(1)>": "<script>alert(2)</script>", LONG: LONG}
    report = make_report(data=(wide,), configuration=hostile, facts={LONG: LONG}, summary=LONG)
    file = tmp_path_factory.mktemp("run") / "report.html"
    file.write_text(page_of(report), encoding="utf-8")
    return file.as_uri()


def pixels(png: bytes) -> NDArray[np.int64]:
    """(height, width, 3), from 0 to 255."""
    image: NDArray[np.int64] = np.round(255 * matplotlib.image.imread(io.BytesIO(png))[..., :3]).astype(int)
    return image


@pytest.mark.parametrize(("width", "scheme"), DEVICES)
def test_the_page_loads_nothing_complains_of_nothing_and_fits(
    width: int, scheme: str, browser: Browser, url: str
) -> None:
    page = browser.open(url, width=width, scheme=scheme)
    asked = [address for address in page.requests if not address.startswith("data:image/png")]
    assert asked == [url]
    assert page.complaints == []
    assert page.evaluate("document.title") == "protein-nano on UniRef90 · biofm pretraining"
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("width", "scheme"), DEVICES)
def test_something_is_drawn_on_a_ground_of_the_right_shade(
    width: int, scheme: str, browser: Browser, url: str
) -> None:
    shot = pixels(browser.open(url, width=width, scheme=scheme).screenshot())
    colours, counts = np.unique(shot @ [1 << 16, 1 << 8, 1], return_counts=True)
    ground = np.array([*int(colours[counts.argmax()]).to_bytes(3, "big")])
    assert ground.mean() > 230 if scheme == "light" else ground.mean() < 50
    differs = np.abs(shot - ground).max(-1) > 50
    assert 0.02 < differs.mean() < 0.5
    assert len(colours) > 100


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_lines_can_be_told_from_the_ground(scheme: str, browser: Browser, url: str) -> None:
    """WCAG 2.2: 4.5 to 1 for text (1.4.3), 3 to 1 for lines (1.4.11)."""
    page = browser.open(url, scheme=scheme)
    for name, least in [("ink", 4.5), ("muted", 4.5), ("accent", 4.5), ("warm", 4.5)] + [
        (f"line-{number}", 3.0) for number in range(1, 6)
    ]:
        for ground in ("paper", "card"):
            assert contrast(page, name, ground) >= least, (name, ground)


def contrast(page: Page, one: str, other: str) -> float:
    low, high = sorted(luminance(page, name) + 0.05 for name in (one, other))
    return high / low


def luminance(page: Page, name: str) -> float:
    """Relative luminance of a colour of the page (WCAG 2.2)."""
    colour = page.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('--{name}')")
    parts = np.array([int(colour.strip()[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_markup_in_names_has_not_run(browser: Browser, url: str) -> None:
    page = browser.open(url)
    assert page.evaluate("document.querySelectorAll('main script, main img[src=x]').length") == 0
    assert "<script>alert(2)</script>" in page.evaluate("document.body.innerText")
    assert page.events("Page.javascriptDialogOpening") == []


def test_the_policy_holds_back_a_script_and_a_request_that_others_put_in(
    browser: Browser, url: str, make_report: MakeReport, tmp_path: Path
) -> None:
    """Were escaping ever to fail, nothing would run and nothing would be fetched."""
    smuggled = "<script>document.title = 'run'</script><img src='https://a.example/x.png' alt=''></main>"
    file = tmp_path / "smuggled.html"
    file.write_text(page_of(make_report(curves=())).replace("</main>", smuggled), encoding="utf-8")
    page = browser.open(file.as_uri())
    assert page.evaluate("document.title") != "run"
    assert not [event for event in page.events("Network.responseReceived") if "a.example" in str(event)]
    assert len(page.complaints) == 2


def test_pointing_at_a_curve_tells_its_values_and_leaving_it_clears_them(browser: Browser, url: str) -> None:
    page = browser.open(url, height=4000)
    x, y, width, height = page.evaluate(
        "(() => { const box = document.querySelector('.plot svg').getBoundingClientRect();"
        " return [box.x, box.y, box.width, box.height]; })()"
    )

    def said() -> list[str]:
        lines: str = page.evaluate("document.querySelector('.tip')?.innerText ?? ''")
        return [line for line in lines.splitlines() if line]

    assert said() == []
    page.point(x + 0.97 * width, y + 0.5 * height)
    step, training, validation = said()
    assert (step, validation) == ("step 1,000", "validation 2.65")
    assert training.startswith("training 2.")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200
    page.point(1, 1)
    assert said() == []


def test_the_page_is_whole_without_its_script(browser: Browser, url: str) -> None:
    page = browser.open("about:blank")
    page.ask("Emulation.setScriptExecutionDisabled", value=True)
    page.visit(url)
    plain = pixels(page.screenshot())
    scripted = pixels(browser.open(url).screenshot())
    assert plain.shape == scripted.shape
    assert np.abs(plain - scripted).max() == 0


def test_the_page_can_be_printed(browser: Browser, url: str) -> None:
    assert browser.open(url, scheme="dark").print().startswith(b"%PDF-")
