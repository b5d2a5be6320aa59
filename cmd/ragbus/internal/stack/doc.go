// Package stack runs Ragbus as many processes on one machine, for tests and
// for the storm: programs that are started, paused, killed and started again,
// the broker's configuration with a user for each service, and the settings
// that each service needs to find its parts.
package stack
