"""What the reports need to be imported."""

from __future__ import annotations

import subprocess
import sys


def test_reports_import_no_torch():
    modules = ", ".join(f"isrbench.reports.{m}" for m in ("report", "comparison", "hub_card", "entry_points"))
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "False", done.stderr
