"""Reading a homeserver, and only reading it.

In order: `transport` (what carries a request), `server` (one account's requests), `retries` (how long it
is asked again), `unanswered` (why nothing came), `room_state` (raw state to a value), `sliding_sync`
(all rooms in few requests), `client_memory` (what a client object remembers), `reading` (what is fetched
for which call), `gathering` (the same, to be decoded elsewhere), `readonly` and `refused_calls` (what is
let through), `belonging` (rows and rooms of different accounts).
"""
