package seccomp

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"
)

// ABI is one way in which programs of a machine call its kernel.
type ABI struct {
	Name  string // as GOARCH has it: "amd64", "386", "arm64", "arm"
	Audit uint32 // AUDIT_ARCH_* of linux/audit.h, as seccomp_data and PTRACE_GET_SYSCALL_INFO have it
	Wide  bool   // registers and pointers have 64 bits

	table func() table
}

// table is the calls of an ABI, both ways.
type table struct {
	numbers map[string]uint32
	names   map[uint32]string
}

// The ABIs. x32 is none of them: kernels of the distributions have it switched off, programs refuse it with ENOSYS.
var (
	AMD64 = &ABI{Name: "amd64", Audit: 0xc000003e, Wide: true, table: lazily(&numbersAMD64)}
	I386  = &ABI{Name: "386", Audit: 0x40000003, table: lazily(&numbers386)}
	ARM64 = &ABI{Name: "arm64", Audit: 0xc00000b7, Wide: true, table: lazily(&numbersARM64)}
	ARM   = &ABI{Name: "arm", Audit: 0x40000028, table: lazily(&numbersARM)}
)

//go:embed numbers/amd64.txt
var numbersAMD64 string

//go:embed numbers/386.txt
var numbers386 string

//go:embed numbers/arm64.txt
var numbersARM64 string

//go:embed numbers/arm.txt
var numbersARM string

// lazily reads a table when it is first asked for: the program starts in milliseconds, and most runs of it trace nothing.
func lazily(text *string) func() table {
	return sync.OnceValue(func() table {
		t := table{numbers: map[string]uint32{}, names: map[uint32]string{}}
		for line := range strings.Lines(*text) {
			name, number, _ := strings.Cut(strings.TrimSpace(line), " ")
			n, err := strconv.ParseUint(number, 10, 32)
			if err != nil {
				panic("[internal error] table of system calls: " + line)
			}
			t.numbers[name], t.names[uint32(n)] = uint32(n), name
		}
		return t
	})
}

// Call gives the name of a system call, such as "openat"; false where the number is none of the ABI.
func (a *ABI) Call(number uint32) (string, bool) {
	name, ok := a.table().names[number]
	return name, ok
}

// Number gives the number of a system call; false where the ABI has no such call.
func (a *ABI) Number(name string) (uint32, bool) {
	number, ok := a.table().numbers[name]
	return number, ok
}

// Calls gives all numbers with their names. The map must not be changed.
func (a *ABI) Calls() map[uint32]string { return a.table().names }

// ABIs gives the ABIs that a kernel of goarch runs, its own first; nil where goarch is none that can be traced.
func ABIs(goarch string) []*ABI {
	switch goarch {
	case "amd64":
		return []*ABI{AMD64, I386}
	case "arm64":
		return []*ABI{ARM64, ARM}
	}
	return nil
}
