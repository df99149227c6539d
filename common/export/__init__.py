"""A trained network in forms that need no Keras: ONNX, LiteRT, and a page for a browser."""
