package op

import "slices"

// layout lists the operators that move, select and make elements.
func layout() []Entry {
	return slices.Concat(
		reshapeEntries(),
		transposeEntries(),
		sliceEntries(),
		concatEntries(),
		expandEntries(),
		gatherEntries(),
		scatterEntries(),
		rankEntries(),
		oneHotEntries(),
		padEntries(),
		pickEntries(),
		resizeEntries(),
		triangleEntries(),
		cumSumEntries(),
		knownEntries(),
		rotaryEntries(),
	)
}
