package eval

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// plain prints a metric's value: 0.0426.
func plain(x float64) string { return minus(strconv.FormatFloat(x, 'f', 4, 64)) }

// signed prints a difference: +0.0103, −0.0021.
func signed(x float64) string { return minus(fmt.Sprintf("%+.4f", x)) }

// percent prints a share: 14.9 %.
func percent(x float64) string { return minus(strconv.FormatFloat(100*x, 'f', 1, 64)) + " %" }

// minus sets the typographic minus sign, and none before a zero.
func minus(s string) string {
	if strings.HasPrefix(s, "-") {
		if strings.Trim(s, "-0.") == "" {
			return s[1:]
		}
		return "−" + s[1:]
	}
	return s
}

// count prints a whole number with thousands set apart: 12,345.
func count[T int | int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	sign := ""
	if n < 0 {
		sign, s = "−", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// figure prints a value with its interval: "12.0 % (95 % interval 8.1 % to 16.0 %)".
func figure(value, low, high *float64, show func(float64) string) string {
	if value == nil {
		return "not known"
	}
	if low == nil || high == nil {
		return show(*value)
	}
	return fmt.Sprintf("%s (%d %% interval %s to %s)", show(*value), int(math.Round(100*Confidence)), show(*low), show(*high))
}
