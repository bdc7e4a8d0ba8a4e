"""The core of isrbench: contracts, cards, metrics, severity, runner, store and CLI. Knows no method by name."""
