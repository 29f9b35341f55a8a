"""The judgement: two sides in, one plan out; pure.

In order: `identity` (what each room is), `nesting` (Spaces in Spaces), `owners` (whose Space), `chat_ids` (which
chat), `owner_groups` (what stops what), `drift` (what the rows lack), `plan` (units out of all that). Beside
them `row_index`, `other_rows`, `no_chats`, `leftover_rows`, `unread_rooms`, and `one_room` for a single call.
"""
