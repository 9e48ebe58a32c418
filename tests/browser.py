"""Pages in headless Chromium, for tests that open what users open.

with browser() as chromium:
    chromium.get(path.as_uri())
    assert not complaints(chromium)
"""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

NO_COMPLAINT = (
    "favicon.ico",
    "GPU stall due to ReadPixels",
    "Automatic fallback to software WebGL",
    "willReadFrequently",
)
"""Parts of lines of the console that say nothing of a page: Chromium's own, and of the machine's graphics."""


@contextlib.contextmanager
def browser(width: int = 1920, height: int = 1000, *, network: bool = False) -> Iterator:
    """A headless Chromium, driven by selenium, whose viewport has this size (pixels).

    Parameters
    ----------
    network
        Whether other names than those of this machine can be reached.
    """
    selenium = pytest.importorskip("selenium.webdriver", reason="needs selenium, and chromium")
    from selenium.webdriver.chrome.service import Service

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs chromium and chromedriver")
    options = selenium.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "headless=new",
        "no-sandbox",
        "disable-dev-shm-usage",
        "hide-scrollbars",
        "force-device-scale-factor=1",
    ):
        options.add_argument(f"--{flag}")
    options.add_argument("--enable-unsafe-swiftshader")  # WebGL without a graphics card
    options.add_argument("--disable-component-update")
    if not network:
        options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost , EXCLUDE 127.0.0.1")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = selenium.Chrome(options=options, service=Service(driver))
    try:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        yield opened
    finally:
        opened.quit()


def complaints(chromium) -> list[str]:
    """Warnings and errors that the console has had since the last call."""
    found = [entry["message"] for entry in chromium.get_log("browser") if entry["level"] in ("WARNING", "SEVERE")]
    return [message for message in found if not any(part in message for part in NO_COMPLAINT)]


def requests(chromium) -> list[str]:
    """What pages asked for since the last call: addresses, but for parts of pages themselves (`data:`, `blob:`)."""
    messages = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    asked = [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]
    return [address for address in asked if not address.startswith(("data:", "blob:", "chrome"))]


def screenshot(chromium, path: Path) -> Path:
    """What is seen, as a PNG."""
    chromium.save_screenshot(str(path))
    return path
