// Runs CUDA C on the CPU, one thread of a block after the other; the blocks too. Threads that
// exchange values (COOPERATIVE_KERNEL) get a stack each and take turns at shuffles and barriers.
// The order of blocks and threads can be changed: results must not depend on it.
#pragma once
#include <ucontext.h>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#define __device__ static
#define __forceinline__ inline
#define __shared__ static  // blocks run one at a time

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
static dim3 blockIdx, threadIdx, blockDim, gridDim;

static inline float __int_as_float(int v) {
  float f;
  memcpy(&f, &v, sizeof f);
  return f;
}
static inline int __float_as_int(float f) {
  int v;
  memcpy(&v, &f, sizeof v);
  return v;
}

namespace emulator {

enum Order { FORWARD, REVERSE, SHUFFLED };
static Order order = FORWARD;

// The k-th of n in the current order.
static inline unsigned nth(unsigned k, unsigned n) {
  const unsigned prime = 7919;
  if (order == REVERSE) return n - 1 - k;
  if (order == SHUFFLED && n % prime != 0) return (unsigned)(((uint64_t)k * prime + 13) % n);
  return k;
}

struct Kernel {
  const char *name;
  void (*run)(void **parameters);  // the calling thread's part
  bool cooperative;
  int count;            // of parameters
  bool (*pointer)(int);  // whether a parameter is an address
};
static std::vector<Kernel> &kernels() {
  static std::vector<Kernel> all;
  return all;
}
template <class Call> struct Registration {
  Registration(const char *name, bool cooperative) { kernels().push_back({name, Call::run, cooperative, Call::count, Call::pointer}); }
};

// The parameters of a kernel, read from where cuLaunchKernel's caller put them.
template <auto F> struct Call;
template <class... A, void (*F)(A...)> struct Call<F> {
  static const int count = sizeof...(A);
  static bool pointer(int i) {
    const bool is[] = {std::is_pointer_v<A>...};
    return is[i];
  }
  template <size_t... I> static void with(void **p, std::index_sequence<I...>) { F(*(std::remove_const_t<A> *)p[I]...); }
  static void run(void **p) { with(p, std::index_sequence_for<A...>{}); }
};

static const Kernel *running;
[[noreturn]] static void fail(const char *what, int line) {
  fprintf(stderr, "fake CUDA: kernel %s, line %d: %s\n", running ? running->name : "?", line, what);
  abort();
}

// Stacks of the threads of one block.
const int most_threads = 256;
// Not a multiple of a page: at equal places of all stacks the cache would keep only a few.
const size_t stack_size = (32 << 10) + 9 * 64;
enum State { READY, SHUFFLE, BARRIER, DONE };
struct Thread {
  char *stack;
  void *pointer;  // of the stack, while another runs
  State state;
  int line;
  unsigned shuffles;
  dim3 index;
};
static Thread threads[most_threads];
alignas(64) static char stacks[most_threads * stack_size];
static void *scheduler;
static int current = -1;
static void **parameters;

#if defined(__x86_64__) && !defined(EMULATOR_UCONTEXT)
// Swaps stacks without a call, so that the processor's prediction of returns stays right. The
// compiler saves all registers but two; 128 bytes below the stack pointer may be in use.
static inline void switch_to(void **save, void *to) {
  asm volatile(
      "leaq -128(%%rsp), %%rsp\n\t"
      "pushq %%rbp\n\t"
      "pushq %%rbx\n\t"
      "leaq 1f(%%rip), %%rdx\n\t"
      "pushq %%rdx\n\t"
      "movq %%rsp, (%%rax)\n\t"
      "movq %%rcx, %%rsp\n\t"
      "popq %%rdx\n\t"
      "jmp *%%rdx\n"
      "1:\n\t"
      "popq %%rbx\n\t"
      "popq %%rbp\n\t"
      "leaq 128(%%rsp), %%rsp"
      : "+a"(save), "+c"(to)
      :
      : "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3",
        "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}
static void *new_stack(char *stack, void (*entry)()) {
  void **top = (void **)((uintptr_t)(stack + stack_size) & ~(uintptr_t)15);
  *--top = nullptr;  // where the entry would return to: it never does
  *--top = (void *)entry;
  return top;
}
#else  // any processor, slower
static ucontext_t contexts[most_threads + 1];
static void *new_stack(char *stack, void (*entry)()) {
  ucontext_t *c = &contexts[1 + current];
  getcontext(c);
  c->uc_stack.ss_sp = stack;
  c->uc_stack.ss_size = stack_size;
  makecontext(c, entry, 0);
  return c;
}
static void switch_to(void **save, void *to) {
  ucontext_t *c = save == &scheduler ? &contexts[0] : &contexts[1 + ((char *)save - (char *)threads) / sizeof(Thread)];
  *save = c;
  swapcontext(c, (ucontext_t *)to);
}
#endif

// Whose turn it is: the turn-th of the threads [first, last) of a warp.
static int turn, turn_first, turn_last;

// Finds the next thread that can run; false if each has had its turn.
static bool next_turn() {
  for (int n = turn_last - turn_first; turn < n;) {
    int i = turn_first + (int)nth(turn++, n);
    if (threads[i].state != READY) continue;
    current = i;
    threadIdx = threads[i].index;
    return true;
  }
  return false;
}

// Leaves a thread's stack for the next one's, or for the scheduler's.
static void leave() {
  void **save = &threads[current].pointer;
  switch_to(save, next_turn() ? threads[current].pointer : scheduler);
}

static void entry() {
  running->run(parameters);
  threads[current].state = DONE;
  leave();
}

static void wait_for_others(State state, int line) {
  if (current < 0) fail("waits for other threads but is no COOPERATIVE_KERNEL", line);
  Thread &t = threads[current];
  t.state = state;
  t.line = line;
  leave();
}

// Runs a warp until its threads wait at a barrier or are done.
static void run_warp(int first, int last) {
  for (;;) {
    int n = last - first, waiting = 0, live = 0, line = 0;
    turn = 0, turn_first = first, turn_last = last;
    if (next_turn()) switch_to(&scheduler, threads[current].pointer);
    for (int i = first; i < last; i++) {
      const Thread &t = threads[i];
      live += t.state != DONE;
      if (t.state == SHUFFLE) {
        if (waiting++ && t.line != line) fail("threads of a warp shuffle in different places", t.line);
        line = t.line;
      }
    }
    if (waiting == 0) return;
    if (waiting != live || live != n) fail("a thread of the warp does not come to the shuffle", line);
    for (int i = first; i < last; i++) threads[i].state = READY;
  }
}

static void run_block() {
  int n = blockDim.x * blockDim.y * blockDim.z, warps = (n + 31) / 32;
  for (int i = 0; i < n; i++) {
    Thread &t = threads[i];
    if (!t.stack) t.stack = stacks + i * stack_size;
    current = i;
    t.pointer = new_stack(t.stack, entry);
    t.state = READY;
    t.shuffles = 0;
    t.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
  }
  for (;;) {
    for (int k = 0; k < warps; k++) {
      int w = (int)nth(k, warps) * 32;
      run_warp(w, w + 32 < n ? w + 32 : n);
    }
    int waiting = 0, line = 0;
    for (int i = 0; i < n; i++)
      if (threads[i].state == BARRIER) {
        if (waiting++ && threads[i].line != line) fail("threads wait at different barriers", threads[i].line);
        line = threads[i].line;
      }
    if (waiting == 0) break;
    if (waiting != n) fail("a thread of the block does not come to the barrier", line);
    for (int i = 0; i < n; i++) threads[i].state = READY;
  }
  current = -1;
}

static void run_grid(const Kernel *kernel, dim3 grid, dim3 block, void **p) {
  running = kernel;
  gridDim = grid;
  blockDim = block;
  parameters = p;
  unsigned blocks = grid.x * grid.y * grid.z, n = block.x * block.y * block.z;
  for (unsigned k = 0; k < blocks; k++) {
    unsigned b = nth(k, blocks);
    blockIdx = {b % grid.x, b / grid.x % grid.y, b / (grid.x * grid.y)};
    if (kernel->cooperative) {
      run_block();
      continue;
    }
    for (unsigned j = 0; j < n; j++) {
      unsigned t = nth(j, n);
      threadIdx = {t % block.x, t / block.x % block.y, t / (block.x * block.y)};
      kernel->run(p);
    }
  }
  running = nullptr;
}

// Two buffers in turn: when a thread comes to its next shuffle, all have read this one's.
static uint64_t exchanged[2][most_threads];
template <class T> static T shuffle_xor(T v, int mask, int line) {
  int me = current;
  if (me < 0) fail("shuffles but is no COOPERATIVE_KERNEL", line);
  uint64_t *slot = exchanged[threads[me].shuffles++ % 2];
  memcpy(&slot[me], &v, sizeof v);
  wait_for_others(SHUFFLE, line);
  memcpy(&v, &slot[me ^ mask], sizeof v);
  return v;
}

}  // namespace emulator

#define __syncthreads() emulator::wait_for_others(emulator::BARRIER, __LINE__)
#define __shfl_xor_sync(all, v, mask) emulator::shuffle_xor(v, mask, __LINE__)

#define REGISTERED_KERNEL(cooperative, name, ...)                                                            \
  static void name(__VA_ARGS__);                                                                             \
  static emulator::Registration<emulator::Call<&name>> name##_registration(#name, cooperative);              \
  static void name(__VA_ARGS__)
#define KERNEL(name, ...) REGISTERED_KERNEL(false, name, __VA_ARGS__)
#define COOPERATIVE_KERNEL(name, ...) REGISTERED_KERNEL(true, name, __VA_ARGS__)
