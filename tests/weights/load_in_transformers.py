"""Loads directories as transformers does, and writes what it says of them: run with the interpreter that has torch.

    python load_in_transformers.py DIRECTORY QUESTIONS.json OUTPUT.json

DIRECTORY holds directories of the REALM classes, as `realm convert` writes them. What it finds there: arrays that are
missing or unexpected; from `token_ids` and `segment_ids` embeddings of queries and documents, and logits at
`mask_positions`; with `openqa`, the answers to questions.
"""

import json
import pathlib
import sys

import torch
import transformers
from transformers.models.realm import modeling_realm
from transformers.models.realm.retrieval_realm import RealmRetriever


def load(path, arrays):
    (architecture,) = json.loads((path / 'config.json').read_text())['architectures']
    config = transformers.RealmConfig.from_pretrained(path)
    arguments = {}
    if architecture == 'RealmScorer':
        arguments['query_embedder'] = transformers.RealmEmbedder(config)
    if architecture == 'RealmForOpenQA' and (path / 'block_records.npy').exists():
        arguments['retriever'] = RealmRetriever.from_pretrained(path)
    model, info = getattr(modeling_realm, architecture).from_pretrained(path, output_loading_info=True, **arguments)
    arrays[path.name] = {key: sorted(info[key]) for key in ('missing_keys', 'unexpected_keys', 'mismatched_keys')}
    return model.eval()


def main(directory, inputs, output):
    inputs = json.loads(inputs.read_text())
    found = {'arrays': {}}
    models = {path.name: load(path, found['arrays']) for path in sorted(directory.iterdir())}
    query = torch.tensor(inputs['token_ids'])
    segments = torch.tensor(inputs['segment_ids'])
    attended = (query != 0).long()

    def embed(model, segment_ids):
        return model(query, attention_mask=attended, token_type_ids=segment_ids).projected_score.tolist()

    with torch.no_grad():
        if 'embedder' in models:
            found['queries'] = embed(models['embedder'], torch.zeros_like(segments))
            found['documents'] = embed(models['embedder'], segments)
        if 'scorer' in models:
            found['queries'] = embed(models['scorer'].query_embedder, torch.zeros_like(segments))
            found['documents'] = embed(models['scorer'].embedder, segments)
        if 'encoder' in models:
            encoder = models['encoder']
            logits = encoder.cls(encoder.realm(query, attention_mask=attended, token_type_ids=segments)[0])
            found['logits'] = logits[:, inputs['mask_position']].tolist()
        if 'openqa' in models:
            tokenizer = transformers.RealmTokenizer.from_pretrained(directory / 'openqa')
            found['answers'] = []
            for question in inputs['questions']:
                ids = tokenizer([question], return_tensors='pt').input_ids
                answer = models['openqa'](input_ids=ids, answer_ids=None)
                found['answers'].append(
                    {
                        'answer': tokenizer.decode(answer.predicted_answer_ids),
                        'block_id': int(answer.reader_output.block_idx),
                    }
                )
    output.write_text(json.dumps(found))


if __name__ == '__main__':
    main(*map(pathlib.Path, sys.argv[1:]))
