"""Bird models from files, ONNX or TFLite: what they are, and their embeddings of clips."""
