/* A driver's library as far as the monitor asks it, so that NVIDIA's own Python binding is run: one busy GPU, one with
   a MIG slice, one that is lost. Functions and structures are NVML's (https://docs.nvidia.com/deploy/nvml-api/); what
   is missing here is missing in old drivers, too. */
#include <stdio.h>
#include <string.h>

enum { OK = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, LOST = 15 };
typedef unsigned long long u64;
typedef struct { const char *uuid, *name; int mig; } Device;
typedef struct { unsigned version; u64 total, reserved, free, used; } Memory2;
typedef struct { unsigned gpu, memory; } Utilization;
typedef struct { unsigned pid; u64 used; unsigned gpu_instance, compute_instance; } Process;

static Device whole = {"GPU-aaaa", "NVIDIA H100 80GB HBM3", 0};
static Device cut = {"GPU-bbbb", "NVIDIA H100 80GB HBM3", 1};
static Device slice = {"MIG-cccc", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", 2};
static const u64 MIB = 1024 * 1024;

int nvmlInitWithFlags(unsigned flags) { (void)flags; return OK; }
const char *nvmlErrorString(int code) { return code == LOST ? "GPU is lost" : "something else"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 3; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **device) {
    *device = index == 0 ? &whole : &cut;
    return index < 2 ? OK : LOST;
}
int nvmlDeviceGetUUID(Device *device, char *text, unsigned length) { snprintf(text, length, "%s", device->uuid); return OK; }
int nvmlDeviceGetName(Device *device, char *text, unsigned length) { snprintf(text, length, "%s", device->name); return OK; }
int nvmlDeviceGetUtilizationRates(Device *device, Utilization *rates) {
    rates->gpu = 93;
    rates->memory = 41;
    return device->mig ? NOT_SUPPORTED : OK;
}
int nvmlDeviceGetMemoryInfo_v2(Device *device, Memory2 *memory) {
    if (memory->version != (sizeof(Memory2) | 2u << 24)) return NOT_SUPPORTED;
    memory->total = (device->mig == 2 ? 10000 : 81559) * MIB;
    memory->reserved = 559 * MIB;
    memory->used = 1000 * MIB;
    memory->free = memory->total - memory->reserved - memory->used;
    return OK;
}
int nvmlDeviceGetTemperature(Device *device, int sensor, unsigned *celsius) { (void)device; *celsius = 64; return sensor == 0 ? OK : NOT_SUPPORTED; }
int nvmlDeviceGetPowerUsage(Device *device, unsigned *milliwatts) { (void)device; *milliwatts = 512345; return OK; }
int nvmlDeviceGetPowerManagementDefaultLimit(Device *device, unsigned *milliwatts) { (void)device; *milliwatts = 700000; return OK; }
int nvmlDeviceGetClockInfo(Device *device, int kind, unsigned *mhz) { (void)device; *mhz = 1755; return kind == 1 ? OK : NOT_SUPPORTED; }
int nvmlDeviceGetMaxClockInfo(Device *device, int kind, unsigned *mhz) { (void)device; *mhz = 1980; return kind == 1 ? OK : NOT_SUPPORTED; }
int nvmlDeviceGetCurrentClocksEventReasons(Device *device, u64 *reasons) { (void)device; *reasons = 0x4; return OK; }
int nvmlDeviceGetMigMode(Device *device, unsigned *now, unsigned *next) { *now = *next = device->mig == 1; return OK; }
int nvmlDeviceGetMaxMigDeviceCount(Device *device, unsigned *count) { (void)device; *count = 7; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(Device *device, unsigned index, Device **found) { (void)device; *found = &slice; return index == 2 ? OK : NOT_FOUND; }
int nvmlDeviceGetGpuInstanceId(Device *device, unsigned *id) { (void)device; *id = 9; return OK; }
int nvmlDeviceGetComputeRunningProcesses_v3(Device *device, unsigned *count, Process *found) {
    unsigned room = *count;
    *count = device->mig == 1 ? 0 : 1;
    if (room < *count) return INSUFFICIENT_SIZE;
    if (*count) found[0] = (Process){4242, 800 * MIB, 0xFFFFFFFFu, 0xFFFFFFFFu};
    return OK;
}
int nvmlSystemGetProcessName(unsigned pid, char *text, unsigned length) { snprintf(text, length, "/opt/app-%u", pid); return OK; }
