"""Weight files of others: what one is, told by its first bytes, and its tensors, read as data and never as code.

Every place that reads a weight file goes through :func:`check_weights`, so that a file which is none (a web page, a Git
LFS pointer, nothing at all) is called by its name everywhere. Imports no torch until tensors are read.
"""

from __future__ import annotations

import html
import pickle
import re
import stat
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isrbench.harness.api.zips import check_members
from isrbench.harness.errors import UserError
from isrbench.harness.files import is_there, shown, size_text

if TYPE_CHECKING:
    from torch import Tensor

FETCH_AGAIN = "fetch it again"
_HEAD = 4096
_PAGE = (
    r"(<!--.*?-->\s*)*<(!doctype html|(html|head|body|title|meta|link|style|script|noscript|div|span|p|h\d|a|table|"
    r"form|center|iframe|pre|br)[\s/>])"
)
_NO_FILE = ", not a file"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_POINTERS = {
    b"version https://git-lfs.github.com/": "Git LFS",
    b"version https://hawser.github.com/": "Git LFS",
    b"# xet version": "Xet",
    b"/annex/objects/": "git-annex",
}
"""How the small files begin that version control keeps in the place of large ones."""
_KINDS = (
    (b"\x1f\x8b", "a gzip archive"), (b"BZh", "a bzip2 archive"), (b"\xfd7zXZ\0", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"), (b"Rar!", "a RAR archive"), (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"\x89PNG", "a PNG image"), (b"\xff\xd8\xff", "a JPEG image"), (b"%PDF", "a PDF document"),
    (b"\x89HDF", "an HDF5 file (Keras)"), (b"GGUF", "a GGUF file"), (b"\x93NUMPY", "a NumPy array"),
    (b"\x7fELF", "a program (ELF)"), (b"#!", "a script"),
)  # fmt: skip
_SAFETENSORS_HEADER = 100_000_000
"""Bytes that a safetensors header has at most (the library's own bound)."""
_UNSAFE = re.compile(r"GLOBAL (\S+)|via `add_safe_globals`,? but got (.+)")
"""What torch's reader says of a pickle that asks for more than tensors and plain values."""
_SHOWN = 4


def check_weights(path: Path, fix: str = FETCH_AGAIN) -> None:
    """Refuse a file that holds no weights, calling it what it is; only its first bytes and a zip's directory are read.

    Args:
        path: The file, which exists.
        fix: The command that gets it again, if there is one.

    Raises:
        UserError: If it is empty, a folder or device, a web page, a pointer of Git LFS, an archive, a text, or cut off.
    """
    what = not_weights(path)
    if what is None:
        return
    again = FETCH_AGAIN if FETCH_AGAIN in fix or not fix else f"{FETCH_AGAIN}: {fix}"
    if "pointer" in what:
        again += "; in a clone of the repository: git lfs pull"
    elif "archive" in what and "cut off" not in what:
        again = f"unpack it and pass the file inside, or {again}"
    elif what.endswith(_NO_FILE):
        again = "pass the weight file itself"
    raise UserError(f"{path} is {what}", again)


def not_weights(path: Path) -> str | None:
    """Return what a file is that holds no weights, such as ``empty: 0 bytes``; None where it may hold some.

    Raises:
        UserError: If it cannot be read, or is a zip that would unpack to far more than its size.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return ("a folder" if stat.S_ISDIR(found.st_mode) else "a device or pipe") + _NO_FILE
        if found.st_size == 0:
            return "empty: 0 bytes"
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}", "check its place and rights") from error
    if not head.strip(b"\0"):
        return "damaged: it begins with zeros, as a download that was not finished does"
    # First: the length of its header, which stands in front, may look like any other file's beginning.
    if _safetensors_header(head) is not None:
        return None
    if head.startswith(_ZIP):
        return _no_torch_zip(path, found.st_size)
    return _by_first_bytes(head)


def _by_first_bytes(head: bytes) -> str | None:
    for start, program in _POINTERS.items():
        if head.startswith(start) or (start == b"/annex/objects/" and start in head[:256]):
            size = re.search(rb"^size (\d{1,18})$", head, re.MULTILINE)
            return f"a {program} pointer, not the file of {size_text(int(size[1]))} that it stands for" if size else (
                f"a {program} pointer, not the file that it stands for"
            )  # fmt: skip
    for start, kind in _KINDS:
        if head.startswith(start):
            return f"{kind}, not weights"
    if head[257:262] == b"ustar":
        return "a tar archive, not weights"
    return _by_text(head)


def _by_text(head: bytes) -> str | None:
    """What a text is; a pickle and other binary files have bytes that no text has."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head.decode("utf-16", errors="replace")
    elif head[:1] == b"\x80" or re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", head):
        return None
    else:
        text = head.decode("utf-8", errors="replace").removeprefix("\ufeff")
        if text[:-4].count("\ufffd") > len(text) // 4:
            return None
    text = text.strip()
    low = text.lower()
    if re.match(_PAGE, low, re.DOTALL):
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.DOTALL | re.IGNORECASE)
        named = f' titled "{shown(" ".join(html.unescape(title[1]).split()), 60)}"' if title else ""
        return f"a web page (HTML){named}, not weights"
    if low.startswith("<?xml") or re.match(r"<[a-z][\w:-]*[\s>]", low):
        return "an XML text, as servers send for an error, not weights"
    if low.startswith(("{", "[")):
        return "a JSON text, as servers send for an error, not weights"
    return f'a text, not weights: "{shown(" ".join(text.split()), 60)}"'


def _no_torch_zip(path: Path, size: int) -> str | None:
    """What a zip is that ``torch.save`` did not write."""
    try:
        with zipfile.ZipFile(path) as file:
            members = file.infolist()
    except Exception as error:  # a damaged directory makes zipfile fail in many ways
        return f"damaged or cut off after {size_text(size)}: {shown(str(error) or type(error).__name__)}"
    names = [member.filename for member in members]
    if not any(name.rpartition("/")[2] == "data.pkl" for name in names):
        first = ", ".join(shown(name, 40) for name in names[:_SHOWN])
        return f"a zip archive that torch did not write, holding {first or 'nothing'}"
    if any(name.rpartition("/")[2] == "constants.pkl" for name in names):
        return None  # a TorchScript program; who reads it says so
    check_members(path, members)
    return None


def is_torchscript(path: Path) -> bool:
    """Return whether a file is a TorchScript program, which is code with weights in it."""
    try:
        with zipfile.ZipFile(path) as file:
            return any(name.rpartition("/")[2] == "constants.pkl" for name in file.namelist())
    except Exception:  # no zip, or a damaged one
        return False


def read_tensors(path: Path, fix: str = FETCH_AGAIN) -> dict[Any, Any]:
    """Read the dict of a ``torch.save`` or safetensors file, whatever its ending; code in it is never run.

    Args:
        path: The file.
        fix: What to do about a file that is not there or not the right one.

    Returns:
        What the file holds, on the CPU: tensors by name, or dicts of them.

    Raises:
        UserError: If it is missing, no weights at all, damaged, a program, holds more than tensors and plain values, or
            holds no dict.
    """
    if not is_there(path):
        raise UserError(f"{path} does not exist", fix)
    check_weights(path, fix)
    with path.open("rb") as file:
        head = file.read(_HEAD)
    pickled = head.startswith((*_ZIP, b"\x80"))
    if _safetensors_header(head) is not None or (path.suffix.lower() == ".safetensors" and not pickled):
        return dict(_read_safetensors(path))
    if head.startswith(_ZIP) and is_torchscript(path):
        raise UserError(
            f"{path} is a TorchScript program, not weights alone; it was not run",
            "pass the state dict that its authors publish, or convert it where you trust it: "
            "torch.save(torch.jit.load(FILE).state_dict(), NEW)",
        )
    content = _read_pickle(path, fix)
    if not isinstance(content, dict):
        other = fix if fix != FETCH_AGAIN else "pass a file that holds a state dict"
        raise UserError(f"{path} holds a {type(content).__name__}, not a dictionary of weights", other)
    return dict(content)


def _read_pickle(path: Path, fix: str) -> Any:
    import torch

    try:
        with path.open("rb") as file:  # of a path torch would believe the ending
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = asks_for(error)
        if asked is None:
            reason = "its bytes are not those that torch.save writes"
            raise UserError(f"{path} is damaged or no torch file: {reason}", FETCH_AGAIN) from error
        raise UserError(
            f"{path} holds more than weights ({asked}), and reading that could run code; it was not read",
            "pass a plain state dict or .safetensors"
            + (f": {fix}" if fix and fix != FETCH_AGAIN else ", or convert it where you trust it"),
        ) from error
    except Exception as error:  # bytes that are no pickle make torch's reader fail in many ways
        raise UserError(f"{path} is damaged or no torch file: {first_line(error)}", FETCH_AGAIN) from error


def asks_for(error: pickle.UnpicklingError) -> str | None:
    """Return what a pickle wanted beside tensors and plain values, such as ``os.system``; None of a damaged one."""
    asked = _UNSAFE.search(str(error))
    return shown(asked[1] or asked[2]) if asked else None


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, as a terminal may show it."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    # torch's first line ends in a colon, and says nothing yet.
    said = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    return shown(said or type(error).__name__, 200)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # the library has an error of its own, and raises Python's as well
        raise damaged_safetensors(path, error) from error


def damaged_safetensors(path: Path, error: Exception) -> UserError:
    """Return what to say of a safetensors file that its library refuses."""
    with path.open("rb") as file:
        if file.read(4).startswith((*_ZIP, b"\x80")):
            return UserError(f"{path} is a file of torch.save, not a safetensors file", "pass the .safetensors file")
    return UserError(f"{path} is damaged or not a whole safetensors file: {first_line(error)}", FETCH_AGAIN)


def _safetensors_header(head: bytes) -> int | None:
    """Return how long the header of a safetensors file is, or None of another file."""
    length = int.from_bytes(head[:8], "little")
    return length if 2 <= length <= _SAFETENSORS_HEADER and head[8:9] == b"{" else None
