"""Writes the golden files of package dataset's tests, with Pillow and transformers.

    pip install numpy pillow==12.0.0 transformers==4.49.0 && python golden.py
"""
import base64, json, math
import numpy as np
import PIL, transformers
from PIL import Image


def picture(w, h):
    """The test picture; package dataset's tests draw the same one."""
    y, x, c = np.mgrid[0:h, 0:w, 0:3]
    v = x * 7 + y * 13 + c * 50 + (x * x * 31 + y * y * 17 + x * y * c * 5) % 97
    return Image.fromarray((v % 256).astype(np.uint8), "RGB")


def b64(array):
    return base64.b64encode(array.tobytes()).decode()


filters = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
sizes = [((17, 11), (24, 16)), ((17, 11), (7, 5)), ((17, 11), (17, 6)), ((17, 11), (40, 3)), ((300, 200), (13, 9))]
resized = []
for (w, h), (rw, rh) in sizes:
    for name, number in filters.items():
        out = picture(w, h).resize((rw, rh), number)
        resized.append({"w": w, "h": h, "filter": name, "rw": rw, "rh": rh, "rgb": b64(np.asarray(out))})
with open("resize.json", "w") as f:
    json.dump({"pillow": PIL.__version__, "cases": resized}, f, indent=0)

# Pictures as a camera's: smooth, so that chroma interpolation shows.
y, x = np.mgrid[0:21, 0:27]
smooth = np.stack([128 + 100 * np.sin(x / 4), 128 + 100 * np.cos(y / 5), 128 + 100 * np.sin((x + y) / 6)], -1)
smooth = Image.fromarray(smooth.astype(np.uint8), "RGB")
for name, img, options in [
    ("420", smooth, {"subsampling": 2}),
    ("422", smooth, {"subsampling": 1}),
    ("444", smooth, {"subsampling": 0}),
    ("grey", smooth.convert("L"), {}),
]:
    img.save(f"{name}.jpg", quality=90, **options)
    Image.open(f"{name}.jpg").convert("RGB").save(f"{name}.png", optimize=True)

processors = []
for (w, h), config in [
    ((20, 14), {"image_processor_type": "ViTImageProcessor", "size": {"height": 8, "width": 6}}),
    ((20, 14), {"image_processor_type": "ViTImageProcessor", "size": 7, "resample": 3, "do_normalize": False}),
    ((8, 8), {"image_processor_type": "ViTImageProcessor", "do_resize": False, "do_rescale": False}),
    ((21, 14), {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 9}, "crop_size": {"height": 8, "width": 8}}),
    ((14, 23), {"image_processor_type": "CLIPImageProcessor", "size": 9, "crop_size": 8, "rescale_factor": 0.01}),
    ((14, 23), {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 6}, "crop_size": {"height": 9, "width": 9}}),
    ((20, 14), {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 7}, "crop_pct": 0.8, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.1]}),
    ((20, 14), {"image_processor_type": "ConvNextFeatureExtractor", "size": 8, "resample": 2, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.1]}),
    ((20, 14), {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 10}, "crop_size": {"height": 7, "width": 8}, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}),
]:
    name = config["image_processor_type"].replace("FeatureExtractor", "ImageProcessor")
    settings = {k: v for k, v in config.items() if k != "image_processor_type"}
    out = getattr(transformers, name)(**settings)(picture(w, h), return_tensors="np")["pixel_values"][0]
    processors.append({"w": w, "h": h, "config": config, "oh": out.shape[1], "ow": out.shape[2], "float32": b64(out.astype("<f4"))})
with open("processors.json", "w") as f:
    json.dump({"transformers": transformers.__version__, "cases": processors}, f, indent=0)
