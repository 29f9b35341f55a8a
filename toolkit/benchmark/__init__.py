"""What the toolkit costs: `python -m toolkit.benchmark`, beside the least that the same work could cost."""
