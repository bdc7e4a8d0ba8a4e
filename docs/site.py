"""Pages of the documentation site that nobody writes: the README's, the commands', the plugins' and the Python API's.

mkdocs calls the functions named ``on_...`` while it builds the site (``hooks`` in mkdocs.yml).
"""

from __future__ import annotations

import html
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
ROOT_PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages that lie outside docs/, where people look for them in a repository, and their names on the site."""
_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):<code>~?([^<]+)</code>")
_API = {
    "reference/python.md": ("From Python", "What `import isrbench` gives; [examples](../python.md).", ["isrbench"]),
    "reference/plugins.md": (
        "What plugins see",
        "The contracts of methods, metrics and datasets, and the readers for files of others. "
        "[Contributing](../contributing.md#add-a-method-in-five-steps) says how to write one.",
        [f"isrbench.harness.api.{name}" for name in ("method", "metric", "dataset", "tensor_files", "checkpoints")]
        + ["isrbench.harness.errors"],
    ),
}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made, and those that lie outside docs/."""
    for source, name in ROOT_PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    made = {"reference/commands.md": _commands(), **{f"reference/{kind}s.md": _plugins(kind) for kind in _TITLES}}
    made |= {name: _api(*page) for name, page in _API.items()}
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, files: Files, **_: Any) -> str:
    """Turn links that lead through the repository into links of the site; those to code become their text."""
    source = {name: path for path, name in ROOT_PAGES.items()}.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    here = posixpath.dirname(page.file.src_uri)

    def moved(match: re.Match[str]) -> str:
        start, link, end = match.groups()
        if "://" in link or link.startswith("mailto:"):
            return match[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
        name = ROOT_PAGES.get(target) or target.removeprefix("docs/")
        if files.get_file_from_path(name) is None and (ROOT / target).exists():
            return f"{start}#{end[-1]}"  # a file of the repository that is no page
        return f"{start}{posixpath.relpath(name, here or '.')}{end}"

    return markdown if page.file.src_uri.startswith("reference/") else _LINK.sub(moved, markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Show the roles of docstrings, such as :class:`UserError`, as code."""
    return _ROLE.sub(r"<code>\1</code>", content)


def _commands() -> str:
    """Return a page of all commands, as ``--help`` has them."""
    from typer.main import get_command

    from isrbench.harness.cli.main import app

    lines = ["# Commands", "", "What `isrbench COMMAND --help` prints.", ""]
    lines += _command(get_command(app), "isrbench")
    return "\n".join(lines)


def _command(command: Any, name: str) -> list[str]:
    lines = []
    for sub in getattr(command, "commands", {}).values():
        if not sub.hidden:
            lines += _command(sub, f"{name} {sub.name}")
    if lines:  # a group: its help stands above those of its commands
        return lines if name == "isrbench" else [f"## {name}", "", *_paragraphs(command.help), *lines]
    lines = [f"{'##' if name.count(' ') == 1 else '###'} {name}", "", *_paragraphs(command.help)]
    rows = [(_names(p), _text(getattr(p, "help", ""))) for p in command.params if not getattr(p, "hidden", False)]
    return lines + _table(("option", "what it does"), [row for row in rows if "--help" not in row[0]])


def _names(parameter: Any) -> str:
    names = parameter.opts + parameter.secondary_opts
    if parameter.param_type_name == "argument":
        names = [parameter.metavar or parameter.name.upper()]
    return ", ".join(f"`{name}`" for name in names)


_TITLES = {"method": "Methods", "metric": "Metrics", "dataset": "Datasets"}


def _plugins(kind: str) -> str:
    """Return a page of all plugins of a kind, as ``isrbench describe`` has them."""
    from isrbench.harness.engine.listing import description, listing

    columns, rows = listing(f"{kind}s", Path())
    lines = [f"# {_TITLES[kind]}", "", f"What `isrbench list {kind}s` and `isrbench describe {kind} ID` print.", ""]
    hidden = {"default", "weights", "images"}  # what lies on the machine that builds the site
    shown = [at for at, column in enumerate(columns) if column not in hidden]
    linked = [[f"[{row[0]}](#{row[0]})", *(str(row[at]) for at in shown[1:])] for row in rows]
    lines += _table([columns[at] for at in shown], linked)
    for id, *_ in rows:
        facts, options = description(kind, id)
        lines += ["", f"## {id} {{ #{id} }}", ""]
        lines += _table(("", ""), [(key, _text(str(value))) for key, value in facts.items() if _is_of_the_plugin(key)])
        if options:
            lines += ["", *_table(list(options[0]), [[_text(str(v or "")) for v in o.values()] for o in options])]
    return "\n".join(lines)


def _is_of_the_plugin(key: str) -> bool:
    return key not in {"id", "root", "found", "content_hash_here", "state", "weights"}


def _api(title: str, about: str, modules: list[str]) -> str:
    return "\n\n".join([f"# {title}", about, *(f"::: {module}" for module in modules)])


def _table(head: Any, rows: Any) -> list[str]:
    if not rows:
        return []
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    return lines + [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows] + [""]


def _paragraphs(said: str | None) -> list[str]:
    return [line for paragraph in (said or "").split("\n\n") for line in (_text(paragraph), "")]


def _text(said: str | None) -> str:
    """Return a text of a plugin or command for a cell: one line, and nothing in it is HTML."""
    return html.escape(" ".join((said or "").split()), quote=False)
