"""One call of an external program: with a time limit, nothing left running, and the end of its output if it fails."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from isrbench.harness import processes
from isrbench.harness.errors import UserError

_TAIL_BYTES = 2000
PATHS = ("input", "output", "input_dir", "output_dir")
"""Placeholders that stand for a path, with an image's name in it; the others stand for whole numbers."""
_PATH = re.compile(r"\{(" + "|".join(PATHS) + r")\}")
_READERS = {r"(ba|da|z|k|c|tc|fi)?sh|su|python[\d.]*": r"-\w*c", r"perl|ruby|node|Rscript": r"-\w*[eE]"}
"""Programs that take code as an argument, and the option before it."""
_CONTROL = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)|[^\t\n\r\x20-\x7e\xa0-\U0010ffff]")
"""What colours a terminal, moves its cursor or rings its bell: these words are printed again, and stored."""
_AROUND = ("inside quotes", "behind a backslash")
_WITH_VALUE = {"-o", "-O", "-W", "-X"}
"""Options of theirs that take the next word."""


def arguments(template: str, values: Mapping[str, str], shell: bool) -> list[str]:
    """Return the program and its arguments for one call.

    A template is split into words before its ``{name}``s are filled in, so no file name can add a word. A shell gets
    paths as positional parameters, ``"$1"`` and so on, which it does not read as code: the template is one text for
    all images. Braces around any other name stay as they are.

    Args:
        template: One that :func:`check_template` lets pass.
        values: What each placeholder stands for.
        shell: Whether ``/bin/sh`` reads the template.
    """
    pattern = re.compile(r"\{(" + "|".join(map(re.escape, values)) + r")\}")
    if not shell:
        return [pattern.sub(lambda m: values[m[1]], word) for word in split_words(template)]
    used = [name for name in PATHS if name in values and "{" + name + "}" in template]
    # Variables, since $1 is another one in a function, and after `set`.
    taken = " ".join(f"isrbench_{name}=${place}" for place, name in enumerate(used, 1))
    text = pattern.sub(lambda m: f'"$isrbench_{m[1]}"' if m[1] in used else values[m[1]], template)
    return ["/bin/sh", "-c", f"{taken}; {text}", "sh", *(values[name] for name in used)]


def check_template(template: str, shell: bool) -> None:
    """Refuse a template in which a path would be read as code: an image may be called ``$(touch x)``.

    Raises:
        UserError: If a path's placeholder stands inside quotes, behind a backslash or in a here-document that a shell
            reads; behind ``eval``; or in the code that another shell or an interpreter gets (``sh -c "..."``).
    """
    word = _in_code(split_words(template))
    if word is not None:
        raise UserError(
            f"option 'command': {word[0]} would read the file name in '{word[1]}' as code",
            "put the code into a file that takes the paths as arguments (of a shell's: or -o shell=true, without -c)",
        )
    quoted = _quoted(template) if shell else None
    if quoted:
        name, where = quoted
        plain = f'write {{{name}}} alone: it is one word whatever the file is called (or x={{{name}}}; and "$x" there)'
        raise UserError(
            f"option 'command': {{{name}}} stands {where}, where a file name could run as code: {template}",
            plain if where in _AROUND else "put this part into a script that takes the paths as arguments",
        )


def _in_code(words: list[str]) -> tuple[str, str] | None:
    """Return (interpreter with its option, word) of the first word with a path that would be read as code."""
    reader, option = "", ""
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        name = Path(word).name
        if reader and re.fullmatch(option, word):
            if _PATH.search(after):
                return f"{reader} {word}", after
        elif not (word.startswith("-") or before in _WITH_VALUE or reader == "su"):
            option = next((option for names, option in _READERS.items() if re.fullmatch(names, name)), "")
            reader = name if option else ""
    return None


def _quoted(template: str) -> tuple[str, str] | None:
    """Return (name, where it stands) of the first path's placeholder that a shell would not read as a word."""
    quote, place, evaluated, document = "", 0, False, False
    while place < len(template):
        char, found = template[place], _PATH.match(template, place)
        if found:
            if quote or evaluated or document:
                return found[1], _AROUND[0] if quote else "behind eval" if evaluated else "in a here-document"
            place = found.end()
            continue
        if char == "\\" and quote != "'":
            escaped = _PATH.match(template, place + 1)
            if escaped:
                return escaped[1], _AROUND[1]
            place += 2
            continue
        if char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        elif not quote:
            document = document or template.startswith("<<", place)
            evaluated = evaluated or re.match(r"eval\b", template[place:]) is not None
        place += 1
    return None


def split_words(template: str) -> list[str]:
    """Return the template's words as a shell would split them.

    Raises:
        UserError: If a quote is left open.
    """
    try:
        return shlex.split(template)
    except ValueError as error:
        raise UserError(f"option 'command' cannot be read: {error}: {template}", "close the quotes") from error


def call(argv: list[str], timeout: float) -> None:
    """Run a program to its end in the caller's folder and environment.

    When it has ended, takes too long or is interrupted, all that it started is ended too
    (:mod:`isrbench.harness.processes`).

    Raises:
        UserError: If it cannot be started, takes too long or exits with anything but 0; quotes the end of what it
            wrote to stderr (to stdout where stderr is empty).
    """
    shown = shlex.join(argv)
    # Files, not pipes: a grandchild that outlives the program could hold a pipe open for ever.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            code = processes.run(argv, stdout=out, stderr=err, timeout=timeout)
        except OSError as error:
            raise UserError(f"cannot start '{argv[0]}': {error.strerror}", "check the program's path") from error
        except subprocess.TimeoutExpired as error:
            raise UserError(
                f"the program did not end within {timeout:g} s: {shown}{_last_words(err, out)}",
                "allow more: -o timeout=SECONDS",
            ) from error
        if code != 0:
            how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
            raise UserError(f"the program {how}: {shown}{_last_words(err, out)}", "run it by hand to see more")


def _last_words(*streams: IO[bytes]) -> str:
    """Return the end of the first stream that is not empty, on lines of its own."""
    for stream in streams:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _TAIL_BYTES))
        text = _CONTROL.sub("", stream.read().decode(errors="replace"))
        # A progress bar writes over its line again and again, and ends it with spaces.
        lines = [line.rstrip() for line in text.splitlines() if line.strip()]
        if lines:
            return "\n" + "\n".join(f"  | {line}" for line in lines[-15:])
    return ""
