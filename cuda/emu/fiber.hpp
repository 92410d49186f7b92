// Fibers: a stack each, and the switch between them. Everything runs on one thread of the system, so that a
// kernel's threads take turns in an order that is ours to choose.
//
// On x86-64 the switch is our own: it saves the registers that a call preserves, some 20 ns; elsewhere, or
// with KX_EMU_UCONTEXT, it is the C library's, some 240 ns, most of them two system calls.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <utility>

#if !defined(__x86_64__)
#define KX_EMU_UCONTEXT 1
#endif
#ifdef KX_EMU_UCONTEXT
#include <ucontext.h>
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace kx_emu {

// Memory of a stack above a page that must not be touched; frames are larger under a sanitizer.
class Stack {
 public:
#ifdef __SANITIZE_ADDRESS__
  static constexpr size_t kSize = 512 * 1024;
#else
  static constexpr size_t kSize = 128 * 1024;
#endif
  Stack() {
    void* const found =
        mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (found == MAP_FAILED) {
      std::perror("no memory for the stack of an emulated thread");
      std::abort();
    }
    base_ = static_cast<char*>(found);
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    mprotect(base_, page, PROT_NONE);
#ifdef __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(base_ + page, kSize - page);  // another stack may have been here
#endif
  }
  ~Stack() {
    if (base_) munmap(base_, kSize);
  }
  Stack(Stack&& other) noexcept : base_(std::exchange(other.base_, nullptr)) {}
  Stack& operator=(Stack&&) = delete;
  char* base() const { return base_; }

 private:
  char* base_ = nullptr;
};

#ifdef KX_EMU_UCONTEXT

class Context {
 public:
  void begin(const Stack& stack, void (*body)()) {
    getcontext(&state_);
    state_.uc_stack.ss_sp = stack.base();
    state_.uc_stack.ss_size = Stack::kSize;
    state_.uc_link = nullptr;
    makecontext(&state_, body, 0);
  }
  void switch_to(Context& other) { swapcontext(&state_, &other.state_); }

 private:
  ucontext_t state_;
};

#else

extern "C" __attribute__((visibility("hidden"))) void kx_emu_switch(void** save, void* to);
asm(R"(
.pushsection .text
.hidden kx_emu_switch
.globl kx_emu_switch
.type kx_emu_switch,@function
kx_emu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size kx_emu_switch,.-kx_emu_switch
.popsection
)");

class Context {
 public:
  void begin(const Stack& stack, void (*body)()) {
    void** top = reinterpret_cast<void**>(stack.base() + Stack::kSize);
    *--top = nullptr;  // where `body` would return to; it never does
    *--top = reinterpret_cast<void*>(body);
    for (int i = 0; i < 6; ++i) *--top = nullptr;  // the registers that a switch restores
    pointer_ = top;
  }
  void switch_to(Context& other) { kx_emu_switch(&pointer_, other.pointer_); }

 private:
  void* pointer_ = nullptr;
};

#endif

class Fiber {
 public:
  void begin(void (*body)()) {
#ifdef __SANITIZE_ADDRESS__
    // What an abandoned fiber left behind is no error of the next one.
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    if (!finished_) __asan_unpoison_memory_region(stack_.base() + page, Stack::kSize - page);
#endif
    finished_ = false;
    context_.begin(stack_, body);
  }
  void finish() { finished_ = true; }
  Context& context() { return context_; }

 private:
  Stack stack_;
  Context context_;
  bool finished_ = true;
};

}  // namespace kx_emu
