// Package libc tells from the files of an image whom its C libraries ask for accounts.
package libc

import (
	"bytes"
	"strings"
)

// Socket is the path at which C libraries ask a name service cache daemon (glibc's nscd/nscd-client.h;
// musl has the same).
const Socket = "/var/run/nscd/socket"

// Is reports whether a file of that name is a C library: glibc's, or musl's, which is its loader too.
func Is(name string) bool {
	return name == "libc.so.6" || strings.HasPrefix(name, "ld-musl-") || strings.HasPrefix(name, "libc.musl-")
}

// marks are what a C library with a client for nscd has in it, each enough by itself.
//
//   - The socket's path, without its end: gcc turns the copy of a string of known length into
//     moves, so glibc for x86-64 holds the first 16 bytes as data and the rest in instructions.
//     musl and glibc for other machines hold it in one piece.
//   - A symbol that glibc's shared library exports where it was built with the client (nss/nsswitch.c,
//     "defined SHARED && defined USE_NSCD"): for i386 the whole path is in instructions.
var marks = [...]string{"/var/run/nscd/so", "__nss_disable_nscd"}

// MaxMark is how many bytes of a file must be seen at once for AsksNscd to find what it looks for:
// one who reads a file in pieces keeps MaxMark-1 bytes of the piece before.
const MaxMark = len("__nss_disable_nscd")

// AsksNscd reports whether a C library, or a program that is linked statically with one, asks a
// responder at /var/run/nscd/socket. content is its file, or a piece of it. A static glibc program
// for i386 is not recognised.
func AsksNscd(content []byte) bool {
	for _, mark := range marks {
		if bytes.Contains(content, []byte(mark)) {
			return true
		}
	}
	return false
}

// triplets name the directories of Debian's multiarch, for every platform that unroot converts.
var triplets = [...]string{
	"x86_64-linux-gnu", "aarch64-linux-gnu", "arm-linux-gnueabihf", "arm-linux-gnueabi",
	"i386-linux-gnu", "powerpc64le-linux-gnu", "s390x-linux-gnu", "riscv64-linux-gnu",
}

// machines are musl's own names of them, in the name of its loader, which is the library too.
var machines = [...]string{"x86_64", "aarch64", "armhf", "arm", "i386", "powerpc64le", "s390x", "riscv64"}

// directories gives where shared libraries are, the usual ones first.
func directories() []string {
	list := []string{"/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"}
	for _, triplet := range triplets {
		list = append(list, "/lib/"+triplet, "/usr/lib/"+triplet)
	}
	return append(list, "/lib64/lp64d", "/usr/lib64/lp64d")
}

// Paths gives where C libraries are in images, absolute; most are not there in any one image, and
// some are links to others.
func Paths() []string {
	var paths []string
	for _, dir := range directories() {
		paths = append(paths, dir+"/libc.so.6")
	}
	for _, machine := range machines {
		paths = append(paths, "/lib/ld-musl-"+machine+".so.1", "/usr/lib/ld-musl-"+machine+".so.1")
	}
	return paths
}

// WrapperPaths gives where libnss_wrapper.so is in images that have it, absolute.
func WrapperPaths() []string {
	paths := []string{"/opt/bitnami/common/lib/libnss_wrapper.so"}
	for _, dir := range directories() {
		paths = append(paths, dir+"/libnss_wrapper.so")
	}
	return paths
}

// ModulePaths gives where glibc looks for the module of a source of nsswitch.conf(5), such as "sss".
func ModulePaths(source string) []string {
	var paths []string
	for _, dir := range directories() {
		paths = append(paths, dir+"/libnss_"+source+".so.2")
	}
	return paths
}
