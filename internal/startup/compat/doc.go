// Package compat answers the calls that only root may make, for programs that insist on making them, without any privilege.
//
// What is answered is what a program believes of itself. The kernel sees one unprivileged user
// throughout, whose rights are the only ones there are: no separation of privileges inside the
// container is left. What tells the truth all the same:
//
//   - the auxiliary vector (AT_UID to AT_EGID, AT_SECURE). The C library has read it before a program's
//     first call that is answered here, and nothing else is known to look; it is left as it is.
//   - /proc: the ids in /proc/PID/status, the owner of /proc/PID.
//   - access(2), the sender of a signal, credentials that come with a message on a socket.
//   - processes that an engine starts beside the program (docker exec): no filter is on them.
//
// A signal whose handler was installed without SA_RESTART can end any call that a supervisor answers with
// EINTR, in the microseconds until it is received, also one that never fails so otherwise.
//
// Set-id bits of programs are believed as well: who executes a program that is set-user-ID root believes to
// be root afterwards. No right comes with it, the kernel ignores the bits as everywhere under no_new_privs.
// Only a process that set no_new_privs itself is not believed to gain; that a file system is mounted nosuid
// is not looked at, nor are the bits of a program that a process executes which believes what the first
// one does, or of one that the running user may not read. AT_SECURE stays 0.
package compat
