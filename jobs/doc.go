// Package jobs runs the product's steps in order.
package jobs
