// Package observability holds tests only: of deploy/observability, with a real
// Prometheus that scrapes a real operator, and of traces, with the OpenTelemetry
// Collector's own receiver. It is a module of its own, so that the Compose loader
// and the Collector stay out of the product's dependencies.
package observability
