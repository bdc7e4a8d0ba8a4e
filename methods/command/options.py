"""Options of the ``command`` method. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field

from isrbench.harness.errors import UserError

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
    timeout: float = field(default=600.0, metadata={"help": "seconds that one call may take", "result": False})
    shell: bool = field(default=False, metadata={"help": "hand the command to /bin/sh, for pipes and &&"})

    def __post_init__(self) -> None:
        single, folder = self._has("input", "output"), self._has("input_dir", "output_dir")
        if single == folder:
            fault = "mixes files and folders" if single else "names no input and output"
            raise UserError(f"option 'command' {fault}: {self.command}", f"for example {_EXAMPLE}")
        if folder and self._has("seed"):
            raise UserError(
                "option 'command' has {seed}, but in a folder each image has its own", "use {input} and {output}"
            )
        if self.timeout <= 0:
            raise UserError(f"option 'timeout' is {self.timeout:g}, but has to be above 0", "write -o timeout=600")

    def _has(self, *names: str) -> bool:
        return all("{" + name + "}" in self.command for name in names)

    @property
    def by_folder(self) -> bool:
        """Whether one call restores all images."""
        return self._has("input_dir", "output_dir")
