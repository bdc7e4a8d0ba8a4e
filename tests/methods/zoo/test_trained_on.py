"""Metrics that a model card says its network was trained on."""

from __future__ import annotations

import pytest

from isrbench.harness.errors import UserError
from isrbench.methods.zoo.card import CARDS, read_card
from isrbench.methods.zoo.plugins import plugin_of

TEXT = (CARDS / "realesrgan-general-x4v3.toml").read_text(encoding="utf-8")


def test_a_card_names_metrics_that_it_was_trained_on(tmp_path):
    card = tmp_path / "mine.toml"
    card.write_text(f'trained_on_metrics = ["lpips", "musiq"]\n{TEXT}', encoding="utf-8")
    assert plugin_of(read_card(card)).info.trained_on_metrics == ("lpips", "musiq")
    card.write_text(TEXT, encoding="utf-8")
    assert plugin_of(read_card(card)).info.trained_on_metrics == ()


@pytest.mark.parametrize("value", ['"lpips"', "[1]"])
def test_anything_but_a_list_of_ids_is_refused(tmp_path, value):
    card = tmp_path / "mine.toml"
    card.write_text(f"trained_on_metrics = {value}\n{TEXT}", encoding="utf-8")
    with pytest.raises(UserError, match="trained_on_metrics"):
        read_card(card)
