package compat

// numbers is a call's number on amd64, 386, arm64 and arm, in the order of fileABI.
type numbers [4]uint16

// no stands where an ABI has no such call.
const no = 0xffff

// auditArch is how struct seccomp_data names an ABI: AUDIT_ARCH_* of linux/audit.h.
var auditArch = [...]uint32{fileAMD64: 0xc000003e, file386: 0x40000003, fileARM64: 0xc00000b7, fileARM: 0x40000028}

// wide tells whether pointers of an ABI have 64 bits.
func (a fileABI) wide() bool { return a == fileAMD64 || a == fileARM64 }

// abisOf is the ABIs that a machine's kernel runs, its own first. x32 is none of them: its calls carry the
// name of amd64 and a bit in their number that no rule has.
func abisOf(goarch string) []fileABI {
	switch goarch {
	case "amd64":
		return []fileABI{fileAMD64, file386}
	case "arm64":
		return []fileABI{fileARM64, fileARM}
	}
	return nil
}
