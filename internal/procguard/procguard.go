// Package procguard keeps what is in the process's memory, keys and tokens among
// it, from other processes of the same user and out of core dumps. It changes
// the process that calls it, and nothing else.
package procguard
