"""A bot's rows on a PostgreSQL server, which several workers share; asked for by its DSN, imported by nobody else.

In order: `dsn` (which server, and what may be shown of that), `connection`, `table` and `key_value` (the
key-value table), `mapped` (tables of a bot's own), `admission` (what a table must be), `store`,
`survey` (what stands where no mapping says so).
"""
