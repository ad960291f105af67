"""Writes the golden files of package dataset's tests, with Pillow and transformers.

    pip install numpy pillow==12.0.0 transformers==4.49.0 && python golden.py

It also needs libjpeg-turbo's cjpeg.
"""
import base64, io, json, os, struct, subprocess, zlib
import numpy as np
import PIL, transformers
from PIL import Image, ImageOps


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

# Pillow writes no 4:4:0.
smooth.save("smooth.ppm")
subprocess.run(["cjpeg", "-quality", "90", "-sample", "1x2", "-outfile", "440.jpg", "smooth.ppm"], check=True)
os.remove("smooth.ppm")
Image.open("440.jpg").convert("RGB").save("440.png", optimize=True)

# Files of every kind that is read, each beside what convert("RGB") makes of it.
rgb = np.asarray(smooth)
alpha = ((x * 9 + y * 5) % 256).astype(np.uint8)
alpha[:4] = 0
rgba = Image.fromarray(np.dstack([rgb, alpha]), "RGBA")
palette = smooth.quantize(16)


def png16(name, array, colour_type):
    """Pillow writes no 16-bit PNG but grey."""
    h, w, channels = array.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array.reshape(h, w * channels))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    with open(name, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 16, colour_type, 0, 0, 0))
                + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


deep = (rgb.astype(np.uint32) * 257 + np.arange(3)).clip(0, 65535)
grey16 = (x * 11 + y * 7).astype(np.uint32)[:, :, None]
png16("grey16.png", grey16, 0)
png16("greyalpha16.png", np.dstack([deep[:, :, :1], alpha.astype(np.uint32)[:, :, None] * 257]), 4)
png16("rgb16.png", deep, 2)
png16("rgba16.png", np.dstack([deep, alpha.astype(np.uint32)[:, :, None] * 257]), 6)
rgba.save("rgba.png")
palette.save("palette.png", transparency=3)
smooth.convert("1").save("bilevel.png")
smooth.save("lossy.webp", quality=80)
smooth.crop((0, 0, 26, 20)).save("even.webp", quality=60)
rgba.save("alpha.webp", quality=80, exact=True)
smooth.save("lossless.webp", lossless=True)
palette.save("palette.gif", transparency=3)
palette.save("frames.gif", save_all=True, append_images=[palette.rotate(180)])
smooth.save("rgb.bmp")
palette.save("palette.bmp")
smooth.save("rgb.tiff")
smooth.save("lzw.tiff", compression="tiff_lzw")
Image.fromarray(grey16[:, :, 0].astype(np.uint16)).save("grey16.tiff")
for name, photometric in [("fax4white.tiff", 0), ("fax4.tiff", 1)]:  # which of the two bits is white
    smooth.convert("1").save(name, compression="group4", tiffinfo={262: photometric})
rgba.save("turned.tiff", compression="tiff_lzw", tiffinfo={274: 6})  # without compression Pillow errs
for name in ["grey16.png", "greyalpha16.png", "rgb16.png", "rgba16.png", "rgba.png", "palette.png", "bilevel.png", "lossy.webp",
             "even.webp", "alpha.webp", "lossless.webp", "palette.gif", "frames.gif", "rgb.bmp", "palette.bmp", "rgb.tiff",
             "lzw.tiff", "grey16.tiff", "fax4.tiff", "fax4white.tiff", "turned.tiff"]:
    os.makedirs("files", exist_ok=True)
    os.replace(name, "files/" + name)
    Image.open("files/" + name).convert("RGB").save("files/" + name + ".want", "PNG", optimize=True)

# The eight orientations: the pictures as stored, and turned by exif_transpose.
turned = []
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[274] = orientation
    buffer = io.BytesIO()
    picture(5, 3).save(buffer, "PNG", exif=exif)
    out = ImageOps.exif_transpose(Image.open(io.BytesIO(buffer.getvalue())))
    turned.append({"orientation": orientation, "file": base64.b64encode(buffer.getvalue()).decode(), "w": out.width, "h": out.height, "rgb": b64(np.asarray(out.convert("RGB")))})
with open("turned.json", "w") as f:
    json.dump({"pillow": PIL.__version__, "cases": turned}, f, indent=0)

# Luminance.
with open("grey.json", "w") as f:
    json.dump({"pillow": PIL.__version__, "cases": [{"w": 17, "h": 11, "grey": b64(np.asarray(picture(17, 11).convert("L")))}]}, f, indent=0)

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
    ((20, 14), {"image_processor_type": "DeiTImageProcessor", "size": {"height": 10, "width": 10}, "crop_size": {"height": 8, "width": 8}}),
    ((20, 14), {"image_processor_type": "BeitImageProcessor", "size": 10, "crop_size": 7, "do_reduce_labels": False}),
    ((20, 14), {"image_processor_type": "EfficientNetImageProcessor", "size": {"height": 9, "width": 8}, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.1]}),
    ((20, 14), {"image_processor_type": "EfficientNetImageProcessor", "size": {"height": 9, "width": 8}, "include_top": False, "resample": 3}),
    ((20, 14), {"image_processor_type": "EfficientNetImageProcessor", "size": {"height": 9, "width": 8}, "rescale_offset": True, "rescale_factor": 1 / 127.5, "do_normalize": False, "include_top": False}),
    ((20, 14), {"image_processor_type": "MobileNetV1ImageProcessor", "size": {"shortest_edge": 9}, "crop_size": {"height": 8, "width": 8}}),
    ((20, 14), {"image_processor_type": "MobileNetV2ImageProcessor", "size": 9, "crop_size": 8, "do_normalize": False}),
    ((20, 14), {"image_processor_type": "MobileViTImageProcessor", "size": {"shortest_edge": 9}, "crop_size": {"height": 8, "width": 8}}),
    ((20, 14), {"image_processor_type": "MobileViTImageProcessor", "size": {"shortest_edge": 9}, "crop_size": {"height": 8, "width": 8}, "do_flip_channel_order": False, "do_rescale": False}),
    ((20, 14), {"image_processor_type": "PoolFormerImageProcessor", "size": {"shortest_edge": 8}, "crop_size": {"height": 8, "width": 8}}),
    ((20, 14), {"image_processor_type": "PoolFormerImageProcessor", "size": {"height": 8, "width": 8}, "crop_pct": 0.6, "crop_size": {"height": 8, "width": 8}}),
    ((20, 14), {"image_processor_type": "PoolFormerImageProcessor", "size": {"shortest_edge": 8}, "crop_pct": None, "crop_size": {"height": 8, "width": 8}}),
    ((20, 14), {"image_processor_type": "LevitImageProcessor", "size": {"shortest_edge": 8}, "crop_size": {"height": 8, "width": 8}}),
    ((20, 14), {"image_processor_type": "PvtImageProcessor", "size": {"height": 9, "width": 8}}),
    ((20, 14), {"image_processor_type": "SegformerImageProcessor", "size": {"height": 9, "width": 8}}),
    ((20, 14), {"image_processor_type": "SiglipImageProcessor", "size": {"height": 9, "width": 8}}),
    ((20, 14), {"image_processor_type": "ViTImageProcessor", "size": {"height": 8, "width": 6}, "image_mean": 0.4, "image_std": 0.3}),
]:
    name = config["image_processor_type"].replace("FeatureExtractor", "ImageProcessor")
    settings = {k: v for k, v in config.items() if k != "image_processor_type"}
    for key in ("image_mean", "image_std"):  # a number for all channels, which these versions take as a list
        if isinstance(settings.get(key), float):
            settings[key] = 3 * [settings[key]]
    out = getattr(transformers, name)(**settings)(picture(w, h), return_tensors="np")["pixel_values"][0]
    processors.append({"w": w, "h": h, "config": config, "oh": out.shape[1], "ow": out.shape[2], "float32": b64(out.astype("<f4"))})
with open("processors.json", "w") as f:
    json.dump({"transformers": transformers.__version__, "cases": processors}, f, indent=0)
