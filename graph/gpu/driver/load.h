/* Loading of shared libraries behind the functions that trampolines.c defines. */
#ifndef MODELDOCTOR_LOAD_H
#define MODELDOCTOR_LOAD_H

struct entry {
	const char *name; /* of the library's symbol */
	void **at;        /* where its trampoline jumps to; NULL until the library is loaded, and after it if it has none */
};

struct library {
	const struct entry *entries; /* ended by a NULL name; without the first, a file is not the library */
	int loaded;
};

extern struct library modeldoctor_cuda, modeldoctor_cublas;

/* Opens the file and fills the library's entries in. Returns NULL and sets *path to the file that it was, or returns why
 * not; both are the caller's to free. */
char *modeldoctor_load(struct library *library, const char *file, char **path);

#endif
