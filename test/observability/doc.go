// Package observability holds tests only: of deploy/observability, with a real
// Prometheus that scrapes a real operator. It is a module of its own, so that
// the Compose loader stays out of the product's dependencies.
package observability
