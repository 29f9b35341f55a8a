"""The bot's rows on disk.

In order: `store` (the contract, and the two that keep it), `connection`, `transaction`; `rows` (the seam: where the
rows stand), with `key_value` and `sql` for the one table, and `mapped`, `virtual_rows`, `mapped_sql` for a bot's own
tables; `admission`, `foreign_table`, `mapped_admission` (which tables are refused), `look` (all rows at one moment),
`backup`, `files`, `chat_manager`.
"""
