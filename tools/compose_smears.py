"""Composes photographs of thin smears with exact ground truth from single cells, to measure how cells are found and counted.

    pip install numpy==2.4.6 pillow==13.0.0
    python tools/compose_smears.py cell_images OUT [--fields N] [--cells N] [--parasitaemia SHARE] [--seed N] [--patients C33...]
                                      [--varied]

Each field has the cells of one patient on a background of matching brightness, with a vignette, blur and noise. The cells are 50 to
110 px across, and a third of them touch or overlap another; with --varied, 30 to 200 px and none to 80 %, and there are platelets.
Writes OUT/images/*.jpg and OUT/boxes.csv (image,x,y,w,h,class: `infected` or `red blood cell`).
The cells are NLM's, so the composed photographs must not be added to this repository.
"""

import argparse
import csv
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

WIDTH, HEIGHT = 1600, 1200
CLASSES = {"Parasitized": "infected", "Uninfected": "red blood cell"}
# Pixels darker than this in all channels are the black background around a cell.
BLACK = 32
# Share of cells that touch another one, and their maximum overlap as a share of a diameter.
CROWDED, OVERLAP = 1 / 3, 0.2


def cells_by_patient(data):
    found = defaultdict(lambda: defaultdict(list))
    for folder, name in CLASSES.items():
        for file in sorted((data / folder).iterdir()):
            if patient := re.match(r"C\d+", file.name):
                found[patient[0]][name].append(file)
    return found


def cut_out(file, diameter, random):
    """A rotated cell, RGB, and its mask, without the dark rim that resizing leaves."""
    cell = Image.open(file).convert("RGB")
    mask = Image.fromarray((np.asarray(cell).max(axis=2) >= BLACK).astype(np.uint8) * 255).filter(ImageFilter.MinFilter(5))
    scale = diameter / np.sqrt(4 / np.pi * (np.asarray(mask) > 127).sum())
    size = [max(8, round(side * scale)) for side in cell.size]
    angle = random.uniform(0, 360)
    cell, mask = (
        picture.resize(size, Image.Resampling.BICUBIC).rotate(angle, Image.Resampling.BICUBIC, expand=True)
        for picture in (cell, mask)
    )
    return np.asarray(cell).astype(float), np.asarray(mask).astype(float) / 255


def place(taken, diameter, crowded, random):
    """The centre of a cell, separate from all others or beside one of them."""
    margin = 1.5 * diameter
    for _ in range(500):
        if crowded and taken:
            other = taken[random.integers(len(taken))]
            angle, apart = random.uniform(0, 2 * np.pi), diameter * (1 - random.uniform(0, OVERLAP))
            centre = other + apart * np.array([np.cos(angle), np.sin(angle)])
        else:
            centre = np.array([random.uniform(margin, WIDTH - margin), random.uniform(margin, HEIGHT - margin)])
        inside = (centre > margin).all() and (centre < np.array([WIDTH, HEIGHT]) - margin).all()
        near = sum(np.hypot(*(centre - other)) < 1.12 * diameter for other in taken)
        if inside and near == (1 if crowded and taken else 0):
            return centre
    return None


def draw_platelets(picture, diameter, random):
    """Up to 15 purple ellipses between the cells and on them."""
    side = round(diameter)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    for _ in range(random.integers(16)):
        left, top, angle = random.integers(WIDTH - side), random.integers(HEIGHT - side), random.uniform(0, np.pi)
        long = diameter / 2 * random.uniform(0.15, 0.4)
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        stain = np.exp(-(((along / long) ** 2 + (across / long / random.uniform(0.6, 1)) ** 2) ** 2))
        picture[top : top + side, left : left + side] *= 1 - stain[..., None] * np.array([0.45, 0.65, 0.35]) * random.uniform(0.6, 1)


def field(patient, count, parasitaemia, varied, random):
    diameter = np.exp(random.uniform(*np.log([30, 200]))) if varied else random.uniform(50, 110)
    crowded = random.uniform(0, 0.8) if varied else CROWDED
    sample = [np.asarray(Image.open(file).convert("RGB")) for file in patient["red blood cell"][:10]]
    pale = np.mean([np.quantile(cell[cell.max(axis=2) >= BLACK], 0.9, axis=0) for cell in sample], axis=0)
    # Glass transmits more light than plasma.
    light = np.clip(pale * random.uniform(1.1, 1.3), 0, 250)
    picture = np.broadcast_to(light, (HEIGHT, WIDTH, 3)).copy()
    taken, boxes = [], []
    for _ in range(count):
        name = "infected" if patient["infected"] and random.random() < parasitaemia else "red blood cell"
        files = patient[name]
        centre = place(taken, diameter, random.random() < crowded, random)
        if centre is None:
            continue
        taken.append(centre)
        cell, mask = cut_out(files[random.integers(len(files))], diameter * random.uniform(0.9, 1.1), random)
        top, left = (np.round(centre[::-1]) - np.array(mask.shape) / 2).astype(int)
        rows, columns = np.nonzero(mask > 0.5)
        below = picture[top : top + mask.shape[0], left : left + mask.shape[1]]
        # Light passes through both of two overlapping cells.
        passing = np.minimum(cell / light, 1)
        below *= 1 - mask[..., None] * (1 - passing)
        boxes.append((left + columns.min(), top + rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1, name))
    if varied:
        draw_platelets(picture, diameter, random)
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    picture *= 1 - random.uniform(0, 0.15) * (x**2 + y**2)[..., None]
    blurred = Image.fromarray(picture.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1)))
    noisy = np.asarray(blurred) + random.normal(0, random.uniform(0.5, 2.5), (HEIGHT, WIDTH, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8)), boxes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--fields", type=int, default=40)
    parser.add_argument("--cells", type=int, default=120)
    parser.add_argument("--parasitaemia", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patients", nargs="+", help="[default: all with both kinds of cells]")
    parser.add_argument("--varied", action="store_true", help="cells of any size and crowding, and platelets")
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    found = cells_by_patient(options.data)
    patients = options.patients or [name for name, cells in found.items() if min(map(len, cells.values())) >= 10 and len(cells) == 2]
    for name in patients:
        if len(found[name]["red blood cell"]) == 0:
            parser.error(f"no uninfected cells of {name} in {options.data}")
    (options.out / "images").mkdir(parents=True)
    with open(options.out / "boxes.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "x", "y", "w", "h", "class"])
        for number in range(options.fields):
            patient = patients[random.integers(len(patients))]
            picture, boxes = field(found[patient], options.cells, options.parasitaemia, options.varied, random)
            name = f"{patient}_field_{number:03}.jpg"
            picture.save(options.out / "images" / name, quality=92)
            writer.writerows([name, *box] for box in boxes)
    print(f"written: {options.out}")


if __name__ == "__main__":
    main()
