# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "playwright==1.65.2",
# ]
# ///
"""Draws digits on the page of `zoo serve` in headless Chromium, with real pointer strokes.

Run it as `uv run scripts/check_page.py [FOLDER OF zoo] [--screenshots FOLDER]`. Needs Chromium (Debian's package
`chromium`). Checks: at least 9 of the 10 digits by mouse, each answer within 50 ms (median), some by touch, one by
keyboard, two digits beside each other, a photo of several, an image file chosen and dropped, the steps, the model
switch, the card, no message in the console, and that every control has a name that a screen reader can say.
"""
import json
import re
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from programs import ROOT, serving

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]
# Points on a paper of 280x280, written down by hand for this test; nothing is from MNIST.
STROKES = json.loads((ROOT / "scripts/digit-strokes.json").read_text())


PICTURES = """(() => { const all = [...document.querySelectorAll('#pictures img')];
    return all.length == 4 && all.every((image) => image.naturalWidth > 0); })()"""


def wait(page, condition):
    """Playwright's own way to wait evaluates text in the page, which the page does not allow."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"waited for {condition}")


def ready(page, url):
    page.goto(url)
    wait(page, "document.querySelectorAll('#classes li').length == 10")


def answer(page):
    """The label once the newest state of the paper was answered."""
    page.wait_for_timeout(50)
    wait(page, "document.querySelector('#answer').ariaBusy == 'false' && document.querySelector('#label').textContent != '–'")
    return page.text_content("#label"), float(page.get_attribute("#time", "data-milliseconds"))


def draw(page, strokes):
    page.click("#clear")
    box = page.locator("#paper").bounding_box()
    at = lambda point: [box[edge] + value * box[side] / 280 for edge, side, value in
                        (("x", "width", point[0]), ("y", "height", point[1]))]
    for stroke in strokes:
        page.mouse.move(*at(stroke[0]))
        page.mouse.down()
        for point in stroke[1:]:
            page.mouse.move(*at(point), steps=4)
        page.mouse.up()


def touch(page, strokes):
    """The same by finger, through Chromium's own input pipeline."""
    page.click("#clear")
    box = page.locator("#paper").bounding_box()
    client = page.context.new_cdp_session(page)
    send = lambda kind, points: client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    for stroke in strokes:
        at = lambda point: [{"x": box["x"] + point[0] * box["width"] / 280, "y": box["y"] + point[1] * box["height"] / 280}]
        send("touchStart", at(stroke[0]))
        for point in stroke[1:]:
            send("touchMove", at(point))
        send("touchEnd", [])


def beside(digits):
    """Strokes of several digits on one paper, each as narrow as it must be."""
    share = 1 / len(digits)
    place = lambda point, index: [(index + 0.5) * 280 * share + (point[0] - 140) * share, 140 + (point[1] - 140) * share * 1.2]
    return [[place(point, index) for point in stroke] for index, digit in enumerate(digits) for stroke in STROKES[digit]]


def keyboard_seven(page):
    """Across, then down to the left, as somebody without a pointer would."""
    page.click("#clear")
    page.focus("#paper")
    page.keyboard.press("Escape")
    press = lambda *keys: [page.keyboard.press(key) for key in keys]
    press(*["ArrowLeft"] * 6, *["ArrowUp"] * 8, "Space", *["ArrowRight"] * 11)
    press(*["ArrowDown", "ArrowDown", "ArrowLeft"] * 6, *["ArrowDown"] * 4, "Space")


def check():
    from playwright.sync_api import sync_playwright

    screenshots = sys.argv[sys.argv.index("--screenshots") + 1] if "--screenshots" in sys.argv else None
    with serving() as url, sync_playwright() as playwright:
        chromium = shutil.which("chromium") or sys.exit("chromium is not installed")
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        context = browser.new_context(viewport={"width": 1280, "height": 900}, has_touch=True)
        page = context.new_page()
        messages = []
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        ready(page, url)
        assert page.input_value("#model").startswith("mnist-robust@"), page.input_value("#model")

        right, times = [], []
        for digit, strokes in STROKES.items():
            draw(page, strokes)
            label, milliseconds = answer(page)
            right.append(label == digit)
            times.append(milliseconds)
            print(f"  {digit} drawn by mouse, read as {label} in {milliseconds:.0f} ms")
        print(f"mouse: {sum(right)} of {len(right)} right, median {statistics.median(times):.0f} ms, slowest {max(times):.0f} ms")
        assert sum(right) >= 9, right
        assert statistics.median(times) < 50, times

        fingers = []
        for digit in "0237":
            touch(page, STROKES[digit])
            fingers.append(answer(page)[0] == digit)
        print(f"finger: {sum(fingers)} of 4 right")
        assert sum(fingers) >= 3, fingers
        keyboard_seven(page)
        label, _ = answer(page)
        print(f"keyboard: a 7 read as {label}")
        assert label == "7", label

        draw(page, beside("42"))
        label, _ = answer(page)
        marks = page.locator("#marks span").count()
        print(f"4 and 2 beside each other read as {label}, {marks} marked")
        assert (label, marks) == ("42", 2), (label, marks)
        assert page.text_content("#status").startswith("Several objects"), page.text_content("#status")
        page.set_input_files("#file", ROOT / "docs/photo.jpg")
        wait(page, "document.querySelector('#label').textContent == '2026'")
        assert page.locator("#marks span").count() == 4
        wait(page, "document.querySelectorAll('#steps img').length >= 8")
        steps = page.eval_on_selector_all("#steps img", "all => all.map((image) => image.naturalWidth)")
        assert len(steps) >= 8 and all(steps), steps
        screenshot(page, screenshots, "photo")
        page.click("#clear")

        page.set_input_files("#file", ROOT / "docs/seven.png")
        assert answer(page)[0] == "7"
        page.click("#clear")
        drop(page, ROOT / "docs/seven.png")
        assert answer(page)[0] == "7"
        layers = page.locator("#layers figure").count()
        assert layers == 4 and page.locator("#filters figure").count() == 1, layers
        newest = max((ROOT / "zoo/models/mnist-robust").iterdir(), key=lambda version: int(version.name))
        right = re.search(r"test split, read once \| (\S+)", (newest / "README.md").read_text()).group(1)
        for part in ["423,314 parameters", right, "Damaged images", "calibration error"]:
            assert part in page.text_content("#claims"), part
        assert "Golden outputs: 16 images" in page.text_content("#proof"), page.text_content("#proof")
        wait(page, PICTURES)
        screenshot(page, screenshots, "desktop")

        page.select_option("#model", "fashion-lite@1")
        wait(page, "document.querySelector('#classes').textContent.includes('Sneaker')")
        label, _ = answer(page)
        assert label in page.text_content("#classes")
        page.reload()
        wait(page, "document.querySelector('#classes').textContent.includes('Sneaker')")
        unnamed = page.evaluate("""[...document.querySelectorAll('button, select, input, canvas, img, a')]
            .filter((e) => !(e.ariaLabel || e.alt || e.textContent.trim() || e.labels?.length || e.hidden))
            .map((e) => e.outerHTML)""")
        assert not unnamed, unnamed
        assert not messages, messages

        phone = browser.new_context(viewport={"width": 390, "height": 844}, device_scale_factor=2, has_touch=True,
                                    is_mobile=True, color_scheme="dark").new_page()
        ready(phone, url)
        touch(phone, STROKES["3"])
        answer(phone)
        wide = phone.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, f"the page is {wide} wide on a screen of 390"
        screenshot(phone, screenshots, "phone")
        check_token(browser)
        browser.close()
    print("page: models, card, keyboard, file, names of controls, widths, token: ok")


def check_token(browser):
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("s3cret")
        file.flush()
        with serving("--token-file", file.name) as url:
            page = browser.new_page()
            page.goto(url)
            page.wait_for_selector("#token-form:not([hidden])")
            page.fill("#token", "s3cret")
            page.click("#token-form button")
            wait(page, PICTURES)
            draw(page, STROKES["7"])
            assert answer(page)[0] == "7"


def drop(page, path):
    """An image file dragged onto the page."""
    files = page.evaluate_handle("""(bytes) => {
        const files = new DataTransfer();
        files.items.add(new File([new Uint8Array(bytes)], 'image.png', { type: 'image/png' }));
        return files;
    }""", list(path.read_bytes()))
    for kind in ["dragenter", "dragover", "drop"]:
        page.dispatch_event("#paper", kind, {"dataTransfer": files})


def screenshot(page, folder, name):
    if folder:
        page.screenshot(path=Path(folder, f"{name}.png"), full_page=True)


if __name__ == "__main__":
    check()
