//go:build gpu && linux && cgo

#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

char *modeldoctor_load(struct library *library, const char *file, char **path) {
	void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		const char *why = dlerror();
		return strdup(why ? why : "unknown error");
	}
	if (!dlsym(handle, library->entries[0].name)) {
		char *why = NULL;
		if (asprintf(&why, "%s: has no function %s", file, library->entries[0].name) < 0) why = NULL;
		dlclose(handle);
		return why ? why : strdup("out of memory");
	}
	for (const struct entry *e = library->entries; e->name; e++) *e->at = dlsym(handle, e->name);
	library->loaded = 1;
	struct link_map *map = NULL;
	*path = strdup(dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 ? map->l_name : file);
	return NULL; /* the handle stays open until the process ends */
}
