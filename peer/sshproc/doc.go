// Package sshproc runs a process, usually ssh, as one stream of bytes.
//
// [SSH] makes the argument list that reaches a host through the user's own ssh, so that keys, agents, jump hosts and everything
// in ~/.ssh/config hold. [Start] runs it, or any other argument list: its stdin and stdout are the [Proc]'s Write and Read, its
// stderr is kept as a tail of harmless lines, and [Proc.Close] ends it by a ladder, whatever became of it.
//
// The process has a session of its own: Ctrl-C in our terminal does not reach it, and it cannot ask on our terminal. What ssh
// wants to know (a password, a passphrase, a one-time code, whether a host key is right) comes through [Askpass]: ssh starts
// this very program as its SSH_ASKPASS, which asks the first process over a socket that nobody else can open, and that hands the
// question to a [Prompter].
package sshproc
