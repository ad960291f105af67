package dataset

import (
	"os"
	"strings"
)

// preset returns a preset. Its geometry follows the model's input.
func preset(name string, interpolation Interpolation, rescale float64, mean, std [3]float64) Preprocess {
	return Preprocess{
		Name: name, Source: "preset",
		Resize: ResizeCover, Interpolation: interpolation, Crop: CropRound,
		Rescale: rescale, Mean: mean, Std: std,
	}
}

// Presets returns the preprocessing steps known by name. They bring an image to
// the size of the model's input in proportion and crop what stands out, if it is
// not of that size already; they differ in rescaling and normalisation.
func Presets() []Preprocess {
	const byte1 = 1.0 / 255
	zero, one := [3]float64{}, [3]float64{1, 1, 1}
	all := func(x float64) [3]float64 { return [3]float64{x, x, x} }
	caffe := preset("caffe", Bilinear, 1, [3]float64{103.939, 116.779, 123.68}, one)
	caffe.Channels = BGR
	return []Preprocess{
		// Mean and standard deviation of the 50,000 training images, to four
		// digits, as in github.com/weiaicunzai/pytorch-cifar100 conf/global_settings.py.
		preset("cifar100", Bilinear, byte1, [3]float64{0.5071, 0.4865, 0.4409}, [3]float64{0.2673, 0.2564, 0.2762}),
		// The same of CIFAR-10; the deviation is that of all pixels, which is also
		// written 0.247, 0.243, 0.261.
		preset("cifar10", Bilinear, byte1, [3]float64{0.4914, 0.4822, 0.4465}, [3]float64{0.2470, 0.2435, 0.2616}),
		// The mean deviation within an image in place of that, as in
		// github.com/kuangliu/pytorch-cifar main.py.
		preset("cifar10-kuangliu", Bilinear, byte1, [3]float64{0.4914, 0.4822, 0.4465}, [3]float64{0.2023, 0.1994, 0.2010}),
		// torchvision's reference transforms; timm's IMAGENET_DEFAULT_MEAN and _STD.
		preset("imagenet", Bilinear, byte1, imageNetMean, imageNetStd),
		// timm's IMAGENET_INCEPTION_MEAN and _STD; transformers' IMAGENET_STANDARD_MEAN
		// and _STD, the default of its ViTImageProcessor: −1 to 1.
		preset("inception", Bilinear, byte1, halfMean, halfStd),
		// transformers' OPENAI_CLIP_MEAN and _STD, from github.com/openai/CLIP clip.py.
		preset("clip", Bicubic, byte1, clipMean, clipStd),
		// torchvision's ToTensor alone: 0 to 1.
		preset("raw01", Bilinear, byte1, zero, one),
		// Bytes as they are, 0 to 255: models that normalise in their graph.
		preset("raw255", Bilinear, 1, zero, one),
		// Mean and deviation of the 60,000 training images: pytorch/examples mnist
		// main.py, and the same of Fashion-MNIST.
		preset("mnist", Bilinear, byte1, all(0.1307), all(0.3081)),
		preset("fashion-mnist", Bilinear, byte1, all(0.2860), all(0.3530)),
		// Caffe's ImageNet models, and Keras' preprocess_input in mode caffe: blue,
		// green and red less their means.
		caffe,
	}
}

// LoadPreprocess returns the preset of the given name, or reads a file in the
// form of transformers' preprocessor_config.json or of timm's config.json.
func LoadPreprocess(nameOrFile string) (*Preprocess, error) {
	presets := Presets()
	names := make([]string, len(presets))
	for i := range presets {
		if strings.EqualFold(presets[i].Name, nameOrFile) {
			return &presets[i], nil
		}
		names[i] = presets[i].Name
	}
	if info, err := os.Stat(nameOrFile); err != nil || info.IsDir() {
		return nil, &Error{
			Path: nameOrFile,
			Msg:  "neither a preset nor a preprocessing file",
			Hint: "presets: " + strings.Join(names, ", ") + "; files: preprocessor_config.json (Hugging Face), config.json (timm)",
		}
	}
	return readPreprocess(nameOrFile)
}
