"""The page about all sets: ``leaderboard.html`` beside the report's page, which links to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isrbench.reports.compared_set import ComparedSet
from isrbench.reports.html.data import script_json
from isrbench.reports.html.page import environment
from isrbench.reports.leaderboard import ALL, Board, has_leaderboard, leaderboards
from isrbench.reports.statistics import DRAWS

PAGE = "leaderboard.html"
_HERE = Path(__file__).parent


def write_leaderboard(sets: Sequence[ComparedSet], folder: Path) -> list[Path]:
    """Write the page into ``folder``; nothing where no two methods were run on one set.

    Returns:
        What was written.
    """
    if not has_leaderboard(sets):
        return []
    boards = leaderboards(sets)
    scopes = dict.fromkeys(board.scope for board in boards)
    page = environment().get_template(PAGE).render(
        scopes=[(scope, "All sets" if scope == ALL else scope) for scope in scopes],
        groups=list(dict.fromkeys((board.group, board.title) for board in boards)),
        draws=DRAWS,
        data=script_json([_data(board) for board in boards]),
        css="\n".join((_HERE / name).read_text(encoding="utf-8") for name in ("report.css", "leaderboard.css")),
        js=(_HERE / "leaderboard.js").read_text(encoding="utf-8"),
    )  # fmt: skip
    path = folder / PAGE
    path.write_text(page, encoding="utf-8")
    return [path]


def _data(board: Board) -> dict[str, Any]:
    return {
        "scope": board.scope, "group": board.group, "columns": board.columns, "metrics": board.metrics,
        "leftOut": board.left_out,
        "rows": [
            {
                "method": own.method, "rank": own.rank, "low": own.low, "high": own.high, "reason": own.reason,
                "places": [[place.text, place.value, place.rank] for place in own.places],
            }
            for own in board.standings
        ],
    }  # fmt: skip
