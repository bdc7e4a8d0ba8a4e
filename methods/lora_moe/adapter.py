"""Whole LoRAs as experts: a mixture of ranks whose expert is a block of ranks (paper's ablation).

    y = W0 x + scale * ( B_s (A_s x)  +  g_i B_i (A_i x) ),   i = the most probable of four experts

The routers read the same severity vector as MoR's. At rank 8 shared and 8 routed, an image has 16 ranks active in
every layer: the budget of the dense baseline at rank 16 and of MoR.
"""

from __future__ import annotations

from isrbench.methods.mor.adapter import attach
from isrbench.methods.mor.config import MoRConfig
from isrbench.methods.onestep.adapter import AdapterSpec

LORA_MOE = MoRConfig(
    shared=8, routed=4, expert_rank=8, zero_slots=0, top_k=1, gate_norm="all", balance="uniform", balance_alpha=0.01
)
"""One shared and four routed LoRAs of rank 8, top-1. Our choices: gate N p_i, which is 1 for a uniform router and
still carries gradient at k = 1 (where p_i / sum of the picked is always 1), and the conventional balance loss."""

SPEC = AdapterSpec("lora_moe", LORA_MOE, attach)
