// Package browser looks at the operator's page with a real browser: Chromium,
// headless, driven over its DevTools protocol. It has a module of its own, so
// that the product depends on none of this.
package browser
