// Package deps holds the requirements of work under way. It is deleted when each has its user.
package deps

import (
	_ "github.com/chromedp/chromedp"
	_ "github.com/invopop/jsonschema"
	_ "github.com/redis/go-redis/v9"
	_ "go4.org/unsafe/assume-no-moving-gc"
	_ "gorgonia.org/gorgonia"
	_ "gorgonia.org/tensor"
)
