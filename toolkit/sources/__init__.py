"""Where both sides come from: `settings`, `sides` (homeserver and database), `snapshot` (a file of both).

`anonymise` and `pseudonyms` make a snapshot that can be shown to others.
"""
