package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/modeldoctor/modeldoctor/metric"
)

// mostFixed is the size from which numbers are written with an exponent: they
// come from trainings that diverge.
const mostFixed = 1e6

// fixed writes a number with so many decimals, and zero without a sign.
func fixed(x float64, decimals int) string {
	if math.Abs(x) >= mostFixed {
		return fmt.Sprintf("%.3g", x)
	}
	s := fmt.Sprintf("%.*f", decimals, x)
	if strings.Trim(s, "-0.") == "" {
		return strings.TrimPrefix(s, "-")
	}
	return s
}

// significant writes a positive number with two to four digits.
func significant(x float64) string {
	switch {
	case x >= 1e5 || x < 1e-3:
		return fmt.Sprintf("%.1e", x)
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.3f", x)
}

// count writes a number of parameters: 921, 20.3 k, 0.70 M, 85.9 M.
func count(n int) string {
	switch {
	case n >= 100_000_000:
		return fmt.Sprintf("%.0f M", float64(n)/1e6)
	case n >= 10_000_000:
		return fmt.Sprintf("%.1f M", float64(n)/1e6)
	case n >= 500_000:
		return fmt.Sprintf("%.2f M", float64(n)/1e6)
	case n >= 1000:
		return fmt.Sprintf("%.1f k", float64(n)/1e3)
	}
	return fmt.Sprint(n)
}

// thousands writes 1000 as 1,000.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// size writes a number of bytes: 921 bytes, 36.9 MB, 1.25 GB.
func size(n int64) string {
	x, unit := float64(n), ""
	for _, unit = range []string{"kB", "MB", "GB", "TB"} {
		if x /= 1000; x < 999.5 {
			break
		}
	}
	switch {
	case n < 1000:
		return plural(int(n), "byte")
	case x >= 99.95:
		return fmt.Sprintf("%.0f %s", x, unit)
	case x >= 9.995:
		return fmt.Sprintf("%.1f %s", x, unit)
	}
	return fmt.Sprintf("%.2f %s", x, unit)
}

// duration writes a time in seconds: 0.42 s, 95.0 s, 2 min 10 s, 3 h 05 min.
func duration(seconds float64) string {
	whole := int(math.Round(seconds))
	switch {
	case seconds < 0.995:
		return fmt.Sprintf("%.2f s", seconds)
	case seconds < 99.95:
		return fmt.Sprintf("%.1f s", seconds)
	case whole < 3600:
		return fmt.Sprintf("%d min %02d s", whole/60, whole%60)
	}
	return fmt.Sprintf("%d h %02d min", whole/3600, whole%3600/60)
}

// signed writes a change with its sign, and none as 0.000.
func signed(x float64, decimals int) string {
	s := fixed(x, decimals)
	if x > 0 && strings.Trim(s, "0.") != "" {
		s = "+" + s
	}
	return s
}

// plural writes a number of things: 1 layer, 2 layers.
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if strings.HasSuffix(what, "ss") {
		what += "e"
	}
	return thousands(n) + " " + what + "s"
}

// notFinite stands for a number that is infinite or none.
const notFinite = "not finite"

// figure writes a number that may not be finite.
func figure(x Number, decimals int) string {
	if !x.finite() {
		return notFinite
	}
	return fixed(float64(x), decimals)
}

// percent writes a share that may not be finite.
func percent(share Number) string {
	if !share.finite() {
		return notFinite
	}
	return fixed(100*float64(share), 1) + " %"
}

// interval writes a figure with half the width of its 95 % interval.
func interval[F ~float64](x, standardError F, decimals int) string {
	return fixed(float64(x), decimals) + " ± " + fixed(metric.Z95*float64(standardError), decimals)
}

// decimalsOf is the number of decimals, from 3 to 6, that give a limit two
// digits or more.
func decimalsOf(limit float64) int {
	if !(limit > 0) {
		return 3
	}
	return min(max(3, int(math.Ceil(-math.Log10(limit)))+1), 6)
}

// secondsDecimals is the number of decimals of a time with three digits or so.
func secondsDecimals(seconds float64) int {
	switch {
	case seconds < 1:
		return 2
	case seconds < 100:
		return 1
	}
	return 0
}
