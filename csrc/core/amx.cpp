#include "core/amx.hpp"

#include <stdexcept>

namespace kxfast::matrix {

void fault(const char* what) {
  throw std::logic_error(what);
}

}  // namespace kxfast::matrix
