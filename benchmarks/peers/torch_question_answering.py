"""The question answering of `benchmarks.question_answering` with PyTorch: `RealmForOpenQA` of transformers 4.40.2.

python -m benchmarks.peers.torch_question_answering DIRECTORY ARITHMETIC QUESTIONS.json REPETITIONS FOUND.json

The arithmetic is `float32`, `autocast` to bfloat16 with weights in float32, or bfloat16 of the `weights`.
"""

import contextlib
import sys

import torch
import transformers

from benchmarks.answering_measure import measure


def main(directory: str, arithmetic: str, questions: str, repetitions: str, output: str) -> None:
    """Answers with a directory of Hugging Face, a question a call."""
    retriever = _Retriever.from_pretrained(directory)
    dtype = torch.bfloat16 if arithmetic == 'weights' else torch.float32
    model = transformers.RealmForOpenQA.from_pretrained(directory, retriever=retriever, torch_dtype=dtype).eval()
    # The embeddings of the blocks are loaded as float32 whatever is asked for.
    model = model.to(dtype)
    context = torch.autocast('cpu', torch.bfloat16) if arithmetic == 'autocast' else contextlib.nullcontext()
    tokenizer = retriever.tokenizer

    def answer(question: str) -> str:
        inputs = tokenizer([question], return_tensors='pt')
        with torch.inference_mode(), context:
            return tokenizer.decode(model(**inputs).predicted_answer_ids)

    def retrieve(question: str) -> list[int]:
        answer(question)
        return retriever.block_ids

    measure(questions, repetitions, output, answer, retrieve)


class _Retriever(transformers.RealmRetriever):
    """Remembers which blocks it fetched last."""

    def __call__(self, retrieved_block_ids, *arguments, **keywords):
        self.block_ids = retrieved_block_ids.tolist()
        return super().__call__(retrieved_block_ids, *arguments, **keywords)


if __name__ == '__main__':
    main(*sys.argv[1:])
