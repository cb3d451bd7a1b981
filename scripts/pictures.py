"""Pictures as people send them: digits in hand-like fonts and in strokes of a pen, on paper, in light, with clutter.

None comes from a dataset. Everything is drawn from a seed; `check_pictures.py` says what they are for. The fonts are
Debian's; `FONTS` names their packages.
"""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

ROOT = Path(__file__).resolve().parent.parent
STROKES = json.loads((ROOT / "scripts/digit-strokes.json").read_text())

# Package: files. All have digits as people write them.
FONTS = {
    "fonts-breip": ["truetype/breip/Breip.ttf"],
    "fonts-bwht": [
        f"opentype/bwht/BecauseWe{name}-Regular.otf" for name in ("Build", "Connect", "Create", "Learn", "Organize")
    ],
    "fonts-comic-neue": ["opentype/comic-neue/ComicNeue-Regular.otf", "opentype/comic-neue/ComicNeue-BoldItalic.otf"],
    "fonts-dancingscript": ["opentype/dancingscript/DancingScript-Regular.otf"],
    "fonts-dkg-handwriting": ["truetype/fifthhorseman/dkg.ttf", "truetype/fifthhorseman/dkgBd.ttf"],
    "fonts-humor-sans": ["truetype/humor-sans/Humor-Sans.ttf"],
    "fonts-isabella": ["truetype/isabella/Isabella.ttf"],
    "fonts-kiloji": ["truetype/kiloji/kiloji.ttf", "truetype/kiloji/kiloji_b.ttf"],
    "fonts-klee": ["truetype/klee/KleeOne-Regular.ttf", "truetype/klee/KleeOne-SemiBold.ttf"],
    "fonts-rufscript": ["truetype/rufscript/Rufscript010.ttf"],
    "fonts-sjfonts": ["truetype/sjfonts/SteveHand.ttf"],
    "fonts-tomsontalks": ["truetype/tomsontalks/TomsonTalks.ttf"],
}
# Letters whose shape is no digit's: without B b g I i l O o q S s Z z.
LETTERS = "ACDEFGHJKLMNPQRTUVWXYacdefhkmnprtuvwxy"


@cache
def font(path, size):
    return ImageFont.truetype(f"/usr/share/fonts/{path}", size)


def font_paths():
    return [path for paths in FONTS.values() for path in paths]


def turned(mask, rng, strength=1.0):
    """A mask sheared and turned a little, as no two people write alike."""
    angle = rng.uniform(-8, 8) * strength
    shear = rng.uniform(-0.15, 0.2) * strength
    size = mask.size
    image = mask.transform(
        size, Image.Transform.AFFINE, (1, shear, -shear * size[1] / 2, 0, 1, 0), Image.Resampling.BICUBIC
    )
    return image.rotate(angle, Image.Resampling.BICUBIC)


def trimmed(mask):
    box = mask.point(lambda level: 255 if level > 24 else 0).getbbox()
    return mask.crop(box) if box else mask


def by_font(text, rng, size):
    path = font_paths()[rng.integers(len(font_paths()))]
    side = size * (len(text) + 2)
    mask = Image.new("L", (side, size * 3), 0)
    ImageDraw.Draw(mask).text((size, size), text, 255, font=font(path, size))
    return trimmed(turned(mask, rng))


def by_strokes(digit, rng, size, thickness):
    """Drawn with a round pen along jittered points; `thickness` is a share of the height."""
    scale = 3
    points = [np.array(stroke, float) for stroke in STROKES[digit]]
    if digit == "1" and rng.random() < 0.5:
        # Half of the people write it without the flag.
        points = [points[0][1:]]
    squeeze = rng.uniform(0.75, 1.15)
    jitter = rng.normal(0, 5, (2,))
    lines = []
    for stroke in points:
        stroke = stroke + rng.normal(0, 5, stroke.shape) + jitter
        stroke[:, 0] = 140 + (stroke[:, 0] - 140) * squeeze
        lines.append(smooth(stroke))
    every = np.concatenate(lines)
    low, high = every.min(0), every.max(0)
    unit = size * scale / max(high[1] - low[1], (high[0] - low[0]) / 1.6)
    pen = max(1.0, thickness * size * scale)
    margin = pen + size * scale * 0.3
    extent = (high - low) * unit + 2 * margin
    mask = Image.new("L", (int(extent[0]), int(extent[1])), 0)
    draw = ImageDraw.Draw(mask)
    for line in lines:
        places = [tuple((p - low) * unit + margin) for p in line]
        draw.line(places, 255, int(round(pen)), joint="curve")
        for x, y in places:
            draw.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), 255)
    mask = turned(mask, rng).resize((max(1, mask.width // scale), max(1, mask.height // scale)), Image.Resampling.BOX)
    return trimmed(mask)


def smooth(points):
    """A Catmull-Rom curve through points."""
    if len(points) < 3:
        return points
    padded = np.concatenate([points[:1], points, points[-1:]])
    out = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        for t in np.linspace(0, 1, 8, endpoint=False):
            out.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.array([*out, points[-1]])


def glyph(text, rng, size, thickness=None):
    """Ink of a character from 0 to 255, by a font or by strokes."""
    if text in STROKES and (thickness is not None or rng.random() < 0.5):
        return by_strokes(text, rng, size, rng.uniform(0.05, 0.14) if thickness is None else thickness)
    return by_font(text, rng, size)


def placed(mask, rng, width, height, share=None):
    """A mask somewhere on a sheet; its longer side is a share of the sheet's shorter one."""
    share = rng.uniform(0.35, 0.65) if share is None else share
    scale = share * min(width, height) / max(mask.size)
    mask = mask.resize([max(1, round(side * scale)) for side in mask.size], Image.Resampling.LANCZOS)
    free = (width - mask.width, height - mask.height)
    place = [round(side * rng.uniform(0.25, 0.75)) for side in free]
    sheet = np.zeros((height, width))
    sheet[place[1] : place[1] + mask.height, place[0] : place[0] + mask.width] = np.asarray(mask) / 255
    return sheet


def on_paper(ink, rng, paper=(240, 240, 236), pen=(40, 40, 45), grain=1.5):
    """Reflectance 0 to 1, `[H, W, 3]`."""
    paper, pen = (np.array(colour, float) / 255 for colour in (paper, pen))
    sheet = paper * (1 - ink[..., None]) + pen * ink[..., None]
    return np.clip(sheet + rng.normal(0, grain / 255, sheet.shape[:2])[..., None], 0, 1)


def picture(levels):
    return Image.fromarray((np.clip(levels, 0, 1) * 255).round().astype(np.uint8))


def grid(height, width):
    return np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")


def cloud(rng, height, width, cells):
    """Smooth noise from 0 to 1."""
    coarse = Image.fromarray((rng.random((cells, cells)) * 255).astype(np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) / 255


# Light, as a factor for each pixel.


def falling_off(rng, height, width):
    y, x = grid(height, width)
    angle = rng.uniform(0, 2 * math.pi)
    along = (np.cos(angle) * x + np.sin(angle) * y) / 1.4
    return 1 - rng.uniform(0.55, 0.8) * (along + 1) / 2


def vignette(rng, height, width):
    y, x = grid(height, width)
    return 1 - rng.uniform(0.4, 0.7) * np.clip((x**2 + y**2) / 2, 0, 1) ** rng.uniform(0.8, 1.4)


def shadow(rng, height, width):
    """The edge of something between lamp and paper, with a narrow half-shadow."""
    y, x = grid(height, width)
    angle, offset = rng.uniform(0, 2 * math.pi), rng.uniform(-0.35, 0.35)
    bend = rng.uniform(-0.2, 0.2)
    side = np.cos(angle) * x + np.sin(angle) * y - offset + bend * (np.sin(angle) * x - np.cos(angle) * y) ** 2
    return 1 - rng.uniform(0.35, 0.6) / (1 + np.exp(-side * rng.uniform(40, 150)))


def hand(rng, height, width):
    y, x = grid(height, width)
    cy, cx = rng.uniform(-0.9, 0.9, 2)
    distance = np.hypot((y - cy) / rng.uniform(0.4, 0.8), (x - cx) / rng.uniform(0.4, 0.8))
    return 1 - rng.uniform(0.3, 0.55) / (1 + np.exp((distance - 1) * rng.uniform(10, 40)))


def camera(levels, rng, noise=2.0, blur=0.6, quality=88):
    """What a phone makes of it: some blur, some noise, JPEG."""
    import io

    image = picture(levels).filter(ImageFilter.GaussianBlur(blur))
    pixels = np.asarray(image, float) + rng.normal(0, noise, (image.height, image.width, 1))
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


# Paper.


def ruled(height, width, rng, squares):
    """Lines of a pad, darker in part, at a small angle."""
    sheet = Image.new("L", (width * 2, height * 2), 0)
    draw = ImageDraw.Draw(sheet)
    step = height / rng.uniform(6, 11)
    thick = max(1, round(rng.uniform(0.002, 0.005) * height))
    start = rng.uniform(0, step)
    for i in range(int(2 * height / step) + 1):
        draw.line((0, start + i * step, 2 * width, start + i * step), 255, thick)
        if squares:
            draw.line((start + i * step, 0, start + i * step, 2 * height), 255, thick)
    if squares:
        for i in range(int(2 * width / step) + 1):
            draw.line((start + i * step, 0, start + i * step, 2 * height), 255, thick)
    sheet = sheet.rotate(rng.uniform(-2.5, 2.5), Image.Resampling.BICUBIC)
    left, top = width // 2, height // 2
    return np.asarray(sheet.crop((left, top, left + width, top + height)), float) / 255


def frame(height, width, rng):
    sheet = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(sheet)
    inset = [rng.uniform(0.04, 0.1) * min(height, width) for _ in range(4)]
    left, top, right, bottom = inset[0], inset[1], width - inset[2], height - inset[3]
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    corners = [tuple(np.array(c) + rng.normal(0, 3, 2)) for c in corners]
    draw.line([*corners, corners[0]], 255, max(2, round(0.008 * min(height, width))))
    return np.asarray(sheet, float) / 255


def on_desk(sheet, rng):
    """A sheet lying on a dark table, seen at an angle."""
    height, width = sheet.shape[:2]
    out_height, out_width = round(height * 1.5), round(width * 1.5)
    wood = cloud(rng, out_height, out_width, 6) * 0.08 + rng.uniform(0.1, 0.3)
    grain = cloud(rng, out_height, out_width, 60) * 0.05
    desk = (wood + grain)[..., None] * np.array([1.0, rng.uniform(0.7, 1), rng.uniform(0.5, 1)])
    jitter = lambda: rng.uniform(-0.04, 0.04) * width
    left, top = 0.2 * width + rng.uniform(-0.1, 0.1) * width, 0.2 * height + rng.uniform(-0.1, 0.1) * height
    target = [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]
    target = [(x + jitter(), y + jitter()) for x, y in target]
    source = [(0, 0), (width, 0), (width, height), (0, height)]
    coefficients = perspective(target, source)
    layer = picture(sheet).convert("RGBA").transform(
        (out_width, out_height), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BICUBIC
    )
    layer = np.asarray(layer, float) / 255
    alpha = layer[..., 3:]
    return layer[..., :3] * alpha + desk * (1 - alpha)


def perspective(target, source):
    rows, values = [], []
    for (x, y), (u, v) in zip(target, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.linalg.solve(np.array(rows), np.array(values))
