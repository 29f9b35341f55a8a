"""The bot's rows on disk.

In order: `contract` (what a store is; nothing above asks for more), `address` and `opening` (a store from what names
it); `connected` (what stores on a connection do alike), `store` (SQLite's, and one in memory), `connection`,
`transaction`, `joining`; `rows` (the seam: where the rows stand), with `key_value` and `sql` for the one table, and
`mapped`, `virtual_rows`, `dialect`, `mapped_sql` for a bot's own tables; `admission`, `foreign_table`,
`mapped_admission` (which tables are refused), `look` (all rows at one moment); `journal` (what was written); what
lies beside a database file: `backup`, `restore`, `journal_file`, `lock`, `identity`, `files`; `chat_manager`. The same
on a server is in `postgres`.
"""
