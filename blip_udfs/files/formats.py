"""The formats of images that are decoded: their names, and how names of such files end."""

FORMATS = {  # Pillow's name: people's, and how names of such files end
    "JPEG": ("JPEG", "jpg", "jpeg"),
    "PNG": ("PNG", "png"),
    "WEBP": ("WebP", "webp"),
    "BMP": ("BMP", "bmp"),
    "TIFF": ("TIFF", "tif", "tiff"),
    "GIF": ("GIF", "gif"),
}
SUFFIXES = tuple(suffix for _, *suffixes in FORMATS.values() for suffix in suffixes)
KNOWN_FORMATS = " or".join(", ".join(name for name, *_ in FORMATS.values()).rsplit(",", 1))  # JPEG, PNG, ... or GIF
