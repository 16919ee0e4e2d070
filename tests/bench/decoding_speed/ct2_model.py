"""A CTranslate2 model with random weights and the shapes of decoding_bench.cpp: width 128, 4 heads, 2 encoder and 3
decoder layers, feed-forward 512, 180 words, sinusoidal positions, output tied to the word vectors. In: an empty
folder. It has no squared ReLU; plain ReLU, which costs less, stands in for it. No biases, as in ours, but for
those of layer norms."""

import ctranslate2
import numpy

WIDTH, HEADS, HIDDEN, WORDS = 128, 4, 512, 180
SPECIAL = ["<unk>", "<s>", "</s>"]
VOCABULARY = SPECIAL + [f"w{i}" for i in range(WORDS - len(SPECIAL))]


def write(folder):
    random = numpy.random.default_rng(1)

    def matrix(linear, rows, columns=WIDTH):
        linear.weight = random.normal(0, columns**-0.5, (rows, columns)).astype(numpy.float32)

    def norm(spec):
        spec.gamma = numpy.ones(WIDTH, numpy.float32)
        spec.beta = numpy.zeros(WIDTH, numpy.float32)

    def attention(spec, rows):
        norm(spec.layer_norm)
        for linear, count in zip(spec.linear, rows):
            matrix(linear, count)

    specs = ctranslate2.specs
    spec = specs.TransformerSpec.from_config((2, 3), HEADS, pre_norm=True, activation=specs.Activation.RELU)
    for part in (spec.encoder, spec.decoder):
        part.scale_embeddings = True
        norm(part.layer_norm)
        for layer in part.layer:
            attention(layer.self_attention, (3 * WIDTH, WIDTH))
            norm(layer.ffn.layer_norm)
            matrix(layer.ffn.linear_0, HIDDEN)
            matrix(layer.ffn.linear_1, WIDTH, HIDDEN)
    for layer in spec.decoder.layer:
        attention(layer.attention, (WIDTH, 2 * WIDTH, WIDTH))
    matrix(spec.encoder.embeddings[0], WORDS)
    matrix(spec.decoder.embeddings, WORDS)
    spec.decoder.projection.weight = spec.decoder.embeddings.weight
    spec.register_source_vocabulary(VOCABULARY)
    spec.register_target_vocabulary(VOCABULARY)
    spec.validate()
    spec.save(folder)
