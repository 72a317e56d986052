"""Bytes and paths to pixels: odd images, equality with transformers' processor, limits, what may be read."""

import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from blip_udfs.files import sources
from blip_udfs.files.images import KNOWN_FORMATS, ImageError, decode, image_error, normalise, pixels
from tests.odd_images import ODD_IMAGES, SCENE_JPEG, SCENE_PNG, alpha, encoded, noise, rotated, scene
from tests.tiffs import tiff

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning")
IMAGES = [odd for odd in ODD_IMAGES if odd.data is not None]


def test_the_table_is_large_and_its_names_differ():
    assert len(ODD_IMAGES) >= 40
    assert len({odd.name for odd in ODD_IMAGES}) == len(ODD_IMAGES)


@pytest.mark.parametrize("odd", IMAGES, ids=lambda odd: odd.name)
def test_odd_images(odd):
    if odd.error:
        with pytest.raises(ImageError, match=odd.error):
            decode(odd.data)
        return
    image = decode(odd.data)
    assert image.mode == "RGB"
    odd.check(np.asarray(image))
    assert image_error(odd.data) is None
    assert pixels(odd.data, 8).shape == (8, 8, 3)


@pytest.mark.parametrize("odd", [odd for odd in IMAGES if odd.error], ids=lambda odd: odd.name)
def test_image_error_says_what_decode_raises(odd):
    with pytest.raises(ImageError) as error:
        decode(odd.data)
    assert image_error(odd.data) == str(error.value)


def test_every_cut_of_a_file_raises_or_decodes_and_never_hangs():
    for data in (SCENE_JPEG, SCENE_PNG, encoded(scene(), "WEBP"), encoded(scene(), "GIF"), encoded(scene(), "TIFF")):
        for cut in range(0, len(data), 7):
            reason = image_error(data[:cut])
            assert reason is None or f"{cut:,} bytes" in reason


def test_flipped_bytes_raise_nothing_but_image_errors():
    random = np.random.default_rng(0)
    for data in (SCENE_JPEG, SCENE_PNG, encoded(alpha(), "WEBP"), encoded(scene(), "GIF"), encoded(scene(), "TIFF")):
        for _ in range(60):
            broken = bytearray(data)
            for at in random.integers(0, len(data), 3):
                broken[at] = random.integers(256)
            image_error(bytes(broken))


@pytest.mark.parametrize("size", [(1920, 1020), (300, 700), (5, 3), (384, 384)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "CMYK", "1"])
def test_pixels_equal_transformers_processor_bit_for_bit(size, mode):
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    image = noise(97).resize(size).convert(mode)
    processor = BlipImageProcessorPil(size={"height": 64, "width": 64})
    expected = processor(images=image, return_tensors="np")["pixel_values"]
    ours = pixels(encoded(image, "TIFF"), 64)[None]
    assert (normalise(ours, processor.image_mean, processor.image_std) == expected).all()


def test_jpeg_pixels_equal_transformers_processor_bit_for_bit():
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    data = encoded(noise(97).resize((1920, 1020)), "JPEG", quality=90)
    processor = BlipImageProcessorPil()
    expected = processor(images=Image.open(io.BytesIO(data)), return_tensors="np")["pixel_values"]
    assert (normalise(pixels(data, 384)[None], processor.image_mean, processor.image_std) == expected).all()


def sideways(kind: str, turn: int) -> bytes:
    """The scene in grey, stored as `turn` says it must be turned, and said so in the place that `kind` names."""
    stored = np.asarray(Image.open(io.BytesIO(rotated(turn, "PNG"))).convert("L"))
    grey, deep = Image.fromarray(stored), Image.fromarray(stored.astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[274] = turn
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="{turn}"/>'
    text = PngImagePlugin.PngInfo()
    profile = exif.tobytes().hex()
    text.add_text("Raw profile type exif", f"\nexif\n{len(profile) // 2:8}\n{profile}\n", zip=True)
    text_of_xmp = PngImagePlugin.PngInfo()
    text_of_xmp.add_itxt("XML:com.adobe.xmp", xmp)
    return {
        "JPEG, EXIF": lambda: encoded(grey, "JPEG", quality=100, exif=exif),
        "JPEG, XMP": lambda: encoded(grey, "JPEG", quality=100, xmp=xmp.encode()),
        "PNG, EXIF": lambda: encoded(grey, "PNG", exif=exif),
        "PNG of 16 bits, EXIF": lambda: encoded(deep, "PNG", exif=exif),
        "PNG of 16 bits, EXIF as text": lambda: encoded(deep, "PNG", pnginfo=text),
        "PNG of 16 bits, XMP": lambda: encoded(deep, "PNG", pnginfo=text_of_xmp),
        "PNG with a palette, EXIF": lambda: encoded(grey.quantize(8), "PNG", exif=exif),
        "WebP, EXIF": lambda: encoded(grey.convert("RGB"), "WEBP", lossless=True, exif=exif),
        "WebP, XMP": lambda: encoded(grey.convert("RGB"), "WEBP", lossless=True, xmp=xmp.encode()),
        "TIFF": lambda: tiff(stored, orientation=turn),
        "TIFF, compressed": lambda: encoded(grey, "TIFF", compression="tiff_lzw", tiffinfo={274: turn}),
        "TIFF of 16 bits": lambda: tiff(stored.astype(np.uint16) * 257, orientation=turn),
        "TIFF of 16 bits, big-endian": lambda: tiff(stored.astype(np.uint16) * 257, order=">", orientation=turn),
        "TIFF with premultiplied alpha": lambda: tiff(
            np.stack([stored, np.full_like(stored, 255)], 2), extra=1, orientation=turn
        ),
    }[kind]()


PLACES = ["JPEG, EXIF", "JPEG, XMP", "PNG, EXIF", "PNG of 16 bits, EXIF", "PNG of 16 bits, EXIF as text"]
PLACES += ["PNG of 16 bits, XMP", "PNG with a palette, EXIF", "WebP, EXIF", "WebP, XMP", "TIFF", "TIFF, compressed"]
PLACES += ["TIFF of 16 bits", "TIFF of 16 bits, big-endian", "TIFF with premultiplied alpha"]


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("turn", range(1, 9))
def test_orientation_is_honoured_wherever_it_is_said_and_at_every_depth(kind, turn):
    seen = np.asarray(decode(sideways(kind, turn)), int)
    expected = np.asarray(scene().convert("L"), int)[..., None]
    assert seen.shape == (16, 24, 3)
    assert abs(seen - expected).max() <= (12 if "JPEG" in kind else 0)


@pytest.mark.parametrize("error", [RuntimeError("odd"), AssertionError(), KeyError("odd"), RecursionError("odd")])
@pytest.mark.parametrize("step", ["load", "convert", "transpose", "resize"])
def test_whatever_pillow_raises_is_the_images_error(monkeypatch, step, error):
    def fail(*_, **__):
        raise error

    data = rotated(3, "PNG")
    monkeypatch.setattr(ImageFile.ImageFile if step == "load" else Image.Image, step, fail)
    with pytest.raises(ImageError, match=f"24 x 16 px.*: ('?odd'?|{type(error).__name__})$"):
        pixels(data, 8)


def test_exif_that_raises_anything_is_as_none(monkeypatch):
    monkeypatch.setattr(Image.Image, "getexif", lambda image: 1 // 0)
    assert (np.asarray(decode(SCENE_PNG)) == np.asarray(scene())).all()


def test_want_of_memory_is_not_blamed_on_the_image(monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    for step in ("convert", "resize"):
        monkeypatch.setattr(Image.Image, step, fail)
        with pytest.raises(MemoryError):
            pixels(SCENE_PNG, 8)


def test_decoding_leaves_pillow_and_its_images_as_they_were():
    before = Image.MAX_IMAGE_PIXELS
    for odd in IMAGES:
        image_error(odd.data)
    assert before == Image.MAX_IMAGE_PIXELS


def test_limits_are_said_and_can_be_changed(monkeypatch, tmp_path):
    monkeypatch.setenv("BLIP_MAX_IMAGE_BYTES", "100")
    (tmp_path / "x.png").write_bytes(SCENE_PNG + bytes(100))
    for source in (SCENE_PNG + bytes(100), str(tmp_path / "x.png")):
        with pytest.raises(ImageError, match="expected at most 100 bytes, got .* set BLIP_MAX_IMAGE_BYTES"):
            decode(source)
    monkeypatch.delenv("BLIP_MAX_IMAGE_BYTES")
    monkeypatch.setenv("BLIP_MAX_IMAGE_PIXELS", "383")
    with pytest.raises(ImageError, match="24 x 16 px has too many pixels: expected at most 383"):
        decode(SCENE_PNG)
    monkeypatch.setenv("BLIP_MAX_IMAGE_PIXELS", "many")
    with pytest.raises(ValueError, match="BLIP_MAX_IMAGE_PIXELS = 'many': expected a whole number"):
        decode(SCENE_PNG)


@pytest.mark.parametrize("form", ["{}", "file:{}", "file://{}", "file://localhost{}"])
@pytest.mark.parametrize("name", ["a.png", "with space.png", "50%20off.png", "ü#1?.png"])
def test_paths_as_sparks_binary_file_writes_them(tmp_path, form, name):
    file = tmp_path / name
    file.write_bytes(SCENE_PNG)
    assert decode(form.format(file)).size == (24, 16)


def test_percent_encoded_uris_are_understood_and_literal_names_win(tmp_path):
    file = tmp_path / "with space.png"
    file.write_bytes(SCENE_PNG)
    assert decode(file.as_uri()).size == (24, 16)
    (tmp_path / "with%20space.png").write_bytes(encoded(scene(8, 8), "PNG"))
    assert decode(f"file:{tmp_path}/with%20space.png").size == (8, 8)


def test_databricks_paths():
    assert sources.local_path("dbfs", "/Volumes/main/x.jpg") == "/Volumes/main/x.jpg"
    assert sources.local_path("dbfs", "/data/x.jpg") == "/dbfs/data/x.jpg"


def test_errors_name_the_path(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"<html>")
    with pytest.raises(ImageError, match=rf"^{tmp_path}/x.jpg: expected JPEG, .* got 6 bytes"):
        decode(f"{tmp_path}/x.jpg")
    assert image_error(f"file:{tmp_path}/none.jpg") == f"file:{tmp_path}/none.jpg: no such file"
    assert "expected a path" in image_error("a\0b")
    assert "URI of Arrow's file systems" in image_error("gopher://host/x.jpg")


def test_the_formats_stand_in_one_place():
    from blip_udfs.spark.sql_function import IMAGE

    assert KNOWN_FORMATS == "JPEG, PNG, WebP, BMP, TIFF or GIF"
    assert f"an encoded image ({KNOWN_FORMATS}; of several frames the first)" in IMAGE.meaning
    assert str(image_error(b"text")).startswith(f"expected {KNOWN_FORMATS}, got 4 bytes of another format")


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path, kind in ((tmp_path, "directory"), (tmp_path / "fifo", "FIFO"), ("/dev/zero", "device")):
        reason: list[str | None] = []
        reader = threading.Thread(target=lambda path=path, out=reason: out.append(image_error(str(path))), daemon=True)
        reader.start()
        reader.join(5)
        assert reason, f"reading a {kind} hangs"
        assert f"expected a regular file, got a {kind}" in str(reason[0]) or "cannot be read" in str(reason[0])


def test_read_roots(tmp_path, monkeypatch):
    inside, outside = tmp_path / "in" / "x.png", tmp_path / "out" / "x.png"
    for file in (inside, outside):
        file.parent.mkdir()
        file.write_bytes(SCENE_PNG)
    (tmp_path / "in" / "link.png").symlink_to(outside)
    (tmp_path / "inner").mkdir()
    monkeypatch.setenv("BLIP_READ_ROOTS", f"{tmp_path}/in{os.pathsep}s3://bucket/images")
    assert sources.read_roots() == [f"{tmp_path}/in", "s3://bucket/images"]
    assert image_error(str(inside)) is None
    for source in (outside, tmp_path / "in/../out/x.png", tmp_path / "in/link.png", tmp_path / "inner/x.png"):
        assert "outside of what may be read here" in str(image_error(str(source)))
        assert "BLIP_READ_ROOTS" in str(image_error(f"file:{source}"))
    for uri in ("s3://bucket/other/x.png", "s3a://bucket/imagesque/x.png", "s3://bucket/images/../x.png", "gs://b/x"):
        assert "outside of what may be read here" in str(image_error(uri))


def test_other_file_systems(tmp_path, monkeypatch):
    from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

    (tmp_path / "a b.png").write_bytes(SCENE_PNG)
    asked = []

    def file_system(scheme, authority):
        asked.append((scheme, authority))
        return SubTreeFileSystem(str(tmp_path), LocalFileSystem()), ""

    monkeypatch.setattr(sources, "file_system", file_system)
    monkeypatch.setenv("BLIP_READ_ROOTS", "s3a://bucket")
    assert decode("s3a://bucket/a b.png").size == (24, 16)
    assert image_error("s3://bucket/none.png") == "s3://bucket/none.png: no such file"
    assert asked == [("s3", "bucket")] * 2


@pytest.mark.parametrize("key", ["/key.png", "a//key.png", "/other/key.png"])
def test_a_key_that_the_store_does_not_take_is_the_images_error(monkeypatch, key):
    from pyarrow.fs import S3FileSystem

    store = S3FileSystem(region="us-east-1", anonymous=True)  # which looks at the key before it asks anyone
    monkeypatch.setattr(sources, "file_system", lambda scheme, authority: (store, authority))
    expected = f"s3://b/{key}: cannot be read: Empty path component in path b/{key}"
    assert image_error(f"s3://b/{key}") == expected


def test_a_zero_byte_ends_no_name():
    for source in ("a\0b", "file:/tmp/a.png\0.jpg", "s3://bucket/a.png\0b"):
        assert image_error(source) == f"{source!r}: expected a path, got one with a zero byte"


def test_a_local_disk_that_fails_is_not_blamed_on_the_image_and_a_remote_one_is_its_reason(monkeypatch):
    def fail(*_):
        raise OSError("connection reset")

    monkeypatch.setattr(sources, "read_local", fail)
    with pytest.raises(OSError, match="connection reset"):
        image_error("/data/x.png")
    monkeypatch.setattr(sources, "remote", fail)
    assert image_error("s3://bucket/x.png") == "s3://bucket/x.png: cannot be read: connection reset"


def test_importing_images_loads_neither_torch_nor_transformers():
    import subprocess
    import sys

    code = "import sys, blip_udfs.files.images; print({'torch', 'transformers', 'pyarrow'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert out.stdout.strip() == "set()", out.stderr
