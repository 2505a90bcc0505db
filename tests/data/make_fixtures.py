#!/usr/bin/env python3
"""Makes the pictures of tests/data and the seeds of tests/fuzz/corpus/image:  make_fixtures.py

Needs numpy and Pillow 11, which resizes rows first; newer ones may order the passes differently, and round other
values between. Everything is drawn here; what PIL makes of it is stored, so that the tests need neither.

    pictures/         a small folder for `sparkc scan`
    resize.png        the picture that is resized
    resize.tsv        the cases: box, size, mode
    resize-N.png      PIL's crop(box).resize(size, BICUBIC) of case N
"""
import struct
import sys
import zlib
from pathlib import Path

import numpy
from PIL import Image

here = Path(__file__).resolve().parent
seeds = here.parent / "fuzz/corpus/image"

# x, y, width, height of the box; width and height of the result; mode
CASES = [
    (0, 0, 61, 47, 24, 16, "RGB"),     # shrink both ways
    (0, 0, 61, 47, 96, 80, "RGB"),     # grow
    (5, 9, 40, 31, 32, 32, "RGB"),     # a part, different factors
    (13, 2, 32, 32, 32, 32, "RGB"),    # as it is
    (60, 46, 1, 1, 8, 8, "RGB"),       # one pixel
    (0, 20, 61, 3, 16, 16, "RGB"),     # wide: one way shrinks, the other grows
    (0, 0, 61, 47, 1, 1, "RGB"),       # to one pixel
    (3, 4, 50, 40, 20, 30, "L"),
    (0, 0, 61, 47, 70, 9, "RGB"),      # only the height shrinks
]


def picture(width, height):
    """Smooth colours, hard edges and noise: what overshoots, and what does not."""
    y, x = numpy.mgrid[0:height, 0:width]
    image = numpy.stack([x * 255 / max(width - 1, 1), y * 255 / max(height - 1, 1),
                         127 + 127 * numpy.sin(x * y / 40)], axis=2)
    image[(x // 6 + y // 5) % 4 == 0] = [255, 0, 255]
    noise = numpy.random.default_rng(1).integers(-40, 40, image.shape)
    return numpy.clip(image + noise, 0, 255).astype(numpy.uint8)


def make_resized():
    image = Image.fromarray(picture(61, 47))
    image.save(here / "resize.png", optimize=True)
    lines = ["x\ty\tbox_width\tbox_height\twidth\theight\tchannels"]
    for number, (x, y, w, h, width, height, mode) in enumerate(CASES):
        part = image.convert(mode).crop((x, y, x + w, y + h))
        part.resize((width, height), Image.Resampling.BICUBIC).save(here / f"resize-{number}.png", optimize=True)
        lines.append("\t".join(map(str, (x, y, w, h, width, height, {"L": 1, "RGB": 3}[mode]))))
    (here / "resize.tsv").write_text("\n".join(lines) + "\n")


def make_pictures():
    folder = here / "pictures"
    (folder / "inner").mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(picture(40, 30))
    image.save(folder / "a.jpg", quality=80)
    image.transpose(Image.Transpose.ROTATE_90).save(folder / "inner/b.png", optimize=True)
    image.convert("L").save(folder / "inner/C.JPEG", quality=80)
    (folder / "cut.jpg").write_bytes((folder / "a.jpg").read_bytes()[:500])
    (folder / "notes.txt").write_text("no picture\n")


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def make_seeds():
    seeds.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(picture(19, 17))
    exif = Image.Exif()
    exif[0x112] = 6
    image.save(seeds / "baseline.jpg", quality=50)
    image.save(seeds / "exif.jpg", quality=30, exif=exif)
    image.save(seeds / "progressive.jpg", quality=50, progressive=True)
    image.save(seeds / "restart.jpg", quality=50, restart_marker_blocks=1)
    image.save(seeds / "subsampled.jpg", quality=50, subsampling=0)
    image.convert("L").save(seeds / "grey.jpg", quality=50)
    image.convert("CMYK").save(seeds / "cmyk.jpg", quality=50)
    image.save(seeds / "rgb.png")
    image.convert("P", palette=Image.Palette.ADAPTIVE, colors=16).save(seeds / "palette.png", transparency=3)
    image.convert("LA").save(seeds / "grey-alpha.png")
    image.convert("1").save(seeds / "one-bit.png")
    alpha = image.convert("RGBA")
    alpha.putalpha(image.convert("L"))
    alpha.save(seeds / "alpha.png", exif=exif)
    deep = numpy.asarray(image.convert("L")).astype(numpy.uint16) * 257
    Image.fromarray(deep).save(seeds / "grey16.png")
    # Adam7 of 8 x 8 grey: the passes have 1, 1, 2, 4, 8, 16 and 32 pixels.
    rows = [(1, 1), (1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (4, 8)]
    data = b"".join((b"\0" + bytes(range(w))) * h for h, w in rows)
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 1)
    (seeds / "interlaced.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) +
                                           chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b""))


def main():
    make_resized()
    make_pictures()
    make_seeds()
    return 0


if __name__ == "__main__":
    sys.exit(main())
