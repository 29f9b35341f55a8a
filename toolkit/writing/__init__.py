"""The only writer.

In order: `job` (what to write, and what came of it), `apply` (on a store with transactions), `plain_store` (on
any other), `staleness` (what the bot wrote meanwhile), `read_back` (what a database didn't take), `chat_rows` (the
bot's own manager), `turns` (who may write now), `undo`, `report`.
"""
