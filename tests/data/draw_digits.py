#!/usr/bin/env python3
"""Draws the digits that `tests/end_to_end/drawings.rs` reads: black on white, anti-aliased, 280x280.

Half come from fonts, half from strokes of a round pen along jittered curves. Nothing is
taken from MNIST. Needs Pillow, and Debian's font packages for the fonts named below;
the drawings are committed, so only who wants to change them runs this.
"""
import math
import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

OUT = Path(__file__).parent / "digits"
SIDE, SCALE = 280, 4
FONTS = """
dejavu/DejaVuSans.ttf dejavu/DejaVuSansMono.ttf dejavu/DejaVuSansCondensed-Oblique.ttf
liberation/LiberationSerif-Regular.ttf liberation/LiberationSans-Italic.ttf freefont/FreeSans.ttf
comfortaa/Comfortaa-Regular.ttf humor-sans/Humor-Sans.ttf lato/Lato-Light.ttf lato/Lato-Black.ttf
roboto/unhinted/RobotoTTF/Roboto-Medium.ttf
""".split()
OPEN_FONTS = ["comic-neue/ComicNeue-Bold.otf", "cantarell/Cantarell-Regular.otf"]


def arc(cx, cy, rx, ry, start, end, n=24):
    angles = [math.radians(start + (end - start) * i / n) for i in range(n + 1)]
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]


# Strokes in a box 1 wide and 1.5 high, y down; several ways to write each digit.
DIGITS = {
    0: [[arc(.5, .75, .42, .7, -90, 270)], [arc(.5, .75, .5, .68, -70, 290)]],
    1: [[[(.5, .05), (.5, 1.45)]], [[(.3, .35), (.55, .05), (.55, 1.45)]]],
    2: [[arc(.5, .42, .4, .38, -170, 40) + [(.1, 1.42), (.92, 1.42)]],
        [arc(.5, .4, .38, .35, -180, 60) + [(.15, 1.4), (.5, 1.33), (.95, 1.45)]]],
    3: [[arc(.45, .4, .38, .35, -150, 90) + arc(.45, 1.08, .42, .35, -90, 150)],
        [arc(.42, .4, .4, .33, -160, 80) + arc(.42, 1.05, .45, .38, -80, 165)]],
    4: [[[(.6, .05), (.08, .95), (.95, .95)], [(.7, .55), (.7, 1.45)]],
        [[(.15, .1), (.12, .8), (.85, .8)], [(.8, .1), (.78, 1.45)]]],
    5: [[[(.85, .07), (.25, .07), (.18, .65)] + arc(.45, 1.0, .43, .42, -130, 150)],
        [[(.2, .1), (.2, .62)] + arc(.42, 1.0, .42, .4, -120, 155), [(.2, .1), (.85, .08)]]],
    6: [[[(.72, .05), (.35, .45), (.13, .95)] + arc(.5, 1.05, .38, .38, 180, 540)],
        [arc(.9, .95, .78, .85, -120, -175) + arc(.5, 1.05, .38, .37, 170, 530)]],
    7: [[[(.1, .1), (.9, .1), (.4, 1.45)]], [[(.1, .12), (.88, .08), (.45, 1.45)], [(.3, .78), (.85, .75)]]],
    8: [[arc(.5, .4, .32, .34, 90, 450) + arc(.5, 1.08, .4, .36, -90, 270)],
        [arc(.5, .4, .3, .33, 80, 440) + arc(.48, 1.07, .42, .37, -95, 265)]],
    9: [[arc(.48, .45, .36, .38, 0, -360) + [(.84, .5), (.78, 1.45)]],
        [arc(.48, .45, .37, .37, 0, -360) + arc(.3, .75, .54, .72, -15, 80)]],
}


def by_strokes(digit, template, rng):
    image = Image.new("L", (SIDE * SCALE, SIDE * SCALE), 255)
    draw = ImageDraw.Draw(image)
    height = rng.uniform(110, 220) * SCALE
    width = height / 1.5 * rng.uniform(.75, 1.1)
    slant = rng.uniform(-.05, .25)
    turn = math.radians(rng.uniform(-8, 8))
    pen = rng.uniform(.045, .12) * height
    left = rng.uniform(.2, .8) * (SIDE * SCALE - width - height * .4) + height * .2
    top = rng.uniform(.15, .85) * (SIDE * SCALE - height - 2 * pen) + pen
    wobble = [(rng.uniform(.5, 2.5), rng.uniform(0, 6.3), rng.uniform(0, .025)) for _ in range(4)]

    def place(x, y):
        x += sum(a * math.sin(f * y * 2 + p) for f, p, a in wobble[:2])
        y += sum(a * math.sin(f * x * 2 + p) for f, p, a in wobble[2:])
        x += slant * (1.5 - y) / 1.5 * .8
        px, py = x * width - width / 2, y / 1.5 * height - height / 2
        px, py = px * math.cos(turn) - py * math.sin(turn), px * math.sin(turn) + py * math.cos(turn)
        return left + width / 2 + px, top + height / 2 + py

    for stroke in DIGITS[digit][template % len(DIGITS[digit])]:
        dense = [stroke[0]]
        for (x0, y0), (x1, y1) in zip(stroke, stroke[1:]):
            steps = max(1, int(math.hypot(x1 - x0, y1 - y0) * 80))
            dense += [(x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps) for i in range(1, steps + 1)]
        for x, y in (place(*point) for point in dense):
            draw.ellipse([x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2], fill=0)
    return image.resize((SIDE, SIDE), Image.LANCZOS)


def by_font(digit, path, rng):
    image = Image.new("L", (SIDE * SCALE, SIDE * SCALE), 255)
    font = ImageFont.truetype(str(path), int(rng.uniform(150, 250) * SCALE))
    place = (SIDE * SCALE * rng.uniform(.45, .55), SIDE * SCALE * rng.uniform(.45, .55))
    ImageDraw.Draw(image).text(place, str(digit), font=font, fill=0, anchor="mm")
    return image.resize((SIDE, SIDE), Image.LANCZOS)


def main():
    OUT.mkdir(exist_ok=True)
    fonts = [Path("/usr/share/fonts/truetype", f) for f in FONTS] + [Path("/usr/share/fonts/opentype", f) for f in OPEN_FONTS]
    rng = random.Random(20261124)
    for digit in range(10):
        for font in fonts:
            by_font(digit, font, rng).save(OUT / f"{digit}-font-{font.stem}.png", optimize=True)
        for number in range(13):
            by_strokes(digit, number, rng).save(OUT / f"{digit}-strokes-{number:02}.png", optimize=True)


if __name__ == "__main__":
    main()
