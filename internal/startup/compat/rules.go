//go:build linux && (amd64 || arm64)

package compat

import "unroot/internal/startup"

// rule is which call is answered, and how.
type rule struct {
	nr    numbers
	do    handler
	when  [][]equals // see entry
	short bool       // ids have 16 bits, as they had before Linux 2.4
}

// identityRules is the calls about who a process is.
var identityRules = [...]rule{
	{nr: numbers{105, 213, 146, 213}, do: (*call).setuid},
	{nr: numbers{106, 214, 144, 214}, do: (*call).setgid},
	{nr: numbers{113, 203, 145, 203}, do: (*call).setreuid},
	{nr: numbers{114, 204, 143, 204}, do: (*call).setregid},
	{nr: numbers{117, 208, 147, 208}, do: (*call).setresuid},
	{nr: numbers{119, 210, 149, 210}, do: (*call).setresgid},
	{nr: numbers{122, 215, 151, 215}, do: (*call).setfsuid},
	{nr: numbers{123, 216, 152, 216}, do: (*call).setfsgid},
	{nr: numbers{116, 206, 159, 206}, do: (*call).setgroups},
	{nr: numbers{102, 199, 174, 199}, do: (*call).getuid},
	{nr: numbers{107, 201, 175, 201}, do: (*call).geteuid},
	{nr: numbers{104, 200, 176, 200}, do: (*call).getgid},
	{nr: numbers{108, 202, 177, 202}, do: (*call).getegid},
	{nr: numbers{118, 209, 148, 209}, do: (*call).getresuid},
	{nr: numbers{120, 211, 150, 211}, do: (*call).getresgid},
	{nr: numbers{115, 205, 158, 205}, do: (*call).getgroups},

	{nr: numbers{no, 23, no, 23}, do: (*call).setuid, short: true},
	{nr: numbers{no, 46, no, 46}, do: (*call).setgid, short: true},
	{nr: numbers{no, 70, no, 70}, do: (*call).setreuid, short: true},
	{nr: numbers{no, 71, no, 71}, do: (*call).setregid, short: true},
	{nr: numbers{no, 164, no, 164}, do: (*call).setresuid, short: true},
	{nr: numbers{no, 170, no, 170}, do: (*call).setresgid, short: true},
	{nr: numbers{no, 138, no, 138}, do: (*call).setfsuid, short: true},
	{nr: numbers{no, 139, no, 139}, do: (*call).setfsgid, short: true},
	{nr: numbers{no, 81, no, 81}, do: (*call).setgroups, short: true},
	{nr: numbers{no, 24, no, 24}, do: (*call).getuid, short: true},
	{nr: numbers{no, 49, no, 49}, do: (*call).geteuid, short: true},
	{nr: numbers{no, 47, no, 47}, do: (*call).getgid, short: true},
	{nr: numbers{no, 50, no, 50}, do: (*call).getegid, short: true},
	{nr: numbers{no, 165, no, 165}, do: (*call).getresuid, short: true},
	{nr: numbers{no, 171, no, 171}, do: (*call).getresgid, short: true},
	{nr: numbers{no, 80, no, 80}, do: (*call).getgroups, short: true},

	{nr: numbers{125, 184, 90, 184}, do: (*call).capget},
	{nr: numbers{126, 185, 91, 185}, do: (*call).capset},
	{nr: numbers{157, 172, 167, 172}, do: (*call).prctl, when: [][]equals{
		{{0, prGetDumpable}}, {{0, prSetDumpable}}, {{0, prGetKeepcaps}}, {{0, prSetKeepcaps}}, {{0, prCapbsetRead}},
		{{0, prCapbsetDrop}}, {{0, prGetSecure}}, {{0, prSetSecure}}, {{0, prCapAmbient}},
		{{0, prSetSealed}}, {{0, prGetSealed}},
	}},
	{nr: numbers{161, 61, 51, 61}, do: (*call).chroot},
	{nr: numbers{55, 365, 209, 295}, do: (*call).getsockopt, when: [][]equals{{{1, solSocket}, {2, soPeercred}}}},
	{nr: numbers{no, 102, no, no}, do: (*call).socketcall, when: [][]equals{{{0, sysGetsockopt}}}},

	{nr: numbers{59, 11, 221, 11}, do: (*call).execve},
	{nr: numbers{322, 358, 281, 387}, do: (*call).execve},
	{nr: numbers{231, 252, 94, 248}, do: (*call).exit},
}

// simpleRules is the calls that succeed and do nothing at the lowest step: those by which a process
// gives rights up. setfsuid and setfsgid are not among them: they tell of no failure, and what they
// give, the id before, only the kernel knows. Nor is anything by which a process would gain.
var simpleRules = [...]rule{
	{nr: numbers{105, 213, 146, 213}},
	{nr: numbers{106, 214, 144, 214}},
	{nr: numbers{113, 203, 145, 203}},
	{nr: numbers{114, 204, 143, 204}},
	{nr: numbers{117, 208, 147, 208}},
	{nr: numbers{119, 210, 149, 210}},
	{nr: numbers{116, 206, 159, 206}},
	{nr: numbers{no, 23, no, 23}},
	{nr: numbers{no, 46, no, 46}},
	{nr: numbers{no, 70, no, 70}},
	{nr: numbers{no, 71, no, 71}},
	{nr: numbers{no, 164, no, 164}},
	{nr: numbers{no, 170, no, 170}},
	{nr: numbers{no, 81, no, 81}},
	{nr: numbers{126, 185, 91, 185}},
	{nr: numbers{157, 172, 167, 172}, when: [][]equals{
		{{0, prCapbsetDrop}}, {{0, prSetSecure}}, {{0, prCapAmbient}, {1, ambientRaise}},
	}},
}

// when is the alternative in which a call on a file is of interest: an open that may make one.
func (c *fileCall) when() [][]equals {
	if n, bits := c.asks(); n != none {
		return [][]equals{{{uint8(n) | anyBit, bits}}}
	}
	return nil
}

// entries is what the filter of a step does with the calls of an ABI.
func entries(step startup.Compat, a fileABI) []entry {
	var list []entry
	rules, as := identityRules[:], replyAsk
	if step == startup.CompatSimple {
		rules, as = simpleRules[:], replySuccess
	}
	for i := range rules {
		if nr := rules[i].nr[a]; nr != no {
			list = append(list, entry{uint32(nr), rules[i].when, as})
		}
	}
	for _, nr := range fileCalls(a) {
		c, _ := fileCallOf(a, nr)
		switch {
		case step == startup.CompatConsistent:
			list = append(list, entry{nr: nr, when: c.when(), reply: replyAsk})
		case c.op == opChown:
			list = append(list, entry{nr: nr, reply: replySuccess})
		}
	}
	return list
}
