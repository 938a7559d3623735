"""Messages with random fields."""

from __future__ import annotations

import math
import random

from google.protobuf.message import Message


def arbitrary(message: Message, chance: random.Random, depth: int = 0) -> Message:
    """Fill `message` with random fields."""
    for field in message.DESCRIPTOR.fields:
        repeated = field.default_value == []
        if chance.random() < 0.3 or (field.message_type and depth > 9):
            continue
        for _ in range(chance.randint(1, 2) if repeated else 1):
            if field.message_type:
                part = getattr(message, field.name)
                arbitrary(part.add() if repeated else part, chance, depth + 1)
                if not repeated:
                    part.SetInParent()
            elif repeated:
                getattr(message, field.name).append(scalar(field, chance))
            else:
                setattr(message, field.name, scalar(field, chance))
    return message


def scalar(field, chance: random.Random) -> object:
    if field.enum_type:
        return chance.choice(list(field.enum_type.values_by_number))
    low, high = {5: (-(2**31), 2**31), 17: (-(2**31), 2**31), 3: (-(2**63), 2**63), 16: (-(2**63), 2**63)}.get(
        field.type, (0, 2**32 if field.type in (7, 13) else 2**64)
    )
    return {
        "double": lambda: chance.choice([0.0, -1.5, 1e300, math.inf, chance.random()]),
        "bool": lambda: chance.random() < 0.5,
        "string": lambda: chance.choice(["", "plain", "ünï¢ødé \U0001f600", '"\\\n']),
        "bytes": lambda: chance.randbytes(chance.choice([0, 1, 8, 16])),
        "int": lambda: chance.choice([low, high - 1, 0, chance.randrange(low, high)]),
    }[{1: "double", 8: "bool", 9: "string", 12: "bytes"}.get(field.type, "int")]()
