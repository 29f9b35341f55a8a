"""Runs in every Python that the tests start: leaves out what takes long to import and nothing here uses.

jsonschema, which Jupyter, nio and Synapse import, builds the grammars of RFC 3987 if it finds that package,
for more than a second.
"""

import sys

sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # an import of it fails
