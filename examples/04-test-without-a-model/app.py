"""A small application: it sorts support letters with a model."""

import json

from openai import OpenAI


def label(client: OpenAI, letter: str) -> str:
    """What a letter is about."""
    answer = client.chat.completions.create(
        model="judge", messages=[{"role": "user", "content": f"Answer with JSON. What is this about? {letter}"}]
    )
    return str(json.loads(answer.choices[0].message.content or "{}")["label"])
