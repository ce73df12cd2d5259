"""Drives both pages of `malaria-edge serve` in Firefox and WebKitGTK, at the widths of a phone and of a laptop.

    apt-get install firefox-esr webkit2gtk-driver xvfb xauth && cargo install geckodriver
    pip install selenium==4.51.0 pillow==13.0.0
    xvfb-run -a python tools/check_browsers.py PHOTOGRAPHS [--edge PROGRAM] [--screenshots FOLDER]

PHOTOGRAPHS is a folder of one patient's smear, such as `tools/compose_smears.py` makes. Cells are corrected with keys
and the mouse, one is added, the page is reloaded and its language changed, everything is saved, the report verified,
and the cells cut out of it are classified. The exit code is 1 after a fault, and 2 if something is missing.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from glob import glob
from pathlib import Path
from shutil import which

try:
    from PIL import Image
    from selenium import webdriver
except ImportError as error:
    print(__doc__, error, sep="\n")
    sys.exit(0 if "--help" in sys.argv else 2)

MINI_BROWSERS = [path for place in ("lib*", "lib/*") for path in glob(f"/usr/{place}/webkit2gtk-4.*/MiniBrowser")]
FIREFOX = {"firefox": which("firefox-esr") or which("firefox"), "geckodriver": which("geckodriver")}
WEBKIT = {"MiniBrowser": next(iter(MINI_BROWSERS), None), "WebKitWebDriver": which("WebKitWebDriver")}
NEEDED = {"Firefox": FIREFOX, "WebKitGTK": WEBKIT | {"a display": os.environ.get("DISPLAY")}}
READY = "document.readyState === 'complete' && document.querySelector('#model').textContent.includes('SHA-256')"
SETTLED = "document.querySelector('#reading').ariaBusy === 'false'"
JUDGED = "[...document.querySelectorAll('.cell')].map((one) => one.dataset.judgement).filter((one) => one !== 'none')"
# The middles of the crops in view.
CROPS = """[...document.querySelectorAll('.cell .picture')].map((one) => one.getBoundingClientRect())
    .filter(({ y }) => y > 0 && y + 88 < innerHeight).map(({ x, y }) => [x + 16, y + 16, x + 72, y + 72])"""


def start(name, home):
    """The browser, which saves files in `home`/Downloads."""
    (home / "Downloads").mkdir()
    program, driver, *_ = NEEDED[name].values()
    options = webdriver.FirefoxOptions() if name == "Firefox" else webdriver.WebKitGTKOptions()
    options.binary_location = program
    if name == "Firefox":
        options.add_argument("-headless")
        options.set_preference("browser.download.folderList", 2)
        options.set_preference("browser.download.dir", str(home / "Downloads"))
        return webdriver.Firefox(options, webdriver.FirefoxService(driver))
    options.add_argument("--automation")
    (home / "user-dirs.dirs").write_text('XDG_DOWNLOAD_DIR="$HOME/Downloads"\n')
    own = dict.fromkeys(["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"], str(home))
    return webdriver.WebKitGTK(options, service=webdriver.WebKitGTKService(driver, env=os.environ | own))


def drive(driver, name, width, address, home, args):
    """Yields what it saw. A fault is an AssertionError."""
    def one(css):
        return driver.find_element("css selector", css)

    def value(expression):
        return driver.execute_script(f"return {expression}")

    def wait(condition, seconds=60):
        while not value(condition):
            assert seconds > 0, f"never true: {condition}; {one('#status').text}"
            seconds -= 0.2
            time.sleep(0.2)

    def press(keys):
        for key in keys:
            webdriver.ActionChains(driver).send_keys(key).perform()
            time.sleep(0.1)
            wait(SETTLED)

    def click(css):
        value(f"document.querySelector('{css}').scrollIntoView({{ block: 'center' }})")
        one(css).click()

    def look(step):
        assert value("document.documentElement.scrollWidth <= innerWidth"), f"{step}: the page is too wide"
        if args.screenshots:
            driver.save_screenshot(str(args.screenshots / f"{name}-{width}-{step}.png"))

    driver.get(address)
    wait(READY)
    # Only windows without a tool bar can be as narrow as a phone.
    driver.execute_script(f"document.body.onclick = () => open('/', '', 'width={width},height=844')")
    click("h1")
    time.sleep(2)
    driver.close()
    driver.switch_to.window(driver.window_handles[0])
    driver.refresh()
    wait(READY)
    photographs = sorted(str(file.resolve()) for file in args.photographs.iterdir())
    one("#files").send_keys("\n".join(photographs))
    wait(f"document.querySelector('#status').textContent === 'Photographs read: {len(photographs)}' && {SETTLED}", 600)
    yield f"{value('innerWidth')} px, {one('#infected').text} of {one('#red-cells').text} cells infected"
    value("document.querySelector('.cell').focus()")
    press("inxi")
    click(".cell[data-judgement=none]")
    click("#judge [data-judgement=uninfected]")
    press("zn")
    click("#add")
    one("#stage").click()
    wait(f"document.querySelectorAll('#overlay circle').length === 1 && {SETTLED}")
    look("viewer")
    click("#viewer-close")
    one("[name=operator]").send_keys("Zoë")
    press("!")
    before = value(JUDGED)
    driver.refresh()
    wait(f"{READY} && document.querySelectorAll('#fields canvas').length === {len(photographs)} && {SETTLED}")
    assert len(before) == 5 and value(JUDGED) == before, f"judged {before}, after a reload {value(JUDGED)}"
    assert one("[name=operator]").get_property("value") == "Zoë!", "the reader's name is lost"
    yield "corrections and photographs kept"
    for language in ("es", "fr", "pt", "en"):
        click(f"#language option[value={language}]")
        wait(f"document.documentElement.lang === '{language}' && {SETTLED}")
        look(language)
    for top in range(0, value("document.documentElement.scrollHeight"), 400):
        value(f"scrollTo(0, {top})")
        time.sleep(0.5)
        page = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("L")
        for crop in map(page.crop, value(CROPS)):
            assert crop.getextrema()[1] - crop.getextrema()[0] > 20, "a crop is not shown"
    for kind in ("report", "json", "csv", "photographs"):
        click(f"#save-{kind}")
        time.sleep(1 + len(photographs))
    saved = os.listdir(home / "Downloads")
    assert len(saved) == 3 + len(photographs), f"saved: {saved}"
    report = [home / "Downloads/smear-report.html", args.photographs, "--cells", home / "cells"]
    verified = subprocess.run([args.edge, "verify", *report], capture_output=True, text=True)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    cells = sorted(str(file) for file in (home / "cells").glob("*/*.png"))
    driver.get(f"{address}cells")
    wait(READY)
    one("#files").send_keys("\n".join(cells))
    wait(f"document.querySelectorAll('#cell-rows tr').length === {len(cells)}")
    look("cells")
    yield f"everything saved, the report verified, its {len(cells)} cells classified"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--edge", default="target/debug/malaria-edge")
    parser.add_argument("--screenshots", type=Path)
    args = parser.parse_args()
    if which(args.edge) is None or not any(args.photographs.glob("*")):
        parser.error(f"no program {args.edge} (cargo build -p malaria-edge), or no photographs in {args.photographs}")
    missing = [f"{name} needs {part}" for name, parts in NEEDED.items() for part, found in parts.items() if not found]
    code = 2 if missing else 0
    print(*missing, sep="\n", end="\n" if missing else "")
    for name, parts in NEEDED.items():
        for width in (390, 1280) if all(parts.values()) else ():
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                server = subprocess.Popen([args.edge, "serve", "--port", "0"], stdout=subprocess.PIPE, text=True)
                driver = start(name, Path(folder))
                said = f"{name} {driver.capabilities['browserVersion']} at {width} px"
                try:
                    for seen in drive(driver, name, width, server.stdout.readline().strip(), Path(folder), args):
                        print(f"{said}: {seen}", flush=True)
                except Exception as fault:
                    print(f"{said}: FAULT: {fault!r}", flush=True)
                    code = 1
                driver.quit()
                server.kill()
    return code


if __name__ == "__main__":
    sys.exit(main())
