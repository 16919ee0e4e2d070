// The stages of exact sparse attention for one instruction set: GR_CAPABILITY names the namespace, the
// compiler's flags set vector width and products. Contracts: functions.h.
#include "ops/cpu/exact/functions.h"

#include "ops/cpu/exact/filter.h"
#include "ops/cpu/exact/gradients.h"
#include "ops/cpu/exact/output.h"
#include "ops/cpu/exact/quantise.h"
#include "ops/cpu/exact/refine.h"
#include "ops/cpu/exact/seed.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {

const exact::Functions exact_functions = {
    kCoordinatesPerStep, kStepMultiple, quantise_keys, quantise_queries, seed,         filter,
    count_marked,        refine,        output,        row_gradients,    key_gradients};

}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
