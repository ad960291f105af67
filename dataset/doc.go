// Package dataset says what a labelled image set is and prepares its images
// for a model.
//
// # Sets and sources
//
// A [Set] is a sequence of labelled images in a fixed order; a [Source] is a
// named group of them, its splits ("train", "validation", "test"). [Open] reads
// a folder of class folders, or a ZIP archive of one; packages cifar and arrays,
// which depend on this one, provide CIFAR-10 and CIFAR-100, MNIST's files and
// NumPy's. A split, or a part of one, is named the way Hugging
// Face users know it: test, test[:1000], test[-500:], test[10%:20%] (see
// [ParseSlice]).
//
// Sets are divided without chance, and so that the classes keep their shares:
// [Divide] makes the halves of a test split that has to serve for validation and
// for hold-out, and [Sample] thins a set out.
//
// # Preprocessing
//
// A [Preprocess] turns an image into the planes that a model reads. It comes
// from a file beside the model or its metadata ([FindPreprocess]), from a file or a preset
// named by the user ([LoadPreprocess]), or from trying [Presets] in turn.
// Resizing repeats Pillow's arithmetic (up to version 12) bit for bit, because
// models were trained behind it. golang.org/x/image/draw has the same filters
// but rounds otherwise: of the test pictures' samples up to a third differ, most
// by one level, some of the bicubic ones by nine.
//
// # Classes
//
// Labels are indices into [Set.Classes]. They are the model's output indices
// too unless both sides have names, when [MatchClasses] finds the permutation;
// [FindOutputNames] and [ReadLabels] read the model's.
//
// # Files
//
// [Decode] reads what folders hold, to the bytes that Pillow's convert("RGB") gives
// (of JPEG, to the rounding of its decoder), whatever a file is called, and says
// what a file is that is no image. [Look] finds all that are none.
//
// # Errors
//
// What is wrong with a user's data or files is reported as an [*Error], which
// names the path and what to do.
package dataset
