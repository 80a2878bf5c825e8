"""Any OpenAI client works: give it Hanok's URL and a key."""

import os
from pathlib import Path

from openai import OpenAI

key = Path(".hanok/local.key").read_text().strip()
client = OpenAI(base_url=f"http://127.0.0.1:{os.environ.get('PORT', '4242')}/v1", api_key=key)

answer = client.chat.completions.create(
    model="local", messages=[{"role": "user", "content": "What is the capital of France?"}], temperature=0
)
print("answer:", answer.choices[0].message.content)

vectors = client.embeddings.create(model="embed", input=["The cat sleeps.", "고양이가 잔다."])
print("dimensions:", len(vectors.data[0].embedding))
