"""Pages as people see them, in headless Chromium: pictures follow every control, without a complaint or a network."""

import io

import pytest
from PIL import Image

from tests.browser import complaints, requests
from tests.explore.conftest import FLOWS

PATIENCE = 20


def wait(chromium, script):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(chromium, PATIENCE, poll_frequency=0.05).until(lambda browser: browser.execute_script(script))


def opened(chromium, page):
    chromium.get(page.as_uri())
    wait(chromium, "return document.body.dataset.drawn")


def drawn(chromium):
    """Quantity -> its pixels on the screen."""
    screen = Image.open(io.BytesIO(chromium.get_screenshot_as_png()))
    boxes = chromium.execute_script(
        "return [...document.querySelectorAll('[data-quantity]')].map((each) => {"
        "const {left, top, right, bottom} = each.getBoundingClientRect();"
        "return [each.dataset.quantity, left, top, right, bottom]; })"
    )
    return {name: screen.crop(tuple(map(int, box))).tobytes() for name, *box in boxes}


def change(chromium, control, value):
    """Set a control as a user does, and wait until what follows is drawn."""
    before = chromium.execute_script("return document.body.dataset.drawn")
    chromium.execute_script(
        "const [id, value] = arguments, at = document.getElementById(id);"
        "if (at.type === 'checkbox') at.checked = value; else at.value = value;"
        "at.dispatchEvent(new Event(at.type === 'range' ? 'input' : 'change', {bubbles: true}));",
        control,
        value,
    )
    if control not in ("sensors", "coast", "anomalies"):
        wait(chromium, f"return document.body.dataset.drawn !== '{before}'")


def state(chromium):
    keys = ("case", "channel", "member", "across", "layer", "lead")
    return dict(zip(keys, chromium.execute_script("return document.body.dataset.drawn").split(","), strict=True))


@pytest.mark.parametrize("geometry", FLOWS)
def test_a_page_opens_and_the_slider_moves_its_pictures(chromium, pages, geometry):
    page = pages(geometry)
    complaints(chromium), requests(chromium)
    opened(chromium, page)
    first = drawn(chromium)
    assert set(first) == ({"forecast", "error"} if geometry == "line" else {"truth", "forecast", "error", "spread"})
    change(chromium, "lead", "3")
    assert state(chromium)["lead"] == "3"
    assert "lead 3" in chromium.find_element("id", "lead-name").text
    second = drawn(chromium)
    assert all(first[name] != second[name] for name in first)
    change(chromium, "lead", "0")
    assert complaints(chromium) == []
    assert requests(chromium) == [page.as_uri()]
    assert chromium.find_element("id", "fault").is_displayed() is False


def test_channels_cases_and_members_are_selected(chromium, pages):
    opened(chromium, pages("plane"))
    first = drawn(chromium)
    for control, name, value in (("channel", "channel", "1"), ("case", "case", "2")):
        change(chromium, control, value)
        assert state(chromium)[name] == value
        assert drawn(chromium)["truth"] != first["truth"]
    before = drawn(chromium)
    change(chromium, "member", "2")
    after = drawn(chromium)
    assert {name for name in after if after[name] != before[name]} == {"forecast", "error"}
    assert (
        "member 2" in chromium.find_element("css selector", "[data-quantity=forecast]").find_element("xpath", "..").text
    )


def test_members_are_differences_to_the_mean(chromium, pages):
    opened(chromium, pages("plane"))
    off = chromium.execute_script(
        "const sum = shown.mean.at(2).map(() => 0);"
        "shown.memberFields.forEach((field) => field.at(2).forEach((value, i) => (sum[i] += value)));"
        "return [Math.max(...sum.filter((x) => !Number.isNaN(x)).map(Math.abs)), shown.memberFields.length];"
    )
    assert off[1] == 4
    assert off[0] < 0.05


def test_a_sensor_tells_its_number_place_reading_and_what_the_model_gives(chromium, pages):
    opened(chromium, pages("plane"))
    change(chromium, "lead", "2")
    text = chromium.execute_script("return sensorTexts(shown)[0]")
    for part in ("sensor 0", "x = ", "y = ", "reading of u", "model, observed frame", "model, lead 2", "±", "truth"):
        assert part in text
    marks = chromium.execute_script("return document.querySelector('[data-quantity=truth]').data[2].x.length")
    assert marks == 8
    change(chromium, "sensors", False)
    assert chromium.execute_script("return document.querySelector('[data-quantity=truth]').data[2].x.length") == 0


def test_a_click_shows_the_course_of_a_point_and_a_pointer_its_values(chromium, pages):
    from selenium.webdriver import ActionChains

    opened(chromium, pages("plane"))
    change(chromium, "sensors", False)
    picture = chromium.find_element("css selector", "[data-quantity=truth] .nsewdrag")
    ActionChains(chromium).move_to_element_with_offset(picture, 90, 70).perform()
    wait(chromium, "return document.getElementById('readout').textContent.includes('interval')")
    told = chromium.find_element("id", "readout").text
    assert all(part in told for part in ("truth", "mean", "spread", "90 % interval", "error", "m/s"))
    ActionChains(chromium).move_to_element_with_offset(picture, 90, 70).click().perform()
    wait(chromium, "return shown.chosen.point !== undefined")
    names = chromium.execute_script(
        "return document.querySelector('[data-curves=series]').data.map((each) => each.name)"
    )
    assert {"members", "90 % interval", "mean", "truth"} <= set(names)


def test_errors_are_drawn_with_baselines_and_a_mark_at_the_lead_time(chromium, pages):
    opened(chromium, pages("plane"))
    read = "const at = document.querySelector('[data-curves=errors]'); return "
    names = chromium.execute_script(read + "at.data.map((each) => each.name)")
    assert {"sparsevq (ensemble mean)", "persistence", "climatology", "ridge regression"} <= set(names)
    change(chromium, "lead", "4")
    assert chromium.execute_script(read + "at.layout.shapes[0].x0") == pytest.approx(2.0)


def test_slices_and_surfaces_of_a_field_in_space(chromium, pages):
    opened(chromium, pages("space"))
    first, at = drawn(chromium), state(chromium)
    assert (at["across"], chromium.find_element("id", "view").get_attribute("value")) == ("y", "0")
    change(chromium, "layer", "0" if at["layer"] != "0" else "1")
    assert drawn(chromium)["truth"] != first["truth"]
    for number, across in enumerate("yxz"):
        change(chromium, "view", str(number)) if number else None
        assert state(chromium)["across"] == across
    kinds = "return [...document.querySelectorAll('[data-surface]')].map((each) => each.data[0].type)"
    assert chromium.execute_script(kinds) == ["isosurface", "isosurface"]
    level = "return document.querySelector('[data-surface=truth]').data[0].isomax"
    before = chromium.execute_script(level)
    chromium.execute_script(
        "const at = document.getElementById('level'); at.value = '70'; at.dispatchEvent(new Event('input'));"
    )
    assert chromium.execute_script(level) != before
    change(chromium, "lead", "2")
    assert complaints(chromium) == []


def test_coastlines_of_a_map_are_shown_and_hidden(chromium, pages):
    opened(chromium, pages("sphere"))
    points = "return document.querySelector('[data-quantity=truth]').data[1].x.length"
    assert chromium.execute_script(points) > 1000
    change(chromium, "coast", False)
    assert chromium.execute_script(points) == 0


def test_controls_have_names_and_nothing_is_wider_than_the_window(chromium, pages):
    opened(chromium, pages("space"))
    unnamed = chromium.execute_script(
        "return [...document.querySelectorAll('input, select, button')].filter((each) => each.offsetParent && "
        "!each.labels?.length && !each.getAttribute('aria-label')).map((each) => each.id)"
    )
    assert unnamed == []
    for width in (1280, 1920):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        opened(chromium, pages("space"))
        assert chromium.execute_script("return document.documentElement.scrollWidth") == width


def test_play_moves_on_and_pauses(chromium, pages):
    opened(chromium, pages("plane"))
    button = chromium.find_element("id", "play")
    button.click()
    assert button.get_attribute("aria-label") == "Pause"
    wait(chromium, "return shown.lead >= 2")
    button.click()
    assert button.get_attribute("aria-label") == "Play"
