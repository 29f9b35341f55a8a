"""A bot's rooms on a real Synapse, by real calls: a Space and up to five chats for each user."""

from typing import NamedTuple

from toolkit.benchmark.worlds import CHATS_EACH
from toolkit.testing.synapse import ApiUser, Synapse


class Guest(NamedTuple):
    """A user, whom the bot has invited into a Space and chats."""

    user: ApiUser
    space: str
    chats: list[str]


def make_rooms(synapse: Synapse, bot: ApiUser, chats: int) -> list[Guest]:
    """So many chats, with users that no other bot has."""
    name = bot.user_id[1:].partition(":")[0]
    return [
        _invite(bot, ApiUser(synapse.url, synapse.register(f"user{number}.{name}")))
        for number in range(chats // CHATS_EACH)
    ]


def _invite(bot: ApiUser, user: ApiUser) -> Guest:
    invited = [user.user_id]
    space = bot.create_room(creation_content={"type": "m.space"}, invite=invited)
    guest = Guest(user, space, [])
    for number in range(1, CHATS_EACH + 1):
        parent = {"type": "m.space.parent", "state_key": space, "content": LINK}
        room = bot.create_room(name=f"Чат {number}", invite=invited, initial_state=[parent])
        bot.put_state(space, "m.space.child", LINK, room)
        guest.chats.append(room)
    return guest


LINK: dict[str, object] = {"via": ["example.org"]}
