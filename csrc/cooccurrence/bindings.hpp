// The stem's bindings are in two files: reading and counting; PMI and vectors.
#pragma once

#include "core/python.hpp"

namespace kxfast::cooccurrence {

void bind_counting(py::module_& m);

}  // namespace kxfast::cooccurrence
