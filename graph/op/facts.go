package op

// QualifiedName is the operator's name, with its domain where that is not
// ai.onnx.
func (e Entry) QualifiedName() string {
	if e.Domain == "" {
		return e.Name
	}
	return e.Domain + "." + e.Name
}

// withoutGradient says why operators have no gradient. All others have one.
func withoutGradient() map[string]string {
	const (
		truth   = "results are truth values"
		indices = "results are indices"
		folded  = "folded: does not depend on the image"
	)
	const (
		grid = "of integers; that of the numbers that they stand for is the weight's"
		step = "a step function; straight-through within the range where a DequantizeLinear of the same grid follows, refused elsewhere"
	)
	return map[string]string{
		"QuantizeLinear": step, "com.microsoft.QuantizeLinear": step, "DequantizeLinear": grid, "com.microsoft.DequantizeLinear": grid,
		"And": truth, "Or": truth, "Not": truth, "Xor": truth, "Equal": truth, "Greater": truth, "GreaterOrEqual": truth,
		"Less": truth, "LessOrEqual": truth, "IsNaN": truth, "IsInf": truth,
		"ArgMax": indices, "ArgMin": indices, "NonZero": indices,
		"If":       "one branch is chosen when the graph is read, and its operators have theirs",
		"Constant": folded, "ConstantOfShape": folded, "EyeLike": folded, "Range": folded, "Shape": folded, "Size": folded,
	}
}

// limits names forms of operators that are refused.
func limits() map[string]string {
	const (
		inference = "inference only"
		integers  = "integers of up to 32 bits; scale and zero point must be known when the graph is read"
		known     = "indices must be known when the graph is read"
	)
	return map[string]string{
		"BatchNormalization":               "training mode only of weights, which it standardises; its running statistics are not computed",
		"DequantizeLinear":                 integers,
		"Dropout":                          inference,
		"Gemm":                             "alpha 0 is refused",
		"If":                               "the condition must be known when the graph is read",
		"LpPool":                           "ceil_mode 0",
		"NonZero":                          "of constants only",
		"QuantizeLinear":                   integers,
		"Resize":                           "keep_aspect_ratio_policy stretch",
		"Scatter":                          "reduction none; " + known,
		"ScatterElements":                  "reduction none and add; " + known,
		"ScatterND":                        "reduction none and add; " + known,
		"Upsample":                         "replaced by Resize in opset 10",
		"com.microsoft.Attention":          "without masks and caches; not causal",
		"com.microsoft.DequantizeLinear":   integers,
		"com.microsoft.MultiHeadAttention": "without padding masks and caches; query, key and value apart",
		"com.microsoft.QuantizeLinear":     integers,
		"com.microsoft.RotaryEmbedding":    "scale 1",
	}
}
