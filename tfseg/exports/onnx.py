"""ONNX, for ONNX Runtime, Triton, TensorRT and others."""

import pathlib

QUANTIZE = ("none",)
PACKAGES = {"tf2onnx": "tf2onnx", "onnx": "onnx", "onnxruntime": "onnxruntime"}
FILE = "model.onnx"
SIZE = "either"
OPSET = 18  # ONNX Runtime 1.14 and TensorRT 8.6 have it


def write(graph, path: pathlib.Path) -> None:
    """Writes the network from `image`, uint8 [batch, height, width, 3], to the outputs by their names.

    Raises:
        ValueError: if the network needs an operation that tf2onnx does not know.
    """
    import onnx
    import tensorflow as tf
    import tf2onnx
    import tf2onnx.convert

    spec = tf.TensorSpec([None, *(graph.size or (None, None)), 3], tf.uint8, name="image")
    try:
        model, _ = tf2onnx.convert.from_function(
            tf.function(graph.compute),
            [spec],
            opset=OPSET,
            custom_op_handlers={"FloorDiv": (_floor_div, []), "FloorMod": (_floor_mod, [])},
        )
    except Exception as error:  # tf2onnx raises whatever its handlers raise
        raise ValueError(
            f"Expected a network that tf2onnx can convert. Received: {graph.name}: {str(error).strip().splitlines()[-1][-600:]}"
        ) from error
    _pad_explicitly(model.graph)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


# ONNX divides whole numbers toward zero, and tf2onnx 1.17 leaves it at that: -73 // 8 became -9 instead of -10, so networks
# that round a size up to a multiple cut an edge off. ONNX's Mod has the sign of the divisor, as TensorFlow's has.


def _floor_div(ctx, node, name, args):
    """tf2onnx's node of x // y as (x - x mod y) / y, or of floats as the floor of x / y."""
    x, y = node.input
    if _is_whole(ctx, x):
        multiple = ctx.make_node("Sub", [x, ctx.make_node("Mod", [x, y]).output[0]]).output[0]
        _replace(ctx, node, "Div", [multiple, y])
    else:
        _replace(ctx, node, "Floor", [ctx.make_node("Div", [x, y]).output[0]])


def _floor_mod(ctx, node, name, args):
    """tf2onnx's node of x mod y as ONNX's Mod, or of floats as x - floor(x / y) * y."""
    x, y = node.input
    if _is_whole(ctx, x):
        _replace(ctx, node, "Mod", [x, y])
    else:
        quotient = ctx.make_node("Floor", [ctx.make_node("Div", [x, y]).output[0]]).output[0]
        _replace(ctx, node, "Sub", [x, ctx.make_node("Mul", [quotient, y]).output[0]])


def _is_whole(ctx, tensor):
    import onnx

    return ctx.get_dtype(tensor) in (onnx.TensorProto.INT32, onnx.TensorProto.INT64)


def _replace(ctx, node, kind, inputs):
    """Puts a node of another kind in the place of one."""
    outputs, shapes, dtypes = node.output, node.output_shapes, node.output_dtypes
    ctx.remove_node(node.name)
    ctx.make_node(kind, inputs, name=node.name, outputs=outputs, shapes=shapes, dtypes=dtypes)


def _pad_explicitly(graph):
    """Writes out the padding of dilated convolutions, which ONNX Runtime refuses to work out itself.

    At stride 1, "same" padding is dilation * (kernel - 1) zeros, whatever the size; of an odd number, more of them at the end.
    """
    for node in graph.node:
        attributes = {attribute.name: attribute for attribute in node.attribute}
        dilations = attributes["dilations"].ints if "dilations" in attributes else [1, 1]
        if node.op_type != "Conv" or "auto_pad" not in attributes or attributes["auto_pad"].s != b"SAME_UPPER":
            continue
        if max(dilations) == 1 or ("strides" in attributes and max(attributes["strides"].ints) > 1):
            continue
        total = [d * (k - 1) for d, k in zip(dilations, attributes["kernel_shape"].ints, strict=True)]
        node.attribute.remove(attributes["auto_pad"])
        if "pads" in attributes:
            node.attribute.remove(attributes["pads"])
        pads = node.attribute.add(name="pads", type=7)  # 7: INTS
        pads.ints.extend([*(n // 2 for n in total), *(n - n // 2 for n in total)])


def load(path: pathlib.Path, threads: int = 0):
    """Runs the network by ONNX Runtime: {output: array}; 0 threads: the runtime's own number."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names, image = [output.name for output in session.get_outputs()], session.get_inputs()[0].name
    return lambda images: dict(zip(names, session.run(names, {image: images}), strict=True))
