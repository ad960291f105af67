// Device memory. Addresses come from a range that no process can touch and are used once, so
// that a host access crashes and a freed or foreign address is noticed; the bytes lie elsewhere,
// between two pages that cannot be touched, and end where the second one begins.
#pragma once
#include <sys/mman.h>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <vector>

namespace memory {

struct Block {
  size_t size;     // as asked for
  char *bytes;     // on the host
  char *mapping;
  size_t mapped;
};

const size_t page = 4096, range = (size_t)1 << 40, alignment = 256, poisoned = 64 << 20;
static std::map<uint64_t, Block> blocks;
static size_t used, peak, limit = (size_t)8 << 30;
static uint64_t next;
static long strays;  // blocks freed of which bytes outside had been written

// Returns 0 where there is no room.
static uint64_t allocate(size_t size) {
  if (size > limit || used > limit - size) return 0;
  if (!next) {
    void *reserved = mmap(nullptr, range, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) return 0;
    next = (uint64_t)reserved;
  }
  size_t whole = (size + page - 1) / page * page + 2 * page;
  void *m = mmap(nullptr, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (m == MAP_FAILED) return 0;
  char *mapping = (char *)m;
  mprotect(mapping + page, whole - 2 * page, PROT_READ | PROT_WRITE);
  char *bytes = mapping + whole - page - (size + 15) / 16 * 16;
  memset(bytes, 0xff, size < poisoned ? size : poisoned);  // NaN: what is not written shows
  uint64_t address = next;
  next += (size + alignment) / alignment * alignment + alignment;
  blocks[address] = {size, bytes, mapping, whole};
  used += size;
  if (used > peak) peak = used;
  return address;
}

// Where the n bytes at a device address lie, null if they are not all in one allocation.
static char *find(uint64_t address, size_t n) {
  auto b = blocks.upper_bound(address);
  if (b == blocks.begin()) return nullptr;
  --b;
  size_t offset = address - b->first;
  if (offset >= b->second.size || n > b->second.size - offset) return nullptr;
  return b->second.bytes + offset;
}

// Copies from the host's pinned memory are read when something else is done with the device's, or
// the host waits for the device: as late as a card may. What the host writes there before shows.
struct Copy {
  char *to;
  const void *from;
  size_t n;
};
static std::map<const char *, size_t> pinned;  // their sizes
static std::vector<Copy> pending;

static void settle() {
  for (auto &c : pending) memcpy(c.to, c.from, c.n);
  pending.clear();
}
static bool is_pinned(const void *p) {
  auto m = pinned.upper_bound((const char *)p);
  return m != pinned.begin() && (const char *)p < (--m)->first + m->second;
}

// The same as find, where all is done that was to be done before.
static char *host(uint64_t address, size_t n) {
  settle();
  return find(address, n);
}

static bool release(uint64_t address) {
  settle();
  auto b = blocks.find(address);
  if (b == blocks.end()) return false;
  // The bytes between the block and the pages around it are zero still.
  const Block &block = b->second;
  bool stray = false;
  for (char *p = block.mapping + page; p < block.bytes; p++) stray = stray || *p;
  for (char *p = block.bytes + block.size; p < block.mapping + block.mapped - page; p++) stray = stray || *p;
  strays += stray;
  munmap(b->second.mapping, b->second.mapped);
  used -= b->second.size;
  blocks.erase(b);
  return true;
}

}  // namespace memory
