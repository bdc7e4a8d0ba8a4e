"""PiSA-SR: two LoRAs, one for pixels and one for semantics, at the cost of one step."""
