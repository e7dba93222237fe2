package main

import "context"

func (b *bench) limits(ctx context.Context) error  { return nil }
func (b *bench) way(ctx context.Context) error     { return nil }
func (b *bench) nightly(ctx context.Context) error { return nil }
func (b *bench) linear(ctx context.Context) error  { return nil }
