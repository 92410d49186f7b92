add_compile_options(-Wall -Wextra -Wshadow -Wpedantic)
option(KXFAST_WERROR "treat warnings as errors" OFF)
if(KXFAST_WERROR)
  add_compile_options(-Werror)
endif()

set(KXFAST_SANITIZE "" CACHE STRING "sanitizers to build with, such as address,undefined")
set(KXFAST_OPTIMIZE -O3)
if(KXFAST_SANITIZE)
  set(KXFAST_OPTIMIZE -O1) # compiles in half the time, and reports are easier to read
  add_compile_options(-fsanitize=${KXFAST_SANITIZE} -fno-omit-frame-pointer -g)
  add_link_options(-fsanitize=${KXFAST_SANITIZE})
endif()
