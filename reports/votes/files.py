"""Files of votes, as the page of :mod:`isrbench.reports.votes.page` hands them out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isrbench.harness.documents import read_json
from isrbench.harness.errors import UserError, foreign

FORMAT = "isrbench-votes/1"
_FIX = "give the files that the page's “Download votes” wrote, or the folder that they lie in"
_CHOICES = {"first": 1.0, "tie": 0.5, "second": 0.0}


@dataclass(frozen=True)
class Vote:
    """One answer: which of two restorations of one image somebody prefers."""

    voter: str
    first: str
    second: str
    """Tokens of what was shown: see :func:`token`."""
    won: float
    """How far the first won: 1, 0.5 for no difference, or 0."""


def token(identity: str, image: str) -> str:
    """Return what the page calls one restoration: it does not tell the method to whoever has not the runs."""
    return hashlib.sha256(f"isrbench-vote\n{identity}\n{image}".encode()).hexdigest()[:16]


def read_votes(paths: Sequence[str | Path]) -> list[Vote]:
    """Read files of votes, or all ``.json`` files of folders.

    Where a voter answered one question twice, as in two downloads of one session, the later answer counts.

    Raises:
        UserError: If there is no such file, a folder holds none, or one is not as the page writes them.
    """
    answers: dict[tuple[str, frozenset[str]], tuple[str, Vote]] = {}
    for file in _files(paths):
        for time, vote in _read(file):
            key = (vote.voter, frozenset((vote.first, vote.second)))
            if key not in answers or answers[key][0] <= time:
                answers[key] = (time, vote)
    return [vote for _, vote in answers.values()]


def _files(paths: Sequence[str | Path]) -> list[Path]:
    files: list[Path] = []
    for path in map(Path, paths):
        with foreign(f"{path} cannot be read", _FIX):
            if not path.is_dir():
                files.append(path)
                continue
            found = sorted(file for file in path.iterdir() if file.suffix == ".json" and file.is_file())
        if not found:
            raise UserError(f"the folder {path} holds no file of votes (.json)", _FIX)
        files += found
    return files


def _read(file: Path) -> Iterator[tuple[str, Vote]]:
    content = read_json(file, _FIX, "the file of votes")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{file} is not a file of votes: its format is not {FORMAT}", _FIX)
    voter, votes = content.get("voter"), content.get("votes")
    if not isinstance(voter, str) or not isinstance(votes, list):
        raise UserError(f"{file} is not as the page writes it: it lacks voter or votes", _FIX)
    for place, vote in enumerate(votes):
        yield _vote(file, place, voter, vote)


def _vote(file: Path, place: int, voter: str, vote: Any) -> tuple[str, Vote]:
    shown = vote.get("shown") if isinstance(vote, dict) else None
    if not isinstance(shown, list) or len(shown) != 2 or not all(isinstance(name, str) for name in shown):
        raise UserError(f"{file}: vote {place + 1} does not say which two were shown", _FIX)
    if shown[0] == shown[1] or not isinstance(vote.get("choice"), str) or vote["choice"] not in _CHOICES:
        raise UserError(f"{file}: vote {place + 1} is no choice of two: first, second or tie", _FIX)
    return str(vote.get("time", "")), Vote(voter, shown[0], shown[1], _CHOICES[vote["choice"]])
