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
// Set-user-ID bits of programs do nothing, as everywhere under no_new_privs.
package compat
