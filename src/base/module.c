#include "base/module.h"

#include "base/fail.h"

#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The folder of the library, or program, that this code is in. */
static void own_folder(char folder[PATH_MAX])
{
    Dl_info info;
    char path[PATH_MAX] = "";
    if (dladdr((void *)(uintptr_t)own_folder, &info))
        snprintf(path, sizeof path, "%s", info.dli_fname);
    if (!strchr(path, '/')) { /* a program, as it was called */
        ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
        path[n > 0 ? n : 0] = '\0';
    }
    snprintf(folder, PATH_MAX, "%s", dirname(path));
}

dn_status dn_module_open(const char *name, const char *symbol, int version, const char *remedy,
                         const void **table)
{
    const char *given = getenv("DIONODE_MODULES");
    char here[PATH_MAX], path[PATH_MAX + 64], why[256] = "";
    const char *folders[3] = {given && *given ? given : NULL, here, DN_MODULES};
    void *module = NULL;
    own_folder(here);
    for (int i = 0; i < 3 && !module; i++) {
        if (!folders[i])
            continue;
        snprintf(path, sizeof path, "%s/libdionode-%s.so", folders[i], name);
        /* Global: Open MPI opens components of its own, which look for its symbols. */
        if (access(path, F_OK) == 0 && !(module = dlopen(path, RTLD_NOW | RTLD_GLOBAL)))
            snprintf(why, sizeof why, "; %.200s", dlerror());
    }
    if (!module)
        return dn_fail(DN_ERR_SYSTEM,
                       "no module libdionode-%s.so in %s or %s (DIONODE_MODULES names another folder)%s: %s",
                       name, given && *given ? given : here, DN_MODULES, why, remedy);
    *table = dlsym(module, symbol);
    if (*table && *(const int *)*table == version)
        return DN_OK;
    dlclose(module);
    return dn_fail(DN_ERR_SYSTEM, "%s is of another version of Dionode: rebuild it", path);
}
