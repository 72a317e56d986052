"""Odd images made by code, each with its right pixels or its error: one table for Python and for SQL."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

from blip_udfs.blip.features import pack_features
from tests.tiffs import tiff

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


@dataclass(frozen=True)
class OddImage:
    """`error`: a regular expression of the message, or `check` of the RGB pixels (H, W, 3); neither for NULL."""

    name: str
    data: bytes | None
    error: str | None = None
    check: Callable[[np.ndarray], None] | None = None


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def scene(width: int = 24, height: int = 16) -> Image.Image:
    """Red, green / blue, white quarters: every rotation and flip looks different."""
    image = Image.new("RGB", (width, height), WHITE)
    image.paste(RED, (0, 0, width // 2, height // 2))
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    return image


def quarters(*colours: tuple[int, int, int], size: tuple[int, int] = (24, 16), within: int = 0) -> Callable:
    """Checks size and the middle of each quarter, row by row."""

    def check(pixels: np.ndarray) -> None:
        width, height = size
        assert pixels.shape == (height, width, 3)
        middles = [(y, x) for y in (height // 4, height * 3 // 4) for x in (width // 4, width * 3 // 4)]
        seen = np.array([pixels[place] for place in middles], int)
        assert abs(seen - np.array(colours)).max() <= within, seen.tolist()

    return check


def plain(colour: tuple[int, int, int], size: tuple[int, int], within: int = 0) -> Callable:
    return quarters(*[colour] * 4, size=size, within=within)


AS_DRAWN = quarters(RED, GREEN, BLUE, WHITE)
NEARLY = quarters(RED, GREEN, BLUE, WHITE, within=12)  # lossy, or other weights of grey
SCENE_PNG, SCENE_JPEG = encoded(scene(), "PNG"), encoded(scene(), "JPEG", quality=95, subsampling=0)


def noise(side: int = 64) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, data: bytes, interlace: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def png_rows(rows: np.ndarray) -> bytes:
    """Each row behind a filter byte of 0; 16 bits big-endian, as PNG wants them."""
    return b"".join(b"\0" + row.tobytes() for row in rows)


def interlaced() -> bytes:
    """Adam7, written by hand: Pillow reads it but does not write it."""
    pixels = np.asarray(scene())
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    return png(24, 16, 8, 2, b"".join(png_rows(pixels[y::dy, x::dx]) for y, x, dy, dx in passes), interlace=1)


def bad_crc() -> bytes:
    at = SCENE_PNG.index(b"IDAT") + 4 + 6
    return SCENE_PNG[:at] + bytes([SCENE_PNG[at] ^ 0xFF]) + SCENE_PNG[at + 1 :]


def levels(step: int) -> np.ndarray:
    """A ramp of 256 levels, 16 x 16, times `step`."""
    return (np.arange(256) * step).reshape(16, 16)


def is_ramp(pixels: np.ndarray) -> None:
    assert (pixels == levels(1)[..., None]).all()


def sixteen_bit_tiff(order: str = "<", white_is_zero: bool = False) -> bytes:
    return tiff(levels(257).astype(np.uint16), int(not white_is_zero), order)


def filled(channels: tuple[int, ...], dtype: type = np.uint8) -> np.ndarray:
    """7 x 9 pixels of one colour."""
    return np.full((7, 9, len(channels)), channels, dtype)


def as_pillow_converts(data: bytes) -> OddImage:
    """The pixels that transformers takes, Pillow's own convert; named by its mode."""
    image = Image.open(io.BytesIO(data))
    expected = np.asarray(image.convert("RGB"))

    def check(pixels: np.ndarray) -> None:
        assert (pixels == expected).all()
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) == 1

    return OddImage(f"TIFF in mode {image.mode}", data, check=check)


def is_inverted_ramp(pixels: np.ndarray) -> None:
    assert (pixels == 255 - levels(1)[..., None]).all()


def palette_with_transparency() -> bytes:
    image = scene().quantize(4)
    return encoded(image, "PNG", transparency=bytes([0, 128, 255, 255]))


def cmyk(marked: bool) -> bytes:
    """Adobe writes CMYK inverted and marks it; Pillow, and so transformers, reads it so with and without the mark."""
    data = encoded(scene().convert("CMYK"), "JPEG", quality=95, subsampling=0)
    at = data.index(b"\xff\xee")
    return data if marked else data[:at] + data[at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0] :]


def animation(kind: str, **options) -> bytes:
    frames = [scene(), Image.new("RGB", (24, 16), BLUE), Image.new("RGB", (24, 16), GREEN)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, **options)


def rotated(orientation: int, kind: str = "JPEG") -> bytes:
    """The scene stored so that its EXIF orientation turns it upright."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = scene().transpose(undo[orientation]) if orientation in undo else scene()
    exif = Image.Exif()
    exif[274] = orientation
    return encoded(image, kind, exif=exif, **({"quality": 95, "subsampling": 0} if kind == "JPEG" else {}))


def huge_exif() -> bytes:
    exif = Image.Exif()
    exif[270] = "x" * 65_000
    return encoded(scene(), "JPEG", quality=95, subsampling=0, exif=exif)


def broken_exif() -> bytes:
    return encoded(scene(), "JPEG", quality=95, subsampling=0, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")


def grey_check(pixels: np.ndarray) -> None:
    assert (pixels == np.asarray(scene().convert("L"))[..., None]).all()


def bilevel_check(pixels: np.ndarray) -> None:
    assert (pixels == np.asarray(scene().convert("1"))[..., None] * 255).all()


def alpha() -> Image.Image:
    image = scene().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def patch_features() -> bytes:
    return pack_features(np.random.default_rng(1).standard_normal((5, 32)), "0123456789ab")


def valid() -> list[OddImage]:
    compressed = {"LZW": {"compression": "tiff_lzw"}, "deflate": {"compression": "tiff_adobe_deflate"}, "plain": {}}
    return [
        OddImage("PNG", SCENE_PNG, check=AS_DRAWN),
        OddImage("JPEG", SCENE_JPEG, check=NEARLY),
        OddImage("JPEG in a file named .png", SCENE_JPEG, check=NEARLY),
        OddImage(
            "progressive JPEG", encoded(scene(), "JPEG", quality=95, subsampling=0, progressive=True), check=NEARLY
        ),
        OddImage("JPEG with garbage after its end", SCENE_JPEG + b"\0garbage\xff\xd8" * 50, check=NEARLY),
        OddImage("CMYK JPEG by Adobe", cmyk(marked=True), check=NEARLY),
        OddImage("CMYK JPEG without Adobe's mark", cmyk(marked=False), check=NEARLY),
        OddImage("grey JPEG", encoded(Image.new("L", (9, 7), 77), "JPEG"), check=plain((77,) * 3, (9, 7), within=1)),
        OddImage("JPEG with 65 kB of EXIF", huge_exif(), check=NEARLY),
        OddImage("JPEG with broken EXIF", broken_exif(), check=NEARLY),
        OddImage(
            "JPEG with ICC profile",
            encoded(scene(), "JPEG", quality=95, subsampling=0, icc_profile=srgb()),
            check=NEARLY,
        ),
        *[OddImage(f"EXIF orientation {turn}", rotated(turn), check=NEARLY) for turn in range(1, 9)],
        OddImage("EXIF orientation 9, which does not exist", rotated(9), check=NEARLY),
        OddImage("1 x 1", encoded(Image.new("RGB", (1, 1), (1, 2, 3)), "PNG"), check=plain((1, 2, 3), (1, 1))),
        OddImage(
            "20000 x 20", encoded(scene(20000, 20), "PNG"), check=quarters(RED, GREEN, BLUE, WHITE, size=(20000, 20))
        ),
        OddImage("1 x 30000", encoded(Image.new("RGB", (1, 30000), BLUE), "PNG"), check=plain(BLUE, (1, 30000))),
        OddImage("grey PNG", encoded(scene().convert("L"), "PNG"), check=grey_check),
        OddImage("grey and alpha PNG", encoded(alpha().convert("LA"), "PNG"), check=grey_check),
        OddImage("RGBA PNG", encoded(alpha(), "PNG"), check=AS_DRAWN),
        OddImage("1-bit PNG", encoded(scene().convert("1"), "PNG"), check=bilevel_check),
        OddImage("palette PNG", encoded(scene().quantize(4), "PNG"), check=AS_DRAWN),
        OddImage("palette PNG with transparency", palette_with_transparency(), check=AS_DRAWN),
        OddImage("interlaced PNG", interlaced(), check=AS_DRAWN),
        OddImage("16-bit grey PNG", png(16, 16, 16, 0, png_rows(levels(257).astype(">u2"))), check=is_ramp),
        OddImage(
            "16-bit colour PNG",
            png(16, 16, 16, 2, png_rows(np.repeat(levels(257)[..., None], 3, 2).astype(">u2"))),
            check=is_ramp,
        ),
        OddImage("animated PNG", animation("PNG"), check=AS_DRAWN),
        OddImage("animated GIF", animation("GIF"), check=AS_DRAWN),
        OddImage("animated WebP", animation("WEBP", lossless=True), check=AS_DRAWN),
        OddImage("lossless WebP", encoded(scene(), "WEBP", lossless=True), check=AS_DRAWN),
        OddImage("WebP with alpha", encoded(alpha(), "WEBP", lossless=True, exact=True), check=AS_DRAWN),
        OddImage("BMP", encoded(scene(), "BMP"), check=AS_DRAWN),
        OddImage("palette BMP", encoded(scene().quantize(4), "BMP"), check=AS_DRAWN),
        *[
            OddImage(f"TIFF, {name}", encoded(scene(), "TIFF", **how), check=AS_DRAWN)
            for name, how in compressed.items()
        ],
        OddImage(
            "tiled TIFF",
            encoded(scene(), "TIFF", tiffinfo={322: 16, 323: 16}, compression="tiff_adobe_deflate"),
            check=AS_DRAWN,
        ),
        OddImage("TIFF of three pages", animation("TIFF"), check=AS_DRAWN),
        OddImage("16-bit TIFF", sixteen_bit_tiff(), check=is_ramp),
        OddImage("16-bit TIFF, big-endian", sixteen_bit_tiff(">"), check=is_ramp),
        OddImage("16-bit TIFF, white is zero", sixteen_bit_tiff(white_is_zero=True), check=is_inverted_ramp),
        OddImage("grey TIFF with alpha", tiff(filled((90, 128)), extra=2), check=plain((90,) * 3, (9, 7))),
        OddImage(
            "grey TIFF with premultiplied alpha", tiff(filled((45, 128)), extra=1), check=plain((89,) * 3, (9, 7))
        ),
        OddImage(
            "TIFF with premultiplied alpha",
            tiff(filled((45, 20, 10, 128)), photometric=2, extra=1),
            check=plain((89, 39, 19), (9, 7)),
        ),
        as_pillow_converts(tiff(filled((10, 200, 30, 40)), photometric=5)),
        as_pillow_converts(tiff(filled((90, 60, 200)), photometric=6)),
        as_pillow_converts(tiff(filled((150, 200, 30)), photometric=8)),
    ]


def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def invalid() -> list[OddImage]:
    jpeg, tall = encoded(noise(), "JPEG"), encoded(noise(), "PNG")
    other = "expected JPEG, PNG, WebP, BMP, TIFF or GIF, got {} bytes of another format"
    broken = {
        "text": b"this is not an image",
        "HTML named .jpg": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "SVG": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        "PDF": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
        "gzip of a JPEG": gzip.compress(SCENE_JPEG, mtime=0),
        "only zeros": bytes(1000),
        "one byte": b"\xff",
        "PPM, a format that is not taken": encoded(scene(), "PPM"),
        "random bytes": random.Random(0).randbytes(500),
    }
    return [
        OddImage("empty", b"", error="expected an image, got 0 bytes"),
        *[OddImage(name, data, error=other.format(f"{len(data):,}")) for name, data in broken.items()],
        OddImage(
            "truncated JPEG",
            jpeg[: len(jpeg) // 2],
            error=r"JPEG image of [\d,]+ bytes, 64 x 64 px, does not decode: .*truncated",
        ),
        OddImage(
            "truncated PNG",
            tall[: len(tall) // 2],
            error=r"PNG image of [\d,]+ bytes, 64 x 64 px, does not decode: .*truncated",
        ),
        OddImage("truncated WebP", encoded(noise(), "WEBP")[:500], error="500 bytes"),
        OddImage("truncated BMP", encoded(noise(), "BMP")[:5000], error=r"BMP image of 5,000 bytes, .*truncated"),
        OddImage("truncated TIFF", encoded(noise(), "TIFF", compression="tiff_lzw")[:900], error="900 bytes"),
        OddImage("PNG header alone", SCENE_PNG[:33], error="33 bytes"),
        OddImage("JPEG header alone", SCENE_JPEG[:20], error="20 bytes"),
        OddImage("PNG with a bad checksum", bad_crc(), error="PNG image of .* does not decode"),
        OddImage("PNG header of 60000 x 60000", png(60000, 60000, 8, 2, b""), error="too many pixels"),
        OddImage(
            "PNG header of 13200 x 13200",
            png(13200, 13200, 8, 2, b""),
            error=r"PNG image of 13200 x 13200 px has too many pixels: expected at most 170,000,000",
        ),
        OddImage("PNG of 0 x 0", png(0, 0, 8, 2, b""), error="bytes"),
        OddImage("float TIFF", encoded(Image.new("F", (4, 4), 0.5), "TIFF"), error="32 bits per channel, floating-p"),
        OddImage("half-float TIFF", tiff(filled((1,), np.float16)), error="TIFF image of .* bytes does not open: unkn"),
        OddImage(
            "TIFF of signed 16 bits", tiff(filled((1,), np.int16)), error="16 bits per channel, signed: expected 8"
        ),
        OddImage("TIFF of 32 bits", tiff(filled((1,), np.uint32)), error="32 bits per channel, unsigned: expected 8"),
        OddImage("patch features of another model", patch_features(), error="patch features|BLIPFEAT"),
        OddImage("truncated patch features", patch_features()[:-1], error="patch features|BLIPFEAT"),
    ]


ODD_IMAGES: list[OddImage] = [OddImage("NULL", None), *valid(), *invalid()]
