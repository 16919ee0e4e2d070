// What every domain beside the exam is tested for, whatever its problems are: round trips, references that
// are judged right, one-word changes, cut outputs and garbage. In: a task and a second opinion on answers.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "data/example_source.h"
#include "data/problem.h"

namespace giantrabbit::data::domain_checks {

// Whether `answer` (between ANS and EOS) is right, computed without the family's code.
using Oracle = std::function<bool(const Words& prompt, const Words& answer)>;

// Generated problems: of their split, readable again as text, every word in the task's vocabulary, reference
// solutions valid in all formats, no problem of one split in another.
void expect_sound_generator(const std::string& task, int64_t count, const Oracle& oracle);
// Every word of some references replaced by a random one: what the judge calls right the oracle does too, and
// an output that is not the reference is chain_valid only when `may_differ` says so.
using MayDiffer = std::function<bool(const Words& prompt, const Words& output)>;
void expect_mutations_judged(const std::string& task, int64_t count, const Oracle& oracle,
                             const MayDiffer& may_differ);
// Random edits of right outputs never make judge() throw and leave consistent verdicts; returns how often
// each error class came out.
std::map<ErrorClass, int> judge_garbage(const std::string& task, int64_t rounds);
void expect_cut_outputs_truncated(const std::string& task);

}  // namespace giantrabbit::data::domain_checks
