"""The orders of one list that views look at by now, each kept up to date."""

from toolkit.board.windows import Order, Pool, Query, Unranked

ORDERS = 8
"""Orders that are kept up to date: of each view its own, and of one that goes to and fro the last few."""


class Orders:
    """By what they are looked for, the one that was asked for last at the end."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._orders: dict[Query, Order] = {}

    def __len__(self) -> int:
        return len(self._orders)

    def of(self, query: Query) -> Order:
        """The one of a query, made if it isn't there."""
        order = self._orders.pop(query, None) or Order(self._pool, query)
        self._orders[query] = order
        while len(self._orders) > ORDERS:
            del self._orders[next(iter(self._orders))]
        return order

    def touch(self, place: int) -> None:
        """This line is another one: each order follows, or is made anew when it is asked for."""
        for query, order in list(self._orders.items()):
            try:
                order.touch(place)
            except Unranked:
                del self._orders[query]
