"""LoRA + MoE, the paper's second baseline: whole LoRAs as experts, routed by degradation."""
