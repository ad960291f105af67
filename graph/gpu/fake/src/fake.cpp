// A libcuda.so.1, a libcublas and a libcublasLt in one that run the kernels on the CPU: the functions that
// graph/gpu/driver uses, everything finished when a call returns, but for copies from pinned memory
// (memory.h). What goes wrong, and when, is said by the environment variable MODELDOCTOR_FAKE, words
// like "launch=3" (see faults below).
#include "emulator.h"
#include "kernels.cu"
#include "memory.h"

#include <chrono>
#include <mutex>
#include <string>

typedef uint64_t Address;

enum {
  SUCCESS = 0,
  INVALID_VALUE = 1,
  OUT_OF_MEMORY = 2,
  NO_DEVICE = 100,
  INVALID_DEVICE = 101,
  INVALID_IMAGE = 200,
  INVALID_CONTEXT = 201,
  ECC_UNCORRECTABLE = 214,
  INVALID_HANDLE = 400,
  NOT_FOUND = 500,
  ILLEGAL_ADDRESS = 700,
  LAUNCH_OUT_OF_RESOURCES = 701,
};
static const struct {
  int code;
  const char *name, *text;
} errors[] = {
    {SUCCESS, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {ECC_UNCORRECTABLE, "CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
};

static std::mutex mutex;
#define LOCK std::lock_guard<std::mutex> lock(mutex)

// The faults asked for. Counts are of calls since the variable changed, from 1; 0 is never.
static struct {
  std::string words;
  long alloc, launch;  // the call that fails, once
  long lost;           // the call on the device from which on it is gone
  long absent;         // no device is there
  long allocs, launches, downloads, calls;
} faults;
static int sticky;   // the error that all later calls return
static long leaked;  // allocations that the last context released had not freed

static long word(const std::string &words, const char *name, long otherwise) {
  size_t at = (" " + words).find(std::string(" ") + name + "=");
  return at == std::string::npos ? otherwise : atol(words.c_str() + at + strlen(name) + 1);
}

// Reads the variable if it has changed, and counts a call on the device.
static int called() {
  const char *now = getenv("MODELDOCTOR_FAKE");
  if (faults.words != (now ? now : "")) {
    faults = {now ? now : ""};
    faults.alloc = word(faults.words, "alloc", 0);
    faults.launch = word(faults.words, "launch", 0);
    faults.lost = word(faults.words, "lost", 0);
    faults.absent = word(faults.words, "absent", 0);
    memory::limit = (size_t)word(faults.words, "memory", 8L << 30);
    emulator::order = (emulator::Order)word(faults.words, "order", 0);
    sticky = 0;
    memory::peak = memory::used;
  }
  faults.calls++;
  if (faults.lost && faults.calls >= faults.lost) sticky = ECC_UNCORRECTABLE;
  return sticky;
}
#define CALL                                \
  LOCK;                                     \
  if (!context) return INVALID_CONTEXT;     \
  if (int lost = called()) return lost

// The context that the calling thread works in: callers from many threads must each set it.
static thread_local void *context;

static double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

struct Event {
  double at;
};

extern "C" {

// What a test may ask, beyond what CUDA answers.
long modeldoctor_fake_count(const char *what) {
  LOCK;
  called();
  if (!strcmp(what, "leaked")) return leaked;
  if (!strcmp(what, "strays")) return memory::strays;
  if (!strcmp(what, "used")) return (long)memory::used;
  if (!strcmp(what, "peak")) return (long)memory::peak;
  if (!strcmp(what, "launches")) return faults.launches;
  if (!strcmp(what, "downloads")) return faults.downloads;
  return -1;
}

int cuInit(unsigned) {
  LOCK;
  called();
  return SUCCESS;
}
int cuDriverGetVersion(int *version) { return *version = 13000, SUCCESS; }
int cuDeviceGetCount(int *n) {
  LOCK;
  called();
  *n = faults.absent ? 0 : 1;
  return SUCCESS;
}
int cuDeviceGet(int *device, int ordinal) { return *device = ordinal, ordinal == 0 ? SUCCESS : INVALID_DEVICE; }
int cuDeviceGetName(char *name, int size, int) { return snprintf(name, size, "fake device"), SUCCESS; }
int cuDeviceTotalMem_v2(size_t *bytes, int) {
  LOCK;
  called();
  *bytes = memory::limit;
  return SUCCESS;
}
int cuDeviceGetAttribute(int *value, int attribute, int) {
  switch (attribute) {
    case 75: *value = 7; break;   // compute capability, major
    case 76: *value = 5; break;   // minor
    case 16: *value = 1; break;   // multiprocessors
    case 10: *value = 32; break;  // threads of a warp
    case 1: *value = 1024; break; // threads of a block
    default: *value = 0;
  }
  return SUCCESS;
}
static long retained;
int cuDevicePrimaryCtxRetain(void **made, int) {
  LOCK;
  retained++;
  return *made = (void *)1, SUCCESS;
}
int cuDevicePrimaryCtxRelease_v2(int) {
  LOCK;
  if (--retained > 0) return SUCCESS;  // another one uses it still
  leaked = (long)memory::blocks.size();
  while (!memory::blocks.empty()) memory::release(memory::blocks.begin()->first);
  return SUCCESS;
}
int cuCtxSetCurrent(void *given) { return context = given, SUCCESS; }
int cuCtxSynchronize() {
  CALL;
  memory::settle();
  return SUCCESS;
}

int cuMemGetInfo_v2(size_t *free, size_t *total) {
  CALL;
  *total = memory::limit;
  *free = memory::limit > memory::used ? memory::limit - memory::used : 0;
  return SUCCESS;
}
int cuMemAlloc_v2(Address *address, size_t size) {
  CALL;
  if (size == 0) return INVALID_VALUE;
  if (++faults.allocs == faults.alloc) return OUT_OF_MEMORY;
  *address = memory::allocate(size);
  return *address ? SUCCESS : OUT_OF_MEMORY;
}
int cuMemFree_v2(Address address) {
  LOCK;
  bool known = memory::release(address) || !address;
  return sticky ? sticky : known ? SUCCESS : INVALID_VALUE;
}
int cuMemHostAlloc(void **p, size_t size, unsigned) {
  CALL;
  if (posix_memalign(p, memory::page, size ? size : 1)) return OUT_OF_MEMORY;
  memory::pinned[(const char *)*p] = size;
  return SUCCESS;
}
int cuMemFreeHost(void *p) {
  LOCK;
  memory::settle();
  memory::pinned.erase((const char *)p);
  free(p);
  return SUCCESS;
}
int cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t n, void *) {
  CALL;
  char *p = memory::find(to, n);
  if (!p) return INVALID_VALUE;
  memory::pending.push_back({p, from, n});
  if (!memory::is_pinned(from)) memory::settle();
  return SUCCESS;
}
int cuMemcpyDtoHAsync_v2(void *to, Address from, size_t n, void *) {
  CALL;
  char *p = memory::host(from, n);
  if (!p) return INVALID_VALUE;
  faults.downloads++;
  memcpy(to, p, n);
  return SUCCESS;
}
int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t n, void *) {
  CALL;
  char *p = memory::host(to, n), *q = memory::host(from, n);
  if (!p || !q) return INVALID_VALUE;
  memmove(p, q, n);
  return SUCCESS;
}
int cuMemsetD8Async(Address to, unsigned char value, size_t n, void *) {
  CALL;
  char *p = memory::host(to, n);
  if (!p) return INVALID_VALUE;
  memset(p, value, n);
  return SUCCESS;
}
int cuMemcpyHtoD_v2(Address to, const void *from, size_t n) { return cuMemcpyHtoDAsync_v2(to, from, n, nullptr); }
int cuMemcpyDtoH_v2(void *to, Address from, size_t n) { return cuMemcpyDtoHAsync_v2(to, from, n, nullptr); }

int cuModuleLoadData(void **module, const void *image) {
  CALL;
  *module = (void *)1;
  return strstr((const char *)image, ".version") ? SUCCESS : INVALID_IMAGE;
}
int cuModuleLoadDataEx(void **module, const void *image, unsigned, int *, void **) { return cuModuleLoadData(module, image); }
int cuModuleUnload(void *) { return SUCCESS; }
int cuModuleGetFunction(void **function, void *, const char *name) {
  for (auto &k : emulator::kernels())
    if (!strcmp(k.name, name)) return *function = (void *)&k, SUCCESS;
  return NOT_FOUND;
}

int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *,
                   void **parameters, void **) {
  CALL;
  const emulator::Kernel *k = (const emulator::Kernel *)function;
  if (!gx || !gy || !gz || gy > 65535 || gz > 65535 || gx > 0x7fffffffu || !bx || !by || !bz || shared) return INVALID_VALUE;
  if ((size_t)bx * by * bz > emulator::most_threads) return INVALID_VALUE;
  if (++faults.launches == faults.launch) return LAUNCH_OUT_OF_RESOURCES;
  // The kernel gets the host's addresses in place of the device's.
  Address values[64];
  void *pointers[64];
  for (int i = 0; i < k->count; i++) {
    memcpy(&values[i], parameters[i], sizeof values[i]);
    pointers[i] = &values[i];
    if (!k->pointer(i) || !values[i]) continue;
    char *p = memory::host(values[i], 1);
    if (!p) {
      fprintf(stderr, "fake CUDA: kernel %s: parameter %d, %#llx, is no device memory\n", k->name, i, (unsigned long long)values[i]);
      return sticky = ILLEGAL_ADDRESS;
    }
    values[i] = (Address)p;
  }
  if (getenv("MODELDOCTOR_FAKE_TRACE")) fprintf(stderr, "%s [%u %u %u] [%u %u %u]\n", k->name, gx, gy, gz, bx, by, bz);
  emulator::run_grid(k, {gx, gy, gz}, {bx, by, bz}, pointers);
  return SUCCESS;
}

int cuStreamCreate(void **stream, unsigned) { return *stream = malloc(1), SUCCESS; }
int cuStreamDestroy_v2(void *stream) { return free(stream), SUCCESS; }
int cuStreamSynchronize(void *) {
  CALL;
  memory::settle();
  return SUCCESS;
}
int cuStreamWaitEvent(void *, void *, unsigned) { return SUCCESS; }
int cuStreamQuery(void *) { return SUCCESS; }
int cuEventCreate(void **event, unsigned) { return *event = new Event{0}, SUCCESS; }
int cuEventDestroy_v2(void *event) { return delete (Event *)event, SUCCESS; }
int cuEventRecord(void *event, void *) { return ((Event *)event)->at = now(), SUCCESS; }
int cuEventSynchronize(void *) {
  CALL;
  memory::settle();
  return SUCCESS;
}
int cuEventElapsedTime(float *milliseconds, void *from, void *to) {
  *milliseconds = (float)((((Event *)to)->at - ((Event *)from)->at) * 1e3);
  return SUCCESS;
}
int cuGetErrorName(int code, const char **name) {
  for (auto &e : errors)
    if (e.code == code) return *name = e.name, SUCCESS;
  return INVALID_VALUE;
}
int cuGetErrorString(int code, const char **text) {
  for (auto &e : errors)
    if (e.code == code) return *text = e.text, SUCCESS;
  return INVALID_VALUE;
}
}

#include "cublas.h"
#include "cublaslt.h"
