"""A shadow run: any bot's own function on a copy of its rows and a client that only reads.

What the function would have written comes back as a plan of the same kind as ours. Nothing here knows
what the function does, or whether it is right; a person looks, and may apply single units.
"""

from toolkit.shadow.run import ShadowRun, shadow_run

__all__ = ["ShadowRun", "shadow_run"]
