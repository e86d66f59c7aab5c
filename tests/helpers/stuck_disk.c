/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded into a process: while the file STUCK_DISK_FILE exists, the disk does not say that it has anything. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int answer(const char *name, int file) {
    const char *stuck = getenv("STUCK_DISK_FILE");
    while (stuck && access(stuck, F_OK) == 0) usleep(5000);
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(file);
}

int fsync(int file) { return answer("fsync", file); }

int fdatasync(int file) { return answer("fdatasync", file); }
