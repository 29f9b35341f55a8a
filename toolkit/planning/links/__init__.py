"""The judgement for bots of shape links: an id of the bot's own and a room; pure.

In order: `rows` (which links the rows say), `rooms` (which rooms count), `clues` (what else tells an id), `claims` (who
claims which), `contest` (who keeps it), `plan` (units out of all that), `leftovers` (rows that no unit accounts for).
Upgrades are followed as for chats, by `planning.lineage`.
"""
