"""Words for people: `advice` (what next), `summary` (how much of what), `visible` (hostile text), `html`."""
