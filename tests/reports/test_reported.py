"""What papers report: values of one metric only in a column."""

from isrbench.harness.api.registry import metrics
from isrbench.reports.reported import reported_ablation, reported_rows


def test_two_kinds_of_maniqa_share_no_column():
    for dataset in ("RealSR", "DRealSR", "DIV2K-val"):
        rows = reported_rows(dataset)
        of_mor = rows["source"].str.startswith("MoR paper")
        assert of_mor.any() and rows.loc[of_mor, "maniqa-pipal"].isna().all()
        assert rows.loc[~of_mor, "maniqa-pipal"].notna().all()
    assert "maniqa-pipal" not in set(reported_ablation()["metric"])


def test_the_columns_of_reported_rows_are_metrics():
    columns = set(reported_rows("RealSR").columns) - {"method", "steps", "source"}
    assert columns == {id for id in columns if id in metrics()}
