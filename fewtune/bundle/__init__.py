"""The deployable model: a folder with ONNX graphs, JSON and text, and no pickle."""
