package kernel

import "unsafe"

// vectorKernelsFor returns the kernels of a variant (nil for Plain), and whether this CPU can
// run them: all that Go programs for arm64 run on have NEON.
func vectorKernelsFor(v Variant) (*vectorKernels, bool) {
	switch v {
	case Plain:
		return nil, true
	case NEON:
		return &vectorsNEON, true
	}
	return nil, false
}

// The table is never written to.
var vectorsNEON = vectorKernels{
	gemm: gemmKernels{
		lanes:      4,
		full:       gemmFullNEON,
		wide:       []microKernel{gemmWide1NEON, gemmWide2NEON, gemmWide3NEON, gemmWide4NEON, gemmWide5NEON, gemmWide6NEON, gemmWide7NEON, gemmWide8NEON, gemmWide9NEON, gemmWide10NEON, gemmWide11NEON, gemmWide12NEON},
		narrow:     []microKernel{gemmNarrow1NEON, gemmNarrow2NEON, gemmNarrow3NEON, gemmNarrow4NEON, gemmNarrow5NEON, gemmNarrow6NEON, gemmNarrow7NEON, gemmNarrow8NEON, gemmNarrow9NEON, gemmNarrow10NEON, gemmNarrow11NEON, gemmNarrow12NEON},
		packNarrow: packRows,
		packWide:   packRows,
		packAcross: packTransposed,
	},
	unary: [unaryCount]func(int, *float32, *float32){
		opExp:      expNEON,
		opErf:      erfNEON,
		opTanh:     tanhNEON,
		opSigmoid:  sigmoidNEON,
		opGELU:     geluNEON,
		opGELUTanh: geluTanhNEON,
	},
	binary: [binaryCount]func(int, *float32, *float32, *float32){
		opGELUGrad:     geluGradNEON,
		opGELUTanhGrad: geluTanhGradNEON,
		opAdd:          addNEON,
		opMul:          mulNEON,
	},
	conv: convolutionKernels{
		stage:          stageNEON,
		stageEven:      stageEvenNEON,
		wide:           []convolveKernel{convolveWide1NEON, convolveWide2NEON, convolveWide3NEON, convolveWide4NEON, convolveWide5NEON, convolveWide6NEON, convolveWide7NEON, convolveWide8NEON, convolveWide9NEON, convolveWide10NEON, convolveWide11NEON, convolveWide12NEON},
		narrow:         []convolveKernel{convolveNarrow1NEON, convolveNarrow2NEON, convolveNarrow3NEON, convolveNarrow4NEON, convolveNarrow5NEON, convolveNarrow6NEON, convolveNarrow7NEON, convolveNarrow8NEON, convolveNarrow9NEON, convolveNarrow10NEON, convolveNarrow11NEON, convolveNarrow12NEON},
		depthwise:      depthwiseNEON,
		depthwiseRows3: depthwiseRows3NEON,
		depthwiseRows5: nil, // the weights need more registers
		halves:         nil, // rows of half a vector are rare
		maxPool:        maxPoolNEON,
		finish:         finishNEON,
	},
	linear:             linearKernels{addBias: addBiasNEON, addBiasAnd: addBiasAndNEON, addBiasGELU: addBiasGELUNEON, addBiasGELUTanh: addBiasGELUTanhNEON},
	clamp:              clampNEON,
	leak:               leakNEON,
	gate:               gateNEON,
	sum:                sumNEON,
	axpy:               axpyNEON,
	addRow:             addRowNEON,
	mulRow:             mulRowNEON,
	softmax:            softmaxNEON,
	softmaxGrad:        softmaxGradNEON,
	softmaxColumns:     softmaxColumnsNEON,
	softmaxColumnsGrad: softmaxColumnsGradNEON,
	moments:            momentsNEON,
	normalize:          normalizeNEON,
	normalizeGrad:      normalizeGradNEON,
	sumColumns:         sumColumnsNEON,
	sumScaledColumns:   sumScaledColumnsNEON,
	dot:                dotNEON,
}

// The packing kernels move data only, and each element once for many multiplications.

// packRows copies n rows of width elements: of b at most two vectors, of a three.
func packRows(n int, src *float32, srcRow int, dst *float32, dstRow, width int) {
	const tile = 8
	from, to := unsafe.Slice(src, (n-1)*srcRow+width), unsafe.Slice(dst, (n-1)*dstRow+width)
	if width == tile { // without a call for each row
		for i := range n {
			*(*[tile]float32)(to[i*dstRow:]) = [tile]float32(from[i*srcRow:])
		}
		return
	}
	for i := range n {
		copy(to[i*dstRow:][:width], from[i*srcRow:])
	}
}

// packTransposed writes element p of src's row q to element q of dst's row p.
func packTransposed(n int, src *float32, srcRow int, dst *float32, dstRow, rows int) {
	from, to := unsafe.Slice(src, (rows-1)*srcRow+n), unsafe.Slice(dst, (n-1)*dstRow+rows)
	for q := range rows {
		for p, v := range from[q*srcRow:][:n] {
			to[p*dstRow+q] = v
		}
	}
}
