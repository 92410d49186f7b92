add_compile_options(-Wall -Wextra -Wshadow -Wpedantic)
option(KXFAST_WERROR "treat warnings as errors" OFF)
if(KXFAST_WERROR)
  add_compile_options(-Werror)
endif()

set(KXFAST_SANITIZE "" CACHE STRING "sanitizers to build with, such as address,undefined")
set(KXFAST_SANITIZED_ISAS "avx512;avx512_bf16" CACHE STRING "instruction sets whose kernels are sanitized")
set(KXFAST_OPTIMIZE -O3 CACHE STRING "optimisation of the native module")
set(KXFAST_SANITIZERS "")
if(KXFAST_SANITIZE)
  # -O1 compiles in half the time, and reports are easier to read; -g1 and no checks of null, which the address
  # sanitizer has too, in two thirds of that. GCC 12 warns of optionals that it cannot see through.
  set(KXFAST_SANITIZERS -fsanitize=${KXFAST_SANITIZE} -fno-omit-frame-pointer -g1 -O1 -Wno-maybe-uninitialized)
  if(KXFAST_SANITIZE MATCHES "undefined")
    list(APPEND KXFAST_SANITIZERS -fno-sanitize=null,vptr)
  endif()
  add_link_options(-fsanitize=${KXFAST_SANITIZE})
endif()
