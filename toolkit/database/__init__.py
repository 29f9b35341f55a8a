"""The bot's rows on disk.

In order: `store` (the contract, and the two that keep it), `connection`, `sql`, `transaction`; `admission` and
`foreign_table` (which tables are refused), `look` (all rows at one moment), `backup`, `files`, `chat_manager`.
"""
