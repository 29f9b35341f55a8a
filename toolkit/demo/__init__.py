"""A small bot's world that is broken in a dozen ways, made on a real Synapse or as recorded, and its lessons."""
