"""Files of votes: what is read, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isrbench.harness.errors import UserError
from isrbench.reports.votes.files import FORMAT, read_votes


def written(path: Path, *votes: tuple[str, str, str, str], voter: str = "v") -> Path:
    answers = [{"shown": [a, b], "choice": choice, "time": time} for a, b, choice, time in votes]
    path.write_text(json.dumps({"format": FORMAT, "dataset": "x", "ballot": "y", "voter": voter, "votes": answers}))
    return path


def test_a_folder_of_downloads_counts_each_answer_once_and_the_later_one(tmp_path):
    written(tmp_path / "1.json", ("a", "b", "first", "2026-01-01"), ("a", "c", "tie", "2026-01-01"))
    written(tmp_path / "2.json", ("b", "a", "first", "2026-01-02"))
    written(tmp_path / "3.json", ("a", "b", "first", "2026-01-01"), voter="w")
    votes = sorted((v.voter, v.first, v.second, v.won) for v in read_votes([tmp_path]))
    assert votes == [("v", "a", "c", 0.5), ("v", "b", "a", 1.0), ("w", "a", "b", 1.0)]
    assert len(read_votes([tmp_path / "1.json", str(tmp_path / "3.json")])) == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[1]", "is not a file of votes"),
        ('{"format": "other/1"}', "is not a file of votes"),
        (json.dumps({"format": FORMAT, "votes": []}), "lacks voter or votes"),
        (json.dumps({"format": FORMAT, "voter": "v", "votes": [3]}), "vote 1 does not say which two"),
        (json.dumps({"format": FORMAT, "voter": "v", "votes": [{"shown": ["a", "a"], "choice": "tie"}]}), "no choice"),
        (json.dumps({"format": FORMAT, "voter": "v", "votes": [{"shown": ["a", "b"], "choice": []}]}), "no choice"),
        ("{", "is not valid JSON"),
    ],
)
def test_what_is_no_file_of_votes_is_refused_in_one_line(tmp_path, content, said):
    file = tmp_path / "votes.json"
    file.write_text(content)
    with pytest.raises(UserError, match=said):
        read_votes([file])


def test_a_folder_without_votes_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no file of votes"):
        read_votes([tmp_path])
    with pytest.raises(UserError, match="does not exist"):
        read_votes([tmp_path / "none.json"])
