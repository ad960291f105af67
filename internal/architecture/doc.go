// Package architecture has no code: its tests compare the module with
// docs/architecture.md, which draws what each package imports, and with the
// bounds on the size of files and types that the document states.
package architecture
