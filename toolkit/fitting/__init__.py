"""A mapping proposed for a database that none describes yet, from what stands in it and in the bot's rooms. Pure.

In order: `reach` (what is read of the rooms), `columns` (which may link an id to a room), `texts` (patterns of names
and aliases), `clues` (what tells the ids), `makers` (whose rooms count), `proposal` (all of it as a mapping, the best
first), `chats` (a key-value table of the toolkit's own shape), `trial` (what the real planner says of a proposal),
`toml` and `page` (the file, with why).

Everything here guesses, and says what it rests on; a proposal goes through the same checks as what a person wrote.
"""
