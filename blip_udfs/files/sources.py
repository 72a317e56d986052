"""A path or URI as Spark names files -> the file's bytes."""

from __future__ import annotations

import errno
import os
import re
import stat
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from blip_udfs.files.doors import limit, read_roots

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

LONGEST_PATH = 4096  # characters; no file system takes more
NOT_A_FILES_NAME = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EINVAL)
LOCAL_SCHEMES = ("file", "dbfs")
SAME_SCHEME = {"s3a": "s3", "s3n": "s3"}  # Hadoop's names of what Arrow calls s3


class ImageError(ValueError):
    """An image that cannot be used: the message says what is wrong with it."""


class ClosedError(ImageError):
    """No path at all may be read here: the fault of no row, so the `try_` forms raise it too."""


def read(source: str) -> bytes:
    """The bytes of the regular file at `source`: a local path, file: or dbfs: as Spark writes them, or any URI
    that Arrow's file systems know (s3, gs, hdfs, abfs, ...).

    Raises ImageError when the file is missing, no regular file, larger than BLIP_MAX_IMAGE_BYTES or outside
    BLIP_READ_ROOTS, and when a remote storage still fails after Arrow's own retries, as Spark's reader does; OSError
    when a local disk fails, since that is no fault of the row.
    """
    if len(source) > LONGEST_PATH:
        raise ImageError(f"expected a path, got a text of {len(source):,} characters, which begins {source[:40]!r}")
    if "\0" in source:  # which would end the name for C
        raise ImageError(f"{source!r}: expected a path, got one with a zero byte")
    scheme, path = split_scheme(source)
    try:
        if scheme in ("", *LOCAL_SCHEMES):
            return read_local(local_path(scheme, path), source)
        return read_remote(SAME_SCHEME.get(scheme, scheme), path, source)
    except FileNotFoundError:
        raise ImageError(f"{source}: no such file") from None
    except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise ImageError(f"{source}: cannot be read: {error.strerror or error}") from None
    except OSError as error:
        if error.errno not in NOT_A_FILES_NAME:
            raise
        raise ImageError(f"{source}: cannot be read: {error.strerror}") from None


def stamp(source: str | None) -> tuple[int, int] | None:
    """Modification time (microseconds) and length of the file that `read` would read; None where it would raise
    ImageError of it. Raises OSError when the storage itself fails."""
    from pyarrow import ArrowInvalid
    from pyarrow.fs import FileType

    if source is None or len(source) > LONGEST_PATH or "\0" in source:
        return None
    scheme, path = split_scheme(source)
    try:
        if scheme in ("", *LOCAL_SCHEMES):
            found = os.stat(allowed_path(local_path(scheme, path), source))  # noqa: PTH116
            return (found.st_mtime_ns // 1000, found.st_size) if stat.S_ISREG(found.st_mode) else None
        system, where = remote(SAME_SCHEME.get(scheme, scheme), path, source)
        info = system.get_file_info(where)
        return (info.mtime_ns // 1000, info.size or 0) if info.type == FileType.File and info.mtime_ns else None
    except (ImageError, ArrowInvalid, FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except OSError as error:
        if error.errno not in NOT_A_FILES_NAME:
            raise
        return None


def split_scheme(source: str) -> tuple[str, str]:
    """s3a://bucket/key -> s3a, //bucket/key; /data/x.jpg -> "", /data/x.jpg. A scheme has two letters or more:
    C: is a drive."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):(?=/)", source)
    return (found[1].lower(), source[found.end() :]) if found else ("", source)


def local_path(scheme: str, path: str) -> str:
    """What Spark calls file:/x, file:///x or dbfs:/x, as the operating system knows it."""
    if not scheme:
        return path
    path = re.sub(r"^//(localhost)?(?=/)", "", path)  # file:///x and file://localhost/x are /x
    if scheme == "dbfs":
        return path if path.startswith("/Volumes/") else f"/dbfs{path}"
    # binaryFile's `path` column is literal; `_metadata.file_path` and Python's as_uri() are percent-encoded
    return path if os.path.lexists(path) else unquote(path)


def allowed_path(path: str, source: str) -> str:
    """The path, resolved where only some may be read. Raises ImageError for another."""
    allowed = read_roots()
    if allowed is None:
        return path
    path = os.path.realpath(path)
    if not any(is_inside(path, os.path.realpath(root)) for root in allowed if "://" not in root):
        raise refused(source, allowed)
    return path


def read_local(path: str, source: str) -> bytes:
    path = allowed_path(path, source)
    # without O_NONBLOCK a FIFO would wait for its writer forever
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    with open(descriptor, "rb", closefd=True) as file:  # noqa: PTH123
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{source}: expected a regular file, got a {kind(status.st_mode)}")
        check_bytes(status.st_size, source)
        if not status.st_size:  # also what /proc says of files that hold what a user must not see
            raise ImageError(f"{source}: expected an image, got 0 bytes")
        return file.read(status.st_size)


def kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "directory", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(mode), "device")


def read_remote(scheme: str, path: str, source: str) -> bytes:
    from pyarrow import ArrowInvalid

    try:
        return read_from(*remote(scheme, path, source), source)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError):
        raise  # `read` says these for all storages
    except (ArrowInvalid, OSError) as error:  # ArrowInvalid: a name that the store does not take, as s3://bucket//key
        raise ImageError(f"{source}: cannot be read: {error}") from None


def remote(scheme: str, path: str, source: str) -> tuple[FileSystem, str]:
    """Arrow's file system, and the path there. Raises ImageError for a place that may not be read."""
    check_remote_root(scheme, path, source)
    authority, _, key = path.removeprefix("//").partition("/")
    system, base = file_system(scheme, authority)
    # not posixpath.join: a key that begins with a slash would leave the bucket
    return system, f"{base.rstrip('/')}/{key}" if base else key


def read_from(system: FileSystem, where: str, source: str) -> bytes:
    from pyarrow.fs import FileType

    info = system.get_file_info(where)
    if info.type == FileType.NotFound:
        raise FileNotFoundError(where)
    if info.type != FileType.File:
        raise ImageError(f"{source}: expected a regular file, got a {info.type.name.lower()}")
    check_bytes(info.size or 0, source)  # a store may not know the size
    with system.open_input_stream(where) as stream:
        data = stream.read(limit("BLIP_MAX_IMAGE_BYTES") + 1)
    check_bytes(len(data), source)
    return data


@lru_cache(maxsize=32)
def file_system(scheme: str, authority: str) -> tuple[FileSystem, str]:
    """Arrow's file system for a scheme and bucket or host, and the path that its keys are relative to."""
    from pyarrow import ArrowException
    from pyarrow.fs import FileSystem

    root = f"{scheme}://{authority}/"
    try:
        return FileSystem.from_uri(root)
    except (ArrowException, ValueError) as error:
        message = (
            f"{root}: expected a local path, file:, dbfs: or a URI of Arrow's file systems (s3, gs, hdfs, abfs); Spark "
            "reads what it has a file system for, in a session with blip-udfs' jar and spark.blip.read = auto"
        )
        raise ImageError(f"{message}: {error}") from None


def check_bytes(size: int, source: str = "image") -> None:
    """Raises ImageError for an image of more encoded bytes than BLIP_MAX_IMAGE_BYTES."""
    most = limit("BLIP_MAX_IMAGE_BYTES")
    if size > most:
        raise ImageError(
            f"{source}: expected at most {most:,} bytes, got {size:,} or more; set BLIP_MAX_IMAGE_BYTES on the "
            "executors to allow them"
        )


def is_inside(path: str, root: str) -> bool:
    return Path(root) in (Path(path), *Path(path).parents)


def check_root(source: str) -> None:
    """Raises ImageError for what may not be read here, by whomever."""
    scheme, path = split_scheme(source)
    if scheme in ("", *LOCAL_SCHEMES):
        allowed_path(local_path(scheme, path), source)
    else:
        check_remote_root(SAME_SCHEME.get(scheme, scheme), path, source)


def check_remote_root(scheme: str, path: str, source: str) -> None:
    allowed = read_roots()
    if allowed is None:
        return
    inside = any(f"{scheme}:{path}".startswith(canonical(root).rstrip("/") + "/") for root in allowed if "://" in root)
    if ".." in re.split(r"[/\\]", decoded(path)) or not inside:
        raise refused(source, allowed)


def decoded(path: str) -> str:
    """As the last of any number of servers that decode it would read it."""
    while (plain := unquote(path)) != path:
        path = plain
    return path


def canonical(uri: str) -> str:
    scheme, path = split_scheme(uri)
    return f"{SAME_SCHEME.get(scheme, scheme)}:{path}"


def refused(source: str, allowed: list[str]) -> ImageError:
    if not allowed:
        return ClosedError(
            f"{source}: no path is read here, for BLIP_READ_ROOTS names no folder; whoever runs the server can start "
            "it with BLIP_READ_ROOTS=/folder/of/images in its environment"
        )
    return ImageError(
        f"{source}: outside of what may be read here: {', '.join(allowed)}; whoever runs the cluster can add its "
        "folder to BLIP_READ_ROOTS on the executors"
    )
