"""MoR-SR: a mixture of ranks with degradation-aware routing (He et al., AAAI 2026, arXiv 2511.16024)."""
