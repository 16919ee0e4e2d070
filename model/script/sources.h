// The model written once more, in TorchScript: one text per module, each in the file of that module's name,
// with the methods that exports offer. A text mirrors the C++ beside it line by line; what differs between
// models are the values of `config` (script_module.cpp), whose branches the compiler takes or drops.
//
// Letters as in config.h. `lengths` [B] are tokens of a sequence, keys behind them are padding. A layer's
// cache is a list: keys and values of the tokens so far [B, H, room, d], then those of the memory.
#pragma once

#include <string>

namespace giantrabbit::model::script {

// Functions by what they are made of; the other texts call them. Both define the same names.
extern const char* const custom_operators;  // the operators of ops/
extern const char* const plain_operators;   // LibTorch's own operators only

extern const char* const functions;  // what several modules use

extern const char* const chain_of_thought;
extern const char* const cross_attention;
extern const char* const decoder_layer;
extern const char* const deep_projection;
extern const char* const embedding;
extern const char* const encoder_layer;
extern const char* const feed_forward;
extern const char* const giant_rabbit;
extern const char* const norm;
extern const char* const output_head;
extern const char* const self_attention;
extern const char* const shared_attention;
extern const char* const signpost;
extern const char* const thought_step;
// Lists of modules cannot be looped over: one line per layer.
std::string decoder(int64_t layers);
std::string encoder(int64_t layers);

}  // namespace giantrabbit::model::script
