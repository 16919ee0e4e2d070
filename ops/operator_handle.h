// Typed handle of one of this library's dispatcher operators. Public functions keep it in a function-local
// static, so the look-up by name happens once.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

namespace giantrabbit::ops {

template <class Signature>
c10::TypedOperatorHandle<Signature> find_operator(const char* name) {  // "giantrabbit::sparsemax"
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

}  // namespace giantrabbit::ops
