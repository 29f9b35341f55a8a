"""One set of tests for both transports: what uses `transport` is run with each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients import TRANSPORTS, chosen


@pytest.fixture(scope="module", params=list(TRANSPORTS))
def transport(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of the transport that `any_client` then gives."""
    chosen.append(request.param)
    yield request.param
    chosen.pop()
