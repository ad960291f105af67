package kernel

import "golang.org/x/sys/cpu"

// vectorKernelsFor returns the kernels of a variant (nil for Plain), and whether this CPU,
// with its operating system, can run them.
func vectorKernelsFor(v Variant) (*vectorKernels, bool) {
	hasAVX2 := cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasBMI2
	switch v {
	case Plain:
		return nil, true
	case AVX2:
		return &vectorsAVX2, hasAVX2
	case AVX512:
		return &vectorsAVX512, hasAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL
	}
	return nil, false
}

// The tables are never written to.

var vectorsAVX2 = vectorKernels{
	gemm: gemmKernels{
		lanes:      8,
		full:       gemmFullAVX2,
		wide:       []microKernel{gemmWide1AVX2, gemmWide2AVX2, gemmWide3AVX2, gemmWide4AVX2, gemmWide5AVX2, gemmWide6AVX2},
		narrow:     []microKernel{gemmNarrow1AVX2, gemmNarrow2AVX2, gemmNarrow3AVX2, gemmNarrow4AVX2, gemmNarrow5AVX2, gemmNarrow6AVX2},
		packNarrow: packNarrowAVX2,
		packWide:   packWideAVX2,
		packAcross: packTransposedAVX2,
	},
	unary: [unaryCount]func(int, *float32, *float32){
		opExp:      expAVX2,
		opErf:      erfAVX2,
		opTanh:     tanhAVX2,
		opSigmoid:  sigmoidAVX2,
		opGELU:     geluAVX2,
		opGELUTanh: geluTanhAVX2,
	},
	binary: [binaryCount]func(int, *float32, *float32, *float32){
		opGELUGrad:     geluGradAVX2,
		opGELUTanhGrad: geluTanhGradAVX2,
		opAdd:          addAVX2,
		opMul:          mulAVX2,
	},
	conv: convolutionKernels{
		stage:          stageAVX2,
		stageEven:      stageEvenAVX2,
		wide:           []convolveKernel{convolveWide1AVX2, convolveWide2AVX2, convolveWide3AVX2, convolveWide4AVX2, convolveWide5AVX2, convolveWide6AVX2},
		narrow:         []convolveKernel{convolveNarrow1AVX2, convolveNarrow2AVX2, convolveNarrow3AVX2, convolveNarrow4AVX2, convolveNarrow5AVX2, convolveNarrow6AVX2},
		depthwise:      depthwiseAVX2,
		depthwiseRows3: depthwiseRows3AVX2,
		depthwiseRows5: nil, // the weights need more registers
		halves:         nil, // rows of half a vector are rare
		maxPool:        maxPoolAVX2,
		finish:         finishAVX2,
	},
	linear:             linearKernels{addBias: addBiasAVX2, addBiasAnd: addBiasAndAVX2, addBiasGELU: addBiasGELUAVX2, addBiasGELUTanh: addBiasGELUTanhAVX2},
	clamp:              clampAVX2,
	leak:               leakAVX2,
	gate:               gateAVX2,
	sum:                sumAVX2,
	axpy:               axpyAVX2,
	addRow:             addRowAVX2,
	mulRow:             mulRowAVX2,
	softmax:            softmaxAVX2,
	softmaxGrad:        softmaxGradAVX2,
	softmaxColumns:     softmaxColumnsAVX2,
	softmaxColumnsGrad: softmaxColumnsGradAVX2,
	moments:            momentsAVX2,
	normalize:          normalizeAVX2,
	normalizeGrad:      normalizeGradAVX2,
	sumColumns:         sumColumnsAVX2,
	sumScaledColumns:   sumScaledColumnsAVX2,
	dot:                dotAVX2,
}

var vectorsAVX512 = vectorKernels{
	gemm: gemmKernels{
		lanes:      16,
		full:       gemmFullAVX512,
		wide:       []microKernel{gemmWide1AVX512, gemmWide2AVX512, gemmWide3AVX512, gemmWide4AVX512, gemmWide5AVX512, gemmWide6AVX512, gemmWide7AVX512, gemmWide8AVX512, gemmWide9AVX512, gemmWide10AVX512, gemmWide11AVX512, gemmWide12AVX512},
		narrow:     []microKernel{gemmNarrow1AVX512, gemmNarrow2AVX512, gemmNarrow3AVX512, gemmNarrow4AVX512, gemmNarrow5AVX512, gemmNarrow6AVX512, gemmNarrow7AVX512, gemmNarrow8AVX512, gemmNarrow9AVX512, gemmNarrow10AVX512, gemmNarrow11AVX512, gemmNarrow12AVX512},
		packNarrow: packNarrowAVX512,
		packWide:   packWideAVX512,
		packAcross: packTransposedAVX2,
	},
	unary: [unaryCount]func(int, *float32, *float32){
		opExp:      expAVX512,
		opErf:      erfAVX512,
		opTanh:     tanhAVX512,
		opSigmoid:  sigmoidAVX512,
		opGELU:     geluAVX512,
		opGELUTanh: geluTanhAVX512,
	},
	binary: [binaryCount]func(int, *float32, *float32, *float32){
		opGELUGrad:     geluGradAVX512,
		opGELUTanhGrad: geluTanhGradAVX512,
		opAdd:          addAVX512,
		opMul:          mulAVX512,
	},
	conv: convolutionKernels{
		stage:          stageAVX512,
		stageEven:      stageEvenAVX512,
		wide:           []convolveKernel{convolveWide1AVX512, convolveWide2AVX512, convolveWide3AVX512, convolveWide4AVX512, convolveWide5AVX512, convolveWide6AVX512, convolveWide7AVX512, convolveWide8AVX512, convolveWide9AVX512, convolveWide10AVX512, convolveWide11AVX512, convolveWide12AVX512},
		narrow:         []convolveKernel{convolveNarrow1AVX512, convolveNarrow2AVX512, convolveNarrow3AVX512, convolveNarrow4AVX512, convolveNarrow5AVX512, convolveNarrow6AVX512, convolveNarrow7AVX512, convolveNarrow8AVX512, convolveNarrow9AVX512, convolveNarrow10AVX512, convolveNarrow11AVX512, convolveNarrow12AVX512},
		halves:         []convolveKernel{convolveHalves1AVX512, convolveHalves2AVX512, convolveHalves3AVX512, convolveHalves4AVX512, convolveHalves5AVX512, convolveHalves6AVX512, convolveHalves7AVX512, convolveHalves8AVX512, convolveHalves9AVX512, convolveHalves10AVX512, convolveHalves11AVX512, convolveHalves12AVX512},
		depthwise:      depthwiseAVX512,
		depthwiseRows3: depthwiseRows3AVX512,
		depthwiseRows5: depthwiseRows5AVX512,
		maxPool:        maxPoolAVX512,
		finish:         finishAVX512,
	},
	linear:             linearKernels{addBias: addBiasAVX512, addBiasAnd: addBiasAndAVX512, addBiasGELU: addBiasGELUAVX512, addBiasGELUTanh: addBiasGELUTanhAVX512},
	clamp:              clampAVX512,
	leak:               leakAVX512,
	gate:               gateAVX512,
	sum:                sumAVX512,
	axpy:               axpyAVX512,
	addRow:             addRowAVX512,
	mulRow:             mulRowAVX512,
	softmax:            softmaxAVX512,
	softmaxGrad:        softmaxGradAVX512,
	softmaxColumns:     softmaxColumnsAVX512,
	softmaxColumnsGrad: softmaxColumnsGradAVX512,
	moments:            momentsAVX512,
	normalize:          normalizeAVX512,
	normalizeGrad:      normalizeGradAVX512,
	sumColumns:         sumColumnsAVX512,
	sumScaledColumns:   sumScaledColumnsAVX512,
	dot:                dotAVX512,
}
