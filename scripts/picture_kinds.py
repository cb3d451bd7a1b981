"""The kinds of pictures that `check_pictures.py` measures, each a function of a character and a seed."""

import numpy as np
import pictures as p
from PIL import Image, ImageFilter

SIZE = (480, 360)


def ink(text, rng, thickness=None, share=None, size=SIZE):
    return p.placed(p.glyph(text, rng, 240, thickness), rng, *size, share)


def grey(rng, low, high):
    level = rng.uniform(low, high)
    return (level, level, level)


def lit(text, rng, light):
    sheet = p.on_paper(ink(text, rng), rng)
    return p.camera(sheet * light(rng, *sheet.shape[:2])[..., None], rng)


def black_on_white(text, rng):
    return p.picture(1 - ink(text, rng)).convert("L")


def white_on_black(text, rng):
    return p.picture(ink(text, rng)).convert("L")


def canvas(text, rng):
    """A drawing of 280 x 280 with a round pen, as web pages make."""
    return p.picture(1 - ink(text, rng, 0.1, rng.uniform(0.5, 0.8), (280, 280))).convert("L")


def fills_the_picture(text, rng):
    mask = p.glyph(text, rng, 240)
    margin = max(2, round(0.03 * max(mask.size)))
    sheet = Image.new("L", (mask.width + 2 * margin, mask.height + 2 * margin), 0)
    sheet.paste(mask, (margin, margin))
    return sheet.point(lambda level: 255 - level)


def small_in_a_corner(text, rng):
    sheet = np.zeros((SIZE[1], SIZE[0]))
    mask = p.glyph(text, rng, 60)
    top, left = rng.integers(20, 60), rng.integers(20, 60)
    sheet[top : top + mask.height, left : left + mask.width] = np.asarray(mask) / 255
    return p.camera(p.on_paper(sheet, rng), rng)


def tiny(text, rng):
    """28 x 28, dark on bright, not in the middle."""
    return black_on_white(text, rng).resize((28, 28), Image.Resampling.BOX)


def transparent(text, rng):
    mask = (ink(text, rng) * 255).astype(np.uint8)
    colour = rng.integers(0, 90, 3)
    layers = [np.full_like(mask, c) for c in colour] + [mask]
    return Image.fromarray(np.stack(layers, -1), "RGBA")


def sixteen_bit(text, rng):
    return Image.fromarray(((0.9 - 0.7 * ink(text, rng)) * 65535).astype(np.uint16))


def thick_marker(text, rng):
    return p.camera(p.on_paper(ink(text, rng, rng.uniform(0.16, 0.2)), rng), rng)


def thin_pen(text, rng):
    return p.camera(p.on_paper(ink(text, rng, rng.uniform(0.012, 0.025)), rng), rng)


def pencil(text, rng):
    sheet = p.on_paper(ink(text, rng, rng.uniform(0.03, 0.06)) * rng.uniform(0.4, 0.6), rng, pen=(70, 70, 75))
    return p.camera(sheet, rng)


def blue_ink(text, rng):
    return p.camera(p.on_paper(ink(text, rng), rng, pen=(30, 50, rng.uniform(120, 200))), rng)


def colour_on_colour(text, rng):
    papers = [(250, 240, 120), (180, 230, 180), (250, 200, 210), (190, 220, 250), (205, 170, 120)]
    pens = [(200, 30, 40), (30, 60, 180), (20, 120, 50), (110, 40, 130)]
    paper, pen = papers[rng.integers(len(papers))], pens[rng.integers(len(pens))]
    return p.camera(p.on_paper(ink(text, rng), rng, paper, pen), rng)


def yellow_on_white(text, rng):
    return p.camera(p.on_paper(ink(text, rng), rng, pen=(235, 205, 40)), rng)


def chalkboard(text, rng):
    sheet = ink(text, rng) * (0.75 + 0.25 * p.cloud(rng, SIZE[1], SIZE[0], 80))
    board = p.on_paper(sheet, rng, (rng.uniform(30, 60), rng.uniform(50, 80), rng.uniform(40, 60)), (225, 225, 220), 4)
    return p.camera(board * (0.85 + 0.3 * p.cloud(rng, SIZE[1], SIZE[0], 4))[..., None], rng)


def light_falling_off(text, rng):
    return lit(text, rng, p.falling_off)


def soft_vignette(text, rng):
    return lit(text, rng, p.vignette)


def hard_shadow(text, rng):
    return lit(text, rng, p.shadow)


def shadow_of_a_hand(text, rng):
    return lit(text, rng, p.hand)


def dim_paper(text, rng):
    sheet = p.on_paper(ink(text, rng), rng)
    return p.camera(sheet * 110 / 255, rng, noise=3)


def dark_and_noisy(text, rng):
    return p.camera(p.on_paper(ink(text, rng), rng) * rng.uniform(0.25, 0.4), rng, noise=6)


def lined_paper(text, rng):
    lines = p.ruled(SIZE[1], SIZE[0], rng, squares=False) * rng.uniform(0.3, 0.7)
    sheet = p.on_paper(lines, rng, pen=(60, 90, 170))
    mark = ink(text, rng)[..., None]
    return p.camera(sheet * (1 - mark) + np.array([0.12, 0.12, 0.2]) * mark, rng)


def squared_paper(text, rng):
    lines = p.ruled(SIZE[1], SIZE[0], rng, squares=True) * rng.uniform(0.25, 0.6)
    sheet = p.on_paper(lines, rng, pen=(70, 100, 160))
    mark = ink(text, rng)[..., None]
    return p.camera(sheet * (1 - mark) + np.array([0.1, 0.1, 0.15]) * mark, rng)


def drawn_frame(text, rng):
    marks = np.maximum(ink(text, rng, share=rng.uniform(0.4, 0.6)), p.frame(SIZE[1], SIZE[0], rng))
    return p.camera(p.on_paper(marks, rng), rng)


def specks(text, rng):
    dirt = (rng.random((SIZE[1], SIZE[0])) < 0.0006).astype(np.uint8) * 255
    dirt = np.asarray(Image.fromarray(dirt).filter(ImageFilter.MaxFilter(3)), float) / 255
    return p.camera(p.on_paper(np.maximum(ink(text, rng), dirt * 0.8), rng), rng)


def crumpled(text, rng):
    sheet = p.on_paper(ink(text, rng), rng)
    folds = 0.8 + 0.25 * p.cloud(rng, SIZE[1], SIZE[0], 12)
    return p.camera(sheet * folds[..., None], rng)


def page_on_desk(text, rng):
    return p.camera(p.on_desk(p.on_paper(ink(text, rng, share=rng.uniform(0.4, 0.6)), rng), rng), rng)


def table_edge(text, rng):
    """A strip of the table in view, where the digit is not."""
    sheet = p.on_paper(ink(text, rng, share=rng.uniform(0.35, 0.5)), rng)
    height, width = sheet.shape[:2]
    y, x = p.grid(height, width)
    angle = rng.uniform(-0.15, 0.15) + rng.integers(4) * np.pi / 2
    side = np.cos(angle) * x + np.sin(angle) * y > rng.uniform(0.75, 0.85)
    sheet[side] = np.array([0.3, 0.22, 0.15]) * rng.uniform(0.5, 1)
    return p.camera(sheet, rng)


def out_of_focus(text, rng):
    return p.camera(p.on_paper(ink(text, rng), rng), rng, blur=rng.uniform(3, 6))


def noisy(text, rng):
    return p.camera(p.on_paper(ink(text, rng), rng), rng, noise=rng.uniform(15, 25))


def strong_jpeg(text, rng):
    return p.camera(p.on_paper(ink(text, rng), rng), rng, quality=12)


def turned_by_exif(text, rng):
    image = p.camera(p.on_paper(ink(text, rng), rng), rng).rotate(90, expand=True)
    image.getexif()[0x0112] = 6
    return image


DIGITS = [
    black_on_white, white_on_black, canvas, fills_the_picture, small_in_a_corner, tiny, transparent, sixteen_bit,
    thick_marker, thin_pen, pencil, blue_ink, colour_on_colour, yellow_on_white, chalkboard, light_falling_off,
    soft_vignette, hard_shadow, shadow_of_a_hand, dim_paper, dark_and_noisy, lined_paper, squared_paper, drawn_frame,
    specks, crumpled, page_on_desk, table_edge, out_of_focus, noisy, strong_jpeg, turned_by_exif,
]


# Numbers of several digits.


def number(text, rng):
    """Digits beside each other, on a line that rises or falls a little."""
    masks = [p.glyph(digit, rng, 150) for digit in text]
    one_hand = rng.uniform(0.05, 0.1)
    if rng.random() < 0.5:
        masks = [p.by_strokes(digit, rng, 150, one_hand) for digit in text]
    gap = rng.uniform(0.12, 0.4) * 150
    width = sum(mask.width for mask in masks) + gap * (len(masks) + 3)
    sheet = np.zeros((420, round(width)))
    left, slope = 2 * gap, rng.uniform(-0.05, 0.05)
    for mask in masks:
        top = 140 + slope * left + rng.normal(0, 6)
        top, at = int(np.clip(top, 5, 415 - mask.height)), int(left)
        sheet[top : top + mask.height, at : at + mask.width] = np.asarray(mask) / 255
        left += mask.width + gap * rng.uniform(0.8, 1.2)
    return sheet


def number_clean(text, rng):
    return p.camera(p.on_paper(number(text, rng), rng), rng)


def number_in_shadow(text, rng):
    sheet = p.on_paper(number(text, rng), rng)
    return p.camera(sheet * p.shadow(rng, *sheet.shape[:2])[..., None], rng)


def number_on_lines(text, rng):
    mark = number(text, rng)
    lines = p.ruled(*mark.shape, rng, squares=False) * rng.uniform(0.3, 0.7)
    sheet = p.on_paper(lines, rng, pen=(60, 90, 170))
    mark = mark[..., None]
    return p.camera(sheet * (1 - mark) + np.array([0.12, 0.12, 0.2]) * mark, rng)


NUMBERS = [number_clean, number_in_shadow, number_on_lines]


# Nothing there, and no digit.


def blank(_, rng):
    sheet = p.on_paper(np.zeros((SIZE[1], SIZE[0])), rng, grey(rng, 30, 255))
    lights = [p.falling_off, p.vignette, lambda rng, h, w: np.ones((h, w))]
    light = lights[rng.integers(3)](rng, SIZE[1], SIZE[0])
    return p.camera(sheet * light[..., None], rng) if rng.random() < 0.7 else p.picture(np.full((280, 280), rng.random()))


def noise(_, rng):
    shape = [(28, 28), (280, 280), (360, 480)][rng.integers(3)]
    kinds = [
        lambda: rng.random(shape),
        lambda: (rng.random(shape) < 0.5).astype(float),
        lambda: np.clip(rng.normal(0.5, 0.2, shape), 0, 1),
        lambda: (rng.random(shape) < 0.05).astype(float),
    ]
    return p.picture(kinds[rng.integers(len(kinds))]())


def texture(_, rng):
    height, width = SIZE[1], SIZE[0]
    y, x = p.grid(height, width)
    kinds = [
        lambda: p.cloud(rng, height, width, 40),
        lambda: np.sin(x * rng.uniform(20, 80) + 4 * p.cloud(rng, height, width, 6)) / 2 + 0.5,
        lambda: (np.sin(x * 40) * np.sin(y * 40) > 0) * 0.8,
        lambda: p.cloud(rng, height, width, 12) * 0.5 + p.cloud(rng, height, width, 90) * 0.5,
        lambda: np.abs(np.sin(x * 60)) * np.abs(np.sin(y * 45)),
    ]
    return p.camera(np.repeat(kinds[rng.integers(len(kinds))]()[..., None], 3, -1), rng)


REFUSED = [blank, noise, texture]


# Garments, from images of Fashion-MNIST's test split (28 x 28, bright on black).


def garment_layers(image, side=252):
    """Levels and coverage of a garment, enlarged."""
    levels = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
    cover = Image.fromarray(((image > 8) * 255).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(levels, float) / 255, np.asarray(cover.point(lambda v: min(255, max(0, 3 * v - 255))), float) / 255


def on_ground(image, rng, ground, negative, margin=0.15):
    levels, cover = garment_layers(image)
    side = levels.shape[0]
    height = width = round(side * (1 + 2 * margin))
    ground = ground(height, width) if callable(ground) else np.full((height, width), ground)
    top, left = (round(rng.uniform(0.3, 0.7) * (length - side)) for length in (height, width))
    out = ground.copy()
    part = (slice(top, top + side), slice(left, left + side))
    shown = 1 - levels if negative else levels
    out[part] = out[part] * (1 - cover) + shown * cover
    return out


def bright_on_grey_wall(image, rng):
    return p.camera(np.repeat(on_ground(image, rng, rng.uniform(0.25, 0.4), False)[..., None], 3, -1), rng)


def dark_on_grey_floor(image, rng):
    return p.camera(np.repeat(on_ground(image, rng, rng.uniform(0.6, 0.75), True)[..., None], 3, -1), rng)


def noise_and_margin(image, rng):
    sheet = on_ground(image, rng, 0.0, False, rng.uniform(0.3, 0.6))
    return p.camera(np.repeat(sheet[..., None], 3, -1), rng, noise=10)


def uneven_wall(image, rng):
    def wall(height, width):
        return 0.3 * p.falling_off(rng, height, width) * (0.9 + 0.2 * p.cloud(rng, height, width, 5))

    return p.camera(np.repeat(on_ground(image, rng, wall, False)[..., None], 3, -1), rng)


def white_ground(image, rng):
    return p.picture(on_ground(image, rng, 1.0, True, rng.uniform(0.02, 0.3))).convert("L")


def colour_on_colour_wall(image, rng):
    shown = on_ground(image, rng, 0.0, False)[..., None]
    tint, wall = rng.uniform(0.6, 1, 3), rng.uniform(0.15, 0.35, 3)
    return p.camera(np.where(shown > 0.03, shown * tint, wall), rng)


GARMENTS = [
    bright_on_grey_wall, dark_on_grey_floor, noise_and_margin, uneven_wall, white_ground, colour_on_colour_wall,
]
