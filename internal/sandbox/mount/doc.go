// Package mount makes file systems and mounts them by descriptor, so that no path of an image is ever given to a mount call.
package mount
