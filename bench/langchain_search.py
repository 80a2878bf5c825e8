"""What langchain-milvus finds with its defaults; run by `retrieval.py` in an environment that has it.

    langchain_search.py WORK    reads WORK/texts.json (`names`, `documents`, `questions`) and WORK/vectors.npz of both,
                                writes WORK/orders.json: for each method the names found for each question

Vectors are those of the bench's embedder, looked up, so that embedding is the same for everyone.
"""

import json
import sys
from pathlib import Path

import numpy
from langchain_core.embeddings import Embeddings
from langchain_milvus import Milvus


class Known(Embeddings):
    def __init__(self, vectors):
        self.vectors = vectors

    def embed_documents(self, texts):
        return [self.vectors[text] for text in texts]

    def embed_query(self, text):
        return self.vectors[text]


def main(work: Path) -> None:
    told = json.loads((work / "texts.json").read_text("utf-8"))
    arrays = numpy.load(work / "vectors.npz")
    vectors = dict(zip(told["documents"], arrays["documents"].tolist(), strict=True))
    vectors |= dict(zip(told["questions"], arrays["questions"].tolist(), strict=True))
    store = Milvus.from_texts(
        told["documents"],
        Known(vectors),
        metadatas=[{"name": name} for name in told["names"]],
        connection_args={"uri": str(work / "langchain.db")},
    )
    methods = {
        "langchain": lambda text: store.similarity_search(text, k=10),
        "langchain_mmr": lambda text: store.max_marginal_relevance_search(text, k=10),
    }
    orders = {
        method: [[found.metadata["name"] for found in search(text)] for text in told["questions"]]
        for method, search in methods.items()
    }
    (work / "orders.json").write_text(json.dumps(orders), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
