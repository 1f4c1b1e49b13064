// Package lab is where peers are tested as they are used: real sshd servers, hosts that are network namespaces with mounts and names of
// their own, a path on which the network fails on command, a target that writes down what reached it, and a checker that holds
// what was reported to what was seen.
//
// Only tests import it. A test begins with Need, which says what it cannot do without; then it makes a Lab by Loopback (no rights
// wanted) or Hosts (root), a Target, and starts the real program with Lab.Start. What a lab made is gone when its test ends, also
// by a panic; what a killed test left behind is removed by the next process that makes a lab. TestMain of a package that uses
// labs begins with Modes and wraps its M in Main.
package lab
