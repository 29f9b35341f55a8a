"""What a person agreed to: `decision` (a yes bound to a change), `ledger` (all of a session's), `free_chat_ids`."""
