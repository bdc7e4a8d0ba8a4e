"""Options of the ``command`` method. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from isrbench.harness.errors import UserError
from isrbench.harness.files import is_there
from isrbench.methods.command.process import check_template

_EXAMPLE = "-o 'command=python upscale.py {input} {output} --scale {scale}'"


@dataclass(frozen=True)
class CommandOptions:
    """The program and how to call it."""

    command: str = field(
        metadata={
            "help": "program and arguments with {input} and {output} (PNG files, one image a call) or {input_dir} and "
            "{output_dir} (folders, all images in one call); {scale} and, for one image a call, {seed} as well"
        }
    )
    timeout: float = field(
        default=600.0,
        metadata={"help": "seconds that an image may take; a call for N images has N times as many", "result": False},
    )
    shell: bool = field(default=False, metadata={"help": "hand the command to /bin/sh, for pipes and &&"})
    depends: str = field(
        default="",
        # Not part of the options' key: the content is part of weights_hash, whatever the path is called.
        metadata={
            "help": "files and folders, separated by commas, that the program reads besides what the command names; "
            "isrbench cannot see them, and restores again only if the content of one it knows has changed",
            "result": False,
        },
    )

    def __post_init__(self) -> None:
        single, folder = self._has("input", "output"), self._has("input_dir", "output_dir")
        if single == folder:
            fault = "mixes files and folders" if single else "names no input and output"
            raise UserError(f"option 'command' {fault}: {self.command}", f"for example {_EXAMPLE}")
        if folder and self._has("seed"):
            raise UserError(
                "option 'command' has {seed}, but one call restores a folder of images with a seed each",
                "use {input} and {output}",
            )
        check_template(self.command, self.shell)
        if self.timeout <= 0:
            raise UserError(f"option 'timeout' is {self.timeout:g}, but has to be above 0", "write -o timeout=600")
        missing = next((path for path in self.depends_on if not is_there(path)), None)
        if missing is not None:
            raise UserError(f"option 'depends': {missing} does not exist", "correct -o depends=FILE,DIR")

    @property
    def depends_on(self) -> tuple[Path, ...]:
        """Return the files and folders of ``depends``."""
        return tuple(Path(name.strip()).expanduser() for name in self.depends.split(",") if name.strip())

    def _has(self, *names: str) -> bool:
        return all("{" + name + "}" in self.command for name in names)

    @property
    def by_folder(self) -> bool:
        """Return whether one call restores all images."""
        return self._has("input_dir", "output_dir")
